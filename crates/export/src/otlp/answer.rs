//! What a receiver answers, and whether it is asked again: functions of values.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;

use super::wire::{Reader, Value, WireError};
use crate::retry::RetryAfter;

/// The most that is read of an answer, in bytes.
pub(super) const MAX_ANSWER: usize = 64 * 1_024;

/// A request that was accepted: how many points of it were refused, and what the receiver says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Accepted {
    pub(super) rejected: u64,
    pub(super) reason: String,
}

/// A request that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SendError {
    pub(super) reason: String,
    /// `None`: no other attempt.
    pub(super) retry: Option<RetryAfter>,
}

impl SendError {
    pub(super) fn retry(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry: Some(RetryAfter::Backoff) }
    }

    pub(super) fn fatal(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry: None }
    }
}

/// An `ExportMetricsServiceResponse`, whose only field is a partial success.
pub(super) fn accepted(message: &[u8]) -> Result<Accepted, WireError> {
    let mut accepted = Accepted::default();
    for field in Reader::new(message) {
        if let (1, Value::Bytes(partial)) = field? {
            for field in Reader::new(partial) {
                match field? {
                    // An `int64`: a negative one means nothing.
                    (1, Value::Number(number)) => accepted.rejected = i64::max(number as i64, 0) as u64,
                    (2, Value::Bytes(text)) => accepted.reason = String::from_utf8_lossy(text).into_owned(),
                    _ => {}
                }
            }
        }
    }
    Ok(accepted)
}

/// What an answer by HTTP means. `retry_after` is the header of this name; what is left of an answer that is too long is
/// not in `body`.
pub(super) fn judge(
    status: StatusCode,
    retry_after: Option<&str>,
    body: &[u8],
    now: SystemTime,
) -> Result<Accepted, SendError> {
    if status.is_success() {
        let no_otlp = |_| SendError::fatal(format!("{} without an answer of OTLP", described(status)));
        return accepted(body).map_err(no_otlp);
    }
    if !is_busy(status) {
        return Err(SendError::fatal(with_reason(described(status), &message_of_status(body))));
    }
    let retry = retry_after.and_then(|text| delay(text, now)).map_or(RetryAfter::Backoff, RetryAfter::At);
    Err(SendError { reason: described(status), retry: Some(retry) })
}

/// Whether a receiver, or a gateway before it, may take the same request later.
pub(super) fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// The value of `Retry-After`: seconds, or a date.
fn delay(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // One that is too great for the type is longer than any period.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The message of a `google.rpc.Status`, which an answer that is an error may have; empty if it is none.
fn message_of_status(body: &[u8]) -> String {
    let mut fields = Reader::new(body).map_while(Result::ok);
    fields
        .find_map(|field| match field {
            (2, Value::Bytes(text)) => std::str::from_utf8(text).ok().map(str::to_owned),
            _ => None,
        })
        .unwrap_or_default()
}

pub(super) fn with_reason(what: String, reason: &str) -> String {
    if reason.is_empty() { what } else { format!("{what}: {reason}") }
}

/// A status without the phrase of the receiver, which may be any text.
fn described(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn answered(status: u16, retry_after: Option<&str>, body: &[u8]) -> Result<Accepted, SendError> {
        judge(StatusCode::from_u16(status).unwrap(), retry_after, body, UNIX_EPOCH + Duration::from_secs(784_111_770))
    }

    #[test]
    fn only_a_receiver_that_is_busy_or_behind_a_gateway_is_asked_again() {
        let again = |status: &u16| answered(*status, None, b"").is_err_and(|error| error.retry.is_some());
        assert_eq!((100..1_000).filter(again).collect::<Vec<_>>(), [429, 502, 503, 504]);
        assert!((200..300).all(|status| answered(status, None, b"").is_ok()));
    }

    #[test]
    fn a_receiver_says_when_it_may_be_asked_again_in_seconds_or_as_a_date() {
        let after = |text| answered(503, Some(text), b"").unwrap_err().retry.unwrap();
        let seconds = |seconds| RetryAfter::At(Duration::from_secs(seconds));
        assert_eq!(after("7"), seconds(7));
        assert_eq!(after("99999999999999999999999999"), seconds(u64::from(u32::MAX)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), seconds(7));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:00 GMT"), seconds(0), "a date that has passed");
        assert!(["", "soon", "-1", "1.5"].into_iter().all(|text| after(text) == RetryAfter::Backoff));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_message_of_the_receiver_if_it_is_one() {
        let error = |body: &[u8]| answered(400, None, body).unwrap_err().reason;
        assert_eq!(error(b"\x08\x03\x12\x0cunknown unit"), "400 Bad Request: unknown unit");
        assert_eq!(error(b"<html>"), "400 Bad Request");
        assert_eq!(answered(200, None, b"<html>").unwrap_err().reason, "200 OK without an answer of OTLP");
    }

    #[test]
    fn a_partial_success_is_read_and_a_negative_number_of_points_is_none() {
        let of = |body: &[u8]| answered(200, None, body).unwrap();
        assert_eq!(of(b"\x0a\x06\x08\x03\x12\x02no"), Accepted { rejected: 3, reason: "no".to_owned() });
        assert_eq!(of(b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").rejected, 0);
        assert_eq!(of(b""), Accepted::default());
    }
}
