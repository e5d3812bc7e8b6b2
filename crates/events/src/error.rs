use thiserror::Error;

use super::id::EventId;
use super::kind::EventKind;
use super::new_event::NewEvent;
use super::refusal::{EventRefusal, ImportRefusal};

/// Why an event could not be made, recorded or read.
///
/// ```
/// use std::time::SystemTime;
/// use foundation_events::{EventError, EventLimits, MemoryLog, NewEvent};
///
/// let limits = EventLimits { max_payload_bytes: 10, ..EventLimits::default() };
/// let log = MemoryLog::new("production").with_limits(limits);
/// let event = NewEvent::new("order_placed")?.payload("much too long")?;
///
/// let error = log.append(event.clone(), SystemTime::now()).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "event 0 of the batch (order_placed) has a payload of 15 bytes, and the log takes at most 10"
/// );
/// assert_eq!(error.into_batch(), [event]);
/// # Ok::<(), foundation_events::EventError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Error)]
pub enum EventError {
    /// The text is no [`EventKind`].
    #[error("event kind {kind:?} {fault}; wanted 1 to 128 bytes of [a-z0-9_.-] that start with a letter")]
    InvalidKind {
        /// The text, shortened to 64 characters.
        kind: String,
        /// What is wrong with it, and where.
        fault: KindFault,
    },
    /// The payload has no form in JSON, such as a map whose keys are no strings.
    #[error("the payload of a new event {kind} cannot be written as JSON: {reason}")]
    UnwritablePayload {
        /// The kind of the event.
        kind: EventKind,
        /// The serialiser's message.
        reason: String,
    },
    /// The payload of a recorded event is not of the type that the reader asked for.
    #[error("the payload of event {id} ({kind}) is no {wanted}: {reason}")]
    UnreadablePayload {
        /// The event.
        id: EventId,
        /// Its kind.
        kind: EventKind,
        /// The type that was asked for.
        wanted: &'static str,
        /// The deserialiser's message.
        reason: String,
    },
    /// The text is no [`SubscriptionName`](crate::SubscriptionName).
    #[error("subscription {name:?} {fault}; wanted 1 to 128 bytes of [a-z0-9_.-] that start with a letter")]
    InvalidSubscription {
        /// The text, shortened to 64 characters.
        name: String,
        /// What is wrong with it, and where.
        fault: KindFault,
    },
    /// The text is no JSON pointer.
    #[error("{pointer:?} is no JSON pointer; wanted \"\" for the whole payload, or a path such as \"/order/id\"")]
    InvalidPointer {
        /// The text, shortened to 64 characters.
        pointer: String,
    },
    /// The log is not where the writer expected it: another writer has recorded something. The batch is returned.
    #[error("the log is at {}, and the writer expected it at {}", position(.actual), position(.expected))]
    Conflict {
        /// Where it was expected.
        expected: Option<EventId>,
        /// Where it is.
        actual: Option<EventId>,
        /// The whole batch, in its order.
        batch: Vec<NewEvent>,
    },
    /// The log took none of the exported events.
    #[error(transparent)]
    NotImported(#[from] ImportRefusal),
    /// The log took none of the batch, which is returned.
    #[error("{refusal}")]
    Refused {
        /// The reason.
        refusal: EventRefusal,
        /// The whole batch, in its order.
        batch: Vec<NewEvent>,
    },
}

impl EventError {
    /// The events that were refused, in their order; empty if the error is not about a batch.
    pub fn into_batch(self) -> Vec<NewEvent> {
        match self {
            Self::Refused { batch, .. } | Self::Conflict { batch, .. } => batch,
            _ => Vec::new(),
        }
    }

    pub(super) fn invalid_kind(text: &str, fault: KindFault) -> Self {
        Self::InvalidKind { kind: shortened(text), fault }
    }

    pub(super) fn invalid_subscription(text: &str, fault: KindFault) -> Self {
        Self::InvalidSubscription { name: shortened(text), fault }
    }

    pub(super) fn invalid_pointer(text: &str) -> Self {
        Self::InvalidPointer { pointer: shortened(text) }
    }
}

/// Keeps a hostile text from filling the log that the error is printed to.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn position(id: &Option<EventId>) -> String {
    id.map_or_else(|| "its beginning".to_owned(), |id| format!("event {id}"))
}

/// What is wrong with a text that should be an [`EventKind`]; positions count characters from 1.
///
/// ```
/// use foundation_events::{EventError, EventKind, KindFault};
///
/// let error = EventKind::new("2nd").unwrap_err();
/// let fault = KindFault::BadStart { found: '2' };
/// assert_eq!(error, EventError::InvalidKind { kind: "2nd".into(), fault });
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KindFault {
    /// There is no text.
    #[error("is empty")]
    Empty,
    /// It is longer than [`EventKind::MAX_BYTES`].
    #[error("is {bytes} bytes long")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It starts with something else than a lower-case letter.
    #[error("starts with {found:?}")]
    BadStart {
        /// What it starts with.
        found: char,
    },
    /// It has a character that is not allowed.
    #[error("has {found:?} as character {position}")]
    BadCharacter {
        /// The character.
        found: char,
        /// Its position; the first character has position 1.
        position: usize,
    },
}
