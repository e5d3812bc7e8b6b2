use thiserror::Error;

use crate::{BatchError, EventId};

/// Why a log did not take exported events.
///
/// ```
/// use foundation_events::{EventId, ImportError};
///
/// let gap = ImportError::OutOfOrder { found: EventId::new(7).unwrap(), expected: EventId::new(5).unwrap() };
/// assert_eq!(gap.to_string(), "event 7 cannot be imported: event 5 comes next");
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImportError {
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
    #[error("event {id} cannot be imported: {error}")]
    Limits {
        /// The event.
        id: EventId,
        /// Which limit.
        error: BatchError,
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
