//! Whether a log takes an append, or exported events: pure decisions that every log shares.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::json::{is_deeper_than, json_bytes};
use crate::{BatchError, Event, EventError, EventId, EventKind, EventSource, ImportError, NewEvent};

/// A batch of events to record, all of it or nothing.
///
/// ```
/// use foundation_events::{Append, EventId, ExpectedPosition, NewEvent};
///
/// let batch = vec![NewEvent::new("order_paid")?];
/// let append = Append::new(batch).expecting(ExpectedPosition::Exactly(Some(EventId::FIRST)));
/// # Ok::<(), foundation_events::EventError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// The events, in their order.
    pub batch: Vec<NewEvent>,
    /// The position that the log must have.
    pub expected: ExpectedPosition,
}

/// The position that a log must have to take an append: the state on which its writer has decided.
///
/// ```
/// assert_eq!(foundation_events::ExpectedPosition::default(), foundation_events::ExpectedPosition::Any);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExpectedPosition {
    /// Any position.
    #[default]
    Any,
    /// At exactly this position: the highest id that was ever given; `None` if nothing was ever recorded.
    Exactly(Option<EventId>),
}

/// The outcome of an append.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Appended {
    /// The ids of the events, in the order of the batch; for a known key, the id of the first event with it.
    pub ids: Vec<EventId>,
    /// The position of the log after the append.
    pub position: Option<EventId>,
    /// The events that are new, in ascending order.
    pub events: Vec<Arc<Event>>,
}

impl Append {
    /// An append of these events, wherever the log is.
    pub fn new(batch: Vec<NewEvent>) -> Self {
        Self { batch, expected: ExpectedPosition::Any }
    }

    /// The same, if the log is at this position.
    pub fn expecting(mut self, expected: ExpectedPosition) -> Self {
        self.expected = expected;
        self
    }

    /// The whole decision on whether a log at this position takes the append; returns the events with the bytes of
    /// their payloads as JSON. For implementors of [`EventLog`](crate::EventLog); costs one walk through each payload.
    ///
    /// ```
    /// use foundation_events::{Append, EventLimits, NewEvent};
    ///
    /// let append = Append::new(vec![NewEvent::new("opened")?.payload("door")?]);
    /// let taken = append.admit(&EventLimits::default(), None)?;
    /// assert_eq!(taken.map(|(_, bytes)| bytes).collect::<Vec<_>>(), [6]);
    /// # Ok::<(), foundation_events::EventError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EventError::Conflict`] if the log is at another position, [`EventError::Refused`] if an event is outside the
    /// limits or names a cause that is not recorded yet; each with the batch.
    pub fn admit(
        self,
        limits: &EventLimits,
        position: Option<EventId>,
    ) -> Result<impl ExactSizeIterator<Item = (NewEvent, usize)> + use<>, EventError> {
        let Self { batch, expected } = self;
        if let ExpectedPosition::Exactly(expected) = expected
            && expected != position
        {
            return Err(EventError::Conflict { expected, actual: position, batch });
        }
        match limits.check(&batch).and_then(|sizes| causes_are_recorded(&batch, position).map(|()| sizes)) {
            Ok(sizes) => Ok(batch.into_iter().zip(sizes)),
            Err(error) => Err(EventError::Refused { error, batch }),
        }
    }
}

impl Appended {
    /// The outcome of an append.
    pub fn new(ids: Vec<EventId>, position: Option<EventId>, events: Vec<Arc<Event>>) -> Self {
        Self { ids, position, events }
    }
}

/// No effect comes before its cause: so following causes always ends.
fn causes_are_recorded(batch: &[NewEvent], position: Option<EventId>) -> Result<(), BatchError> {
    let forged = (0..).zip(batch).find_map(|(index, event)| {
        let cause = event.causation_id().filter(|cause| Some(*cause) > position)?;
        Some(BatchError::UnknownCause { index, kind: event.kind().clone(), cause })
    });
    forged.map_or(Ok(()), Err)
}

foundation_kernel::limits! {
    /// The limits of a log, which keep one bad event from harming the others.
    ///
    /// ```
    /// use foundation_events::{EventLimits, MemoryLog};
    ///
    /// let limits = EventLimits::new().max_payload_bytes(4096);
    /// let log = MemoryLog::new("production").with_limits(limits);
    /// ```
    pub struct EventLimits {
        /// The most events of one batch; 10,000.
        max_batch: usize = 10_000,
        /// The most bytes of one payload, written as JSON; 1 MiB.
        max_payload_bytes: usize = 1 << 20,
        /// The most levels of nesting of one payload; 64. JSON readers commonly stop at 128.
        max_payload_depth: usize = 64,
        /// The most bytes of the name of a source and of its actor id, together; 256.
        max_source_bytes: usize = 256,
        /// The most bytes of an idempotency key; 256.
        max_key_bytes: usize = 256,
    }
}

impl EventLimits {
    /// The most bytes of one payload, written as JSON.
    pub fn payload_bytes(&self) -> usize {
        self.max_payload_bytes
    }

    /// The most levels of nesting of one payload.
    pub fn payload_depth(&self) -> usize {
        self.max_payload_depth
    }

    /// The most bytes of the name of a source and of its actor id, together.
    pub fn source_bytes(&self) -> usize {
        self.max_source_bytes
    }

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
    /// The first [`BatchError`].
    pub fn check(&self, batch: &[NewEvent]) -> Result<Vec<usize>, BatchError> {
        if batch.len() > self.max_batch {
            return Err(BatchError::TooLong { found: batch.len(), limit: self.max_batch });
        }
        (0..).zip(batch).map(|(index, event)| self.check_one(index, &Parts::of_new(event))).collect()
    }

    /// The bytes of each payload of exported events, or the first reason to refuse them, for a log at this position
    /// whose last event was recorded at `latest`. Idempotency keys are left to the log, which has the table of them.
    pub(crate) fn check_import(
        &self,
        position: Option<EventId>,
        latest: SystemTime,
        events: &[Event],
    ) -> Result<Vec<usize>, ImportError> {
        let mut importing = Importing { limits: self, position, latest };
        (0..).zip(events).map(|(index, event)| importing.next(index, event)).collect()
    }

    fn check_one(&self, index: usize, event: &Parts<'_>) -> Result<usize, BatchError> {
        let kind = || event.kind.clone();
        let found = event.source.map_or(0, EventSource::bytes);
        if found > self.max_source_bytes {
            return Err(BatchError::SourceTooLong { index, kind: kind(), found, limit: self.max_source_bytes });
        }
        if let Some(found) = event.key.map(str::len).filter(|bytes| *bytes == 0 || *bytes > self.max_key_bytes) {
            return Err(BatchError::KeyLength { index, kind: kind(), found, limit: self.max_key_bytes });
        }
        // The depth comes first: measuring the bytes recurses, and would overflow the stack on what is
        // refused here.
        if is_deeper_than(self.max_payload_depth, event.payload) {
            return Err(BatchError::PayloadTooDeep { index, kind: kind(), limit: self.max_payload_depth });
        }
        let found = json_bytes(event.payload);
        if found > self.max_payload_bytes {
            return Err(BatchError::PayloadTooLarge { index, kind: kind(), found, limit: self.max_payload_bytes });
        }
        Ok(found)
    }
}

/// The parts of an event that have a limit.
struct Parts<'a> {
    kind: &'a EventKind,
    source: Option<&'a EventSource>,
    key: Option<&'a str>,
    payload: &'a Value,
}

impl<'a> Parts<'a> {
    fn of_new(event: &'a NewEvent) -> Self {
        Self { kind: event.kind(), source: event.reporter(), key: event.key(), payload: event.payload_value() }
    }

    fn of_recorded(event: &'a Event) -> Self {
        let Event { kind, source, idempotency_key, payload, .. } = event;
        Self { kind, source: source.as_ref(), key: idempotency_key.as_deref(), payload }
    }
}

/// The time nearest to this one that every log can keep: from 1970 to 2262, the 64-bit range of nanoseconds.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use foundation_events::recordable;
///
/// assert_eq!(recordable(UNIX_EPOCH - Duration::from_secs(1)), UNIX_EPOCH);
/// ```
pub fn recordable(time: SystemTime) -> SystemTime {
    time.clamp(UNIX_EPOCH, UNIX_EPOCH + Duration::from_nanos(i64::MAX as u64))
}

/// The highest accepted id: beyond, logs with signed numbers would run out of ids.
const MAX_ID: u64 = 1 << 62;
/// The longest accepted name of a namespace, in bytes, so that no line brings more than the limits of events allow.
const MAX_NAMESPACE: usize = 256;

/// The state of a log during an import.
struct Importing<'a> {
    limits: &'a EventLimits,
    /// The highest id that was ever given.
    position: Option<EventId>,
    /// When the last event was recorded.
    latest: SystemTime,
}

impl Importing<'_> {
    fn next(&mut self, index: usize, event: &Event) -> Result<usize, ImportError> {
        let id = event.id;
        let expected = self.position.map_or(id, |position| EventId::after(position.get()));
        if id != expected {
            return Err(ImportError::OutOfOrder { found: id, expected });
        }
        if id.get() > MAX_ID {
            return Err(ImportError::IdTooHigh { found: id, limit: MAX_ID });
        }
        let bytes = event.namespace.len();
        if bytes > MAX_NAMESPACE {
            return Err(ImportError::NamespaceTooLong { id, found: bytes, limit: MAX_NAMESPACE });
        }
        let times = [event.recorded_at, event.observed_at];
        if event.recorded_at < self.latest || times.iter().any(|time| recordable(*time) != *time) {
            return Err(ImportError::Time { id });
        }
        if let Some(cause) = event.causation_id.filter(|cause| *cause >= id) {
            return Err(ImportError::Cause { id, cause });
        }
        (self.position, self.latest) = (Some(id), event.recorded_at);
        self.limits.check_one(index, &Parts::of_recorded(event)).map_err(|error| ImportError::Limits { id, error })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(Value::Null, |inner, _| json!([inner]))
    }

    fn check(event: NewEvent) -> Result<Vec<usize>, BatchError> {
        EventLimits::default().check(&[event])
    }

    fn with_payload(payload: Value) -> NewEvent {
        NewEvent::new("noted").unwrap().payload(payload).unwrap()
    }

    #[test]
    fn a_payload_of_exactly_the_allowed_depth_is_taken_and_one_more_level_is_refused() {
        assert_eq!(check(with_payload(nested(64))), Ok(vec![132]));
        let error = check(with_payload(nested(65))).unwrap_err();
        assert!(matches!(error, BatchError::PayloadTooDeep { limit: 64, .. }));
    }

    #[test]
    fn a_payload_of_exactly_the_allowed_size_is_taken_and_one_more_byte_is_refused() {
        let text = |bytes: usize| with_payload(Value::String("x".repeat(bytes - 2)));
        assert_eq!(check(text(1 << 20)), Ok(vec![1 << 20]));
        let error = check(text((1 << 20) + 1)).unwrap_err();
        assert!(matches!(error, BatchError::PayloadTooLarge { found: 1_048_577, .. }));
    }

    #[test]
    fn a_source_that_is_too_long_is_refused_with_its_place_in_the_batch() {
        let fine = NewEvent::new("noted").unwrap().source("s".repeat(256));
        let long = NewEvent::new("noted").unwrap().source("s".repeat(257));
        let error = EventLimits::default().check(&[fine, long]).unwrap_err();
        let message = "event 1 of the batch (noted) has a source of 257 bytes, and the log takes at most 256";
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn an_empty_batch_is_taken() {
        assert_eq!(EventLimits::default().check(&[]), Ok(vec![]));
    }
}
