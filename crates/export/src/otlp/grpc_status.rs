//! What the status of an answer by gRPC means: functions of values.

use std::time::Duration;

use super::answer::{SendError, with_reason};
use super::wire::{Reader, Value};
use crate::retry::RetryAfter;

const RESOURCE_EXHAUSTED: u32 = 8;
/// The codes after which OTLP's specification allows another attempt at any time.
const RETRIED: [u32; 6] = [1, 4, 10, 11, 14, 15];
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What a code that is not `OK` means, with its message, in percent encoding, and its details, in base64.
///
/// A receiver that has no room is asked again only if it says when.
pub(super) fn refused(code: u32, message: &str, details: Option<&str>) -> SendError {
    let name = NAMES.get(code as usize).map_or_else(|| format!("gRPC code {code}"), |name| (*name).to_owned());
    let after = details.and_then(base64).and_then(|status| advice(&status));
    let retry = match code {
        RESOURCE_EXHAUSTED => after,
        _ if RETRIED.contains(&code) => after.or(Some(RetryAfter::Backoff)),
        _ => None,
    };
    SendError { reason: with_reason(name, &percent_decoded(message)), retry }
}

/// What the `google.rpc.RetryInfo` among the details of a `google.rpc.Status` says, if there is one.
fn advice(status: &[u8]) -> Option<RetryAfter> {
    let details = Reader::new(status).map_while(Result::ok).filter(|(field, _)| *field == 3);
    let info = details.filter_map(|(_, value)| retry_info(value)).next()?;
    // Without a delay the receiver leaves it to the exporter.
    Some(retry_delay(info).filter(|delay| !delay.is_zero()).map_or(RetryAfter::Backoff, RetryAfter::At))
}

fn retry_delay(info: &[u8]) -> Option<Duration> {
    let Value::Bytes(delay) = field(info, 1)? else { return None };
    let number = |of| if let Some(Value::Number(number)) = field(delay, of) { number as i64 } else { 0 };
    let (seconds, nanos) = (u64::try_from(number(1)).ok()?, u32::try_from(number(2)).ok()?);
    // So many nanoseconds are no valid duration, and would be seconds.
    (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}

/// The value of an `Any`, if it is of this type.
fn retry_info(any: Value<'_>) -> Option<&[u8]> {
    let Value::Bytes(any) = any else { return None };
    let Value::Bytes(kind) = field(any, 1)? else { return None };
    let Value::Bytes(info) = field(any, 2)? else { return None };
    kind.ends_with(b"/google.rpc.RetryInfo").then_some(info)
}

fn field(message: &[u8], number: u64) -> Option<Value<'_>> {
    Reader::new(message).map_while(Result::ok).find(|(field, _)| *field == number).map(|(_, value)| value)
}

/// The bytes of a text in base64, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        bits = bits << 6 | u32::from(sextet(digit)?);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

fn sextet(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// A message of gRPC, in which `%20` is a space.
fn percent_decoded(text: &str) -> String {
    let (mut decoded, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status { details: [Any { "type.googleapis.com/google.rpc.RetryInfo", RetryInfo { 3.5 s } }] }
    const IN_3_5_SECONDS: &str = "CAgaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIAxCAyrXuAQ";

    #[test]
    fn another_attempt_is_made_after_the_codes_that_the_specification_names() {
        let again = |code: &u32| refused(*code, "", None).retry == Some(RetryAfter::Backoff);
        assert_eq!((1..100).filter(again).collect::<Vec<_>>(), RETRIED);
    }

    #[test]
    fn a_receiver_without_room_is_asked_again_only_when_it_says() {
        let after = RetryAfter::At(Duration::from_millis(3_500));
        assert_eq!(refused(RESOURCE_EXHAUSTED, "", None).retry, None);
        assert_eq!(refused(RESOURCE_EXHAUSTED, "", Some(IN_3_5_SECONDS)).retry, Some(after));
        assert_eq!(refused(14, "", Some(IN_3_5_SECONDS)).retry, Some(after));
        assert_eq!(refused(3, "", Some(IN_3_5_SECONDS)).retry, None, "an invalid argument stays one");
    }

    #[test]
    fn a_receiver_that_says_no_time_leaves_it_to_the_exporter() {
        let info = b"\x1a\x2c\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x00";
        assert_eq!(advice(info), Some(RetryAfter::Backoff));
    }

    #[test]
    fn what_is_no_detail_says_nothing() {
        for details in ["", "====", "!", "AAAA", "CAgaNgoodHlwZS5nb29nbGVhcGlz"] {
            assert_eq!(refused(RESOURCE_EXHAUSTED, "", Some(details)).retry, None, "{details}");
        }
    }

    #[test]
    fn the_message_of_a_receiver_is_shown_as_it_was_meant() {
        let reason = |code, message| refused(code, message, None).reason;
        assert_eq!(reason(3, "unknown%20unit%zz%"), "INVALID_ARGUMENT: unknown unit%zz%");
        assert_eq!(reason(14, ""), "UNAVAILABLE");
        assert_eq!(reason(99, "?"), "gRPC code 99: ?");
    }
}
