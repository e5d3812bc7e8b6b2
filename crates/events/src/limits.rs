use serde_json::Value;

use super::event::Event;
use super::kind::EventKind;
use super::new_event::NewEvent;
use super::refusal::EventRefusal;
use super::source::EventSource;
use crate::json::{is_deeper_than, json_bytes};

/// The limits of a log, which keep one bad event from harming the others.
///
/// ```
/// use foundation_events::{EventLimits, MemoryLog};
///
/// let limits = EventLimits { max_payload_bytes: 4096, ..EventLimits::default() };
/// let log = MemoryLog::new("production").with_limits(limits);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLimits {
    /// Events in one batch; 10,000 by default.
    pub max_batch: usize,
    /// Bytes of one payload, written as JSON; 1 MiB by default.
    pub max_payload_bytes: usize,
    /// Levels of nesting of one payload; 64 by default. JSON readers commonly stop at 128.
    pub max_payload_depth: usize,
    /// Bytes of the name of a source and of its actor id, together; 256 by default.
    pub max_source_bytes: usize,
    /// Bytes of an idempotency key; 256 by default.
    pub max_key_bytes: usize,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self {
            max_batch: 10_000,
            max_payload_bytes: 1 << 20,
            max_payload_depth: 64,
            max_source_bytes: 256,
            max_key_bytes: 256,
        }
    }
}

impl EventLimits {
    /// The bytes of each payload of an acceptable batch, in order.
    ///
    /// The whole decision on a batch, for implementors of [`EventLog`](crate::EventLog). Costs one walk through each
    /// payload.
    ///
    /// ```
    /// use foundation_events::{EventLimits, NewEvent};
    ///
    /// let batch = [NewEvent::new("opened")?.payload("door")?];
    /// assert_eq!(EventLimits::default().check(&batch), Ok(vec![6]));
    /// # Ok::<(), foundation_events::EventError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first [`EventRefusal`] there is.
    pub fn check(&self, batch: &[NewEvent]) -> Result<Vec<usize>, EventRefusal> {
        if batch.len() > self.max_batch {
            return Err(EventRefusal::BatchTooLong { found: batch.len(), limit: self.max_batch });
        }
        (0..).zip(batch).map(|(index, event)| self.check_one(index, &event.parts())).collect()
    }

    /// The same of an event that another log has recorded.
    pub(super) fn check_recorded(&self, index: usize, event: &Event) -> Result<usize, EventRefusal> {
        let Event { kind, source, idempotency_key, payload, .. } = event;
        self.check_one(index, &Parts { kind, source: source.as_ref(), key: idempotency_key.as_deref(), payload })
    }

    fn check_one(&self, index: usize, event: &Parts<'_>) -> Result<usize, EventRefusal> {
        let kind = || event.kind.clone();
        let found = event.source.map_or(0, EventSource::bytes);
        if found > self.max_source_bytes {
            return Err(EventRefusal::SourceTooLong { index, kind: kind(), found, limit: self.max_source_bytes });
        }
        if let Some(found) = event.key.map(str::len).filter(|bytes| *bytes == 0 || *bytes > self.max_key_bytes) {
            return Err(EventRefusal::KeyLength { index, kind: kind(), found, limit: self.max_key_bytes });
        }
        // The depth comes first: measuring the bytes recurses, and would overflow the stack on what is
        // refused here.
        if is_deeper_than(self.max_payload_depth, event.payload) {
            return Err(EventRefusal::PayloadTooDeep { index, kind: kind(), limit: self.max_payload_depth });
        }
        let found = json_bytes(event.payload);
        if found > self.max_payload_bytes {
            return Err(EventRefusal::PayloadTooLarge { index, kind: kind(), found, limit: self.max_payload_bytes });
        }
        Ok(found)
    }
}

/// The parts of an event that have a limit.
pub(super) struct Parts<'a> {
    pub(super) kind: &'a EventKind,
    pub(super) source: Option<&'a EventSource>,
    pub(super) key: Option<&'a str>,
    pub(super) payload: &'a Value,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(Value::Null, |inner, _| json!([inner]))
    }

    fn check(event: NewEvent) -> Result<Vec<usize>, EventRefusal> {
        EventLimits::default().check(&[event])
    }

    fn with_payload(payload: Value) -> NewEvent {
        NewEvent::new("noted").unwrap().payload(payload).unwrap()
    }

    #[test]
    fn a_payload_of_exactly_the_allowed_depth_is_taken_and_one_more_level_is_refused() {
        assert_eq!(check(with_payload(nested(64))), Ok(vec![132]));
        let refusal = check(with_payload(nested(65))).unwrap_err();
        assert!(matches!(refusal, EventRefusal::PayloadTooDeep { limit: 64, .. }));
    }

    #[test]
    fn a_payload_of_exactly_the_allowed_size_is_taken_and_one_more_byte_is_refused() {
        let text = |bytes: usize| with_payload(Value::String("x".repeat(bytes - 2)));
        assert_eq!(check(text(1 << 20)), Ok(vec![1 << 20]));
        let refusal = check(text((1 << 20) + 1)).unwrap_err();
        assert!(matches!(refusal, EventRefusal::PayloadTooLarge { found: 1_048_577, .. }));
    }

    #[test]
    fn a_source_that_is_too_long_is_refused_with_its_place_in_the_batch() {
        let fine = NewEvent::new("noted").unwrap().source("s".repeat(256));
        let long = NewEvent::new("noted").unwrap().source("s".repeat(257));
        let refusal = EventLimits::default().check(&[fine, long]).unwrap_err();
        let message = "event 1 of the batch (noted) has a source of 257 bytes, and the log takes at most 256";
        assert_eq!(refusal.to_string(), message);
    }

    #[test]
    fn an_empty_batch_is_taken() {
        assert_eq!(EventLimits::default().check(&[]), Ok(vec![]));
    }
}
