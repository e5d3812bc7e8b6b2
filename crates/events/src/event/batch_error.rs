use thiserror::Error;

use crate::{EventId, EventKind};

/// Why a log refused a batch, by its [`EventLimits`](crate::EventLimits); indexes count from 0.
///
/// ```
/// use std::time::SystemTime;
/// use foundation_events::{EventError, EventLimits, BatchError, MemoryLog, NewEvent};
///
/// let limits = EventLimits::new().max_batch(1);
/// let log = MemoryLog::new("production").with_limits(limits);
/// let batch = vec![NewEvent::new("opened")?, NewEvent::new("closed")?];
/// let Err(EventError::Refused { error, .. }) = log.append_batch(batch, SystemTime::now()) else {
///     panic!("two events are more than one");
/// };
/// assert_eq!(error, BatchError::BatchTooLong { found: 2, limit: 1 });
/// # Ok::<(), EventError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchError {
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
