use thiserror::Error;

use crate::{EventId, EventKind};

/// Why a log refused a batch, by its [`EventLimits`](crate::EventLimits); indexes count from 0.
///
/// ```
/// use std::time::SystemTime;
/// use foundation_events::{EventError, EventLimits, EventRefusal, MemoryLog, NewEvent};
///
/// let limits = EventLimits { max_batch: 1, ..EventLimits::default() };
/// let log = MemoryLog::new("production").with_limits(limits);
/// let batch = vec![NewEvent::new("opened")?, NewEvent::new("closed")?];
/// let Err(EventError::Refused { refusal, .. }) = log.append_batch(batch, SystemTime::now()) else {
///     panic!("two events are more than one");
/// };
/// assert_eq!(refusal, EventRefusal::BatchTooLong { found: 2, limit: 1 });
/// # Ok::<(), EventError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EventRefusal {
    /// The batch has too many events.
    #[error("the batch has {found} events, and the log takes at most {limit} at once")]
    BatchTooLong {
        /// Events in the batch.
        found: usize,
        /// Events that are allowed.
        limit: usize,
    },
    /// A payload is too large.
    #[error("event {index} of the batch ({kind}) has a payload of {found} bytes, and the log takes at most {limit}")]
    PayloadTooLarge {
        /// The place of the event in the batch.
        index: usize,
        /// Its kind.
        kind: EventKind,
        /// Bytes of the payload, as JSON.
        found: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
    /// A payload nests too deeply for a reader to take it safely.
    #[error(
        "event {index} of the batch ({kind}) has a payload that nests deeper than the {limit} levels that the log takes"
    )]
    PayloadTooDeep {
        /// The place of the event in the batch.
        index: usize,
        /// Its kind.
        kind: EventKind,
        /// Levels that are allowed.
        limit: usize,
    },
    /// The name of a source is too long.
    #[error("event {index} of the batch ({kind}) has a source of {found} bytes, and the log takes at most {limit}")]
    SourceTooLong {
        /// The place of the event in the batch.
        index: usize,
        /// Its kind.
        kind: EventKind,
        /// Bytes of the source.
        found: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
    /// The idempotency key is empty or too long.
    #[error(
        "event {index} of the batch ({kind}) has an idempotency key of {found} bytes, and the log takes 1 to {limit}"
    )]
    KeyLength {
        /// The place of the event in the batch.
        index: usize,
        /// Its kind.
        kind: EventKind,
        /// Bytes of the key.
        found: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
    /// The event that is named as the cause is not recorded yet, so it belongs to another store or is forged.
    #[error("event {index} of the batch ({kind}) names event {cause} as its cause, which is not recorded yet")]
    UnknownCause {
        /// The place of the event in the batch.
        index: usize,
        /// Its kind.
        kind: EventKind,
        /// The named cause.
        cause: EventId,
    },
}

/// Why a log did not take exported events.
///
/// ```
/// use foundation_events::{EventId, ImportRefusal};
///
/// let gap = ImportRefusal::OutOfOrder { found: EventId::new(7).unwrap(), expected: EventId::new(5).unwrap() };
/// assert_eq!(gap.to_string(), "event 7 cannot be imported: event 5 comes next");
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImportRefusal {
    /// The id is not the one that comes next: there would be a gap, or an event twice.
    #[error("event {found} cannot be imported: event {expected} comes next")]
    OutOfOrder {
        /// The id of the event.
        found: EventId,
        /// The id that comes next.
        expected: EventId,
    },
    /// The id is so high that the ids would run out.
    #[error("event {found} cannot be imported: a log takes ids up to {limit}")]
    IdTooHigh {
        /// The id of the event.
        found: EventId,
        /// The highest accepted id.
        limit: u64,
    },
    /// The name of its namespace is too long.
    #[error("event {id} cannot be imported: its namespace has {found} bytes, and a log takes at most {limit}")]
    NamespaceTooLong {
        /// Its id.
        id: EventId,
        /// The bytes of its namespace's name.
        found: usize,
        /// The most accepted bytes.
        limit: usize,
    },
    /// Its time is before that of the event before it, before 1970, or one that no log can keep.
    #[error("event {id} cannot be imported: its time is not one that comes next")]
    Time {
        /// The event.
        id: EventId,
    },
    /// Its cause would come after it.
    #[error("event {id} cannot be imported: its cause, event {cause}, is not before it")]
    Cause {
        /// The event.
        id: EventId,
        /// The event that it names as its cause.
        cause: EventId,
    },
    /// An event in the log has its idempotency key.
    #[error("event {id} cannot be imported: its idempotency key is that of event {first}")]
    KnownKey {
        /// The event.
        id: EventId,
        /// The event that has the key.
        first: EventId,
    },
    /// It is outside the limits of the log.
    #[error("event {id} cannot be imported: {refusal}")]
    Limits {
        /// The event.
        id: EventId,
        /// Which limit.
        refusal: EventRefusal,
    },
    /// A line is no event, or its checksum belongs to another event.
    #[error("line {line} cannot be imported: {reason}")]
    Line {
        /// Which line; the first is line 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}
