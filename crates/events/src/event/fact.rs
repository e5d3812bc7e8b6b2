//! An event, before and after it is recorded, and why it could not be made, recorded or read.

use std::any::type_name;
use std::str::FromStr;
use std::time::SystemTime;

use foundation_kernel::text::excerpt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use uuid::Uuid;

use crate::{EventId, EventKind, EventSource, InvalidNameReason};

/// A recorded fact.
///
/// Only a log makes one, out of a [`NewEvent`](crate::NewEvent); from then on it never changes. It
/// serialises to JSON and back without loss.
///
/// ```
/// use std::time::SystemTime;
/// use foundation_events::{MemoryLog, NewEvent};
///
/// let log = MemoryLog::new("production");
/// let id = log.append(NewEvent::new("order_placed")?.payload(3)?, SystemTime::now())?;
///
/// let event = log.get(id).expect("it was just recorded");
/// assert_eq!(event.kind.as_str(), "order_placed");
/// assert_eq!(event.namespace, "production");
/// assert_eq!(event.payload_as::<u32>()?, 3);
/// # Ok::<(), foundation_events::EventError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its position in its store.
    pub id: EventId,
    /// What sort of fact it is.
    pub kind: EventKind,
    /// The namespace whose store recorded it.
    pub namespace: String,
    /// When it was recorded; never earlier than the event before it. Ranges of time and ages refer to it.
    #[serde(with = "foundation_kernel::written::rfc3339")]
    pub recorded_at: SystemTime,
    /// The wall clock's time at that moment. The two differ while the clock, having been set back, catches up.
    #[serde(with = "foundation_kernel::written::rfc3339")]
    pub observed_at: SystemTime,
    /// The id that all events of one request share.
    pub correlation_id: Uuid,
    /// The event of the same store that led to it.
    pub causation_id: Option<EventId>,
    /// The service that reported it.
    pub source: Option<EventSource>,
    /// The key that makes a second append of the same fact harmless; see
    /// [`NewEvent::idempotency_key`](crate::NewEvent::idempotency_key).
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// The details, as JSON; `null` if there are none.
    pub payload: Value,
}

impl Event {
    /// The name of the service that reported it.
    pub fn service(&self) -> Option<&str> {
        self.source.as_ref().map(|source| source.service.as_str())
    }

    /// The payload as a `T`; costs one walk through the payload.
    ///
    /// # Errors
    ///
    /// [`EventError::UnreadablePayload`] if it is no `T`.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T, EventError> {
        T::deserialize(&self.payload).map_err(|error| EventError::UnreadablePayload {
            id: self.id,
            kind: self.kind.clone(),
            wanted: type_name::<T>(),
            reason: excerpt(&error.to_string()),
        })
    }

    /// The kind of an event that replaces another one, which cannot be read any more.
    pub(crate) const LOST: EventKind = EventKind::from_static("event_lost");

    /// An event of the kind [`LOST`](Self::LOST) with this id: ids stay without gaps, and a later reader sees that an
    /// event was there, and what became of it.
    pub(crate) fn lost(id: EventId, reason: &str, namespace: &str, recorded_at: SystemTime) -> Self {
        Self {
            id,
            kind: Self::LOST,
            namespace: namespace.to_owned(),
            recorded_at,
            observed_at: recorded_at,
            correlation_id: Uuid::nil(),
            causation_id: None,
            source: Some(EventSource::new("event_store")),
            idempotency_key: None,
            payload: json!({ "reason": reason }),
        }
    }
}

/// A fact that is not recorded yet: an [`Event`] without id, namespace and time, and its builder.
///
/// By default it has a fresh correlation id (a version 7 UUID), no cause, no source and the payload `null`. Drawing
/// that id reads the clock and the source of randomness, once, here; nothing below this type does.
///
/// ```
/// use std::time::SystemTime;
/// use foundation_events::{MemoryLog, NewEvent};
///
/// let log = MemoryLog::new("production");
/// let placed = NewEvent::new("order_placed")?.payload(vec!["tea", "milk"])?.source("shop");
/// let id = log.append(placed, SystemTime::now())?;
/// let placed = log.get(id).expect("it was just recorded");
///
/// let paid = NewEvent::new("order_paid")?.child_of(&placed);
/// assert_eq!(paid.correlation_id(), placed.correlation_id);
/// # Ok::<(), foundation_events::EventError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    kind: EventKind,
    correlation_id: Uuid,
    causation_id: Option<EventId>,
    source: Option<EventSource>,
    idempotency_key: Option<String>,
    payload: Value,
}

impl NewEvent {
    /// A new event of the kind with this name.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidKind`] if that is no kind.
    pub fn new(kind: impl Into<String>) -> Result<Self, EventError> {
        EventKind::new(kind).map(Self::of)
    }

    /// A new event of a kind that is already checked.
    ///
    /// ```
    /// use foundation_events::{EventKind, NewEvent};
    ///
    /// const PLACED: EventKind = EventKind::from_static("order_placed");
    /// assert_eq!(NewEvent::of(PLACED).kind(), &PLACED);
    /// ```
    pub fn of(kind: EventKind) -> Self {
        let correlation_id = Uuid::now_v7();
        Self { kind, correlation_id, causation_id: None, source: None, idempotency_key: None, payload: Value::Null }
    }

    /// Sets the payload, turned into JSON at once; floats that JSON lacks become `null`.
    ///
    /// # Errors
    ///
    /// [`EventError::UnwritablePayload`] if it has no form in JSON.
    pub fn payload(mut self, payload: impl Serialize) -> Result<Self, EventError> {
        self.payload = serde_json::to_value(payload)
            .map_err(|error| EventError::UnwritablePayload { kind: self.kind.clone(), reason: error.to_string() })?;
        Ok(self)
    }

    /// Sets the correlation id, which it shares with other events.
    pub fn correlation(mut self, id: Uuid) -> Self {
        self.correlation_id = id;
        self
    }

    /// Sets the cause, an event of the same store; the correlation id stays as it is.
    ///
    /// Use [`child_of`](Self::child_of) unless the two belong to different requests.
    pub fn caused_by(mut self, cause: &Event) -> Self {
        self.causation_id = Some(cause.id);
        self
    }

    /// Sets the cause, an event of the same store, and takes its correlation id.
    pub fn child_of(self, parent: &Event) -> Self {
        self.correlation(parent.correlation_id).caused_by(parent)
    }

    /// Sets the service that reports it, or one actor of it.
    pub fn source(mut self, source: impl Into<EventSource>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets a key that makes it harmless to append it again, for example after an append without an answer. While an
    /// event with this key is in the log, another one is not recorded, and the id of the first is returned. The key
    /// alone decides. It is forgotten when its event is pruned.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Its payload; `null` if it has none.
    pub fn payload_value(&self) -> &Value {
        &self.payload
    }

    /// Its kind.
    pub fn kind(&self) -> &EventKind {
        &self.kind
    }

    /// Its correlation id, with which its descendants will be found.
    pub fn correlation_id(&self) -> Uuid {
        self.correlation_id
    }

    /// The id of its cause, if it has one.
    pub fn causation_id(&self) -> Option<EventId> {
        self.causation_id
    }

    /// Its idempotency key, if it has one.
    pub fn key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    /// The event as recorded with this id at this time, which is both the clock's time and the recorded one; for
    /// implementors of [`EventLog`](crate::EventLog).
    ///
    /// ```
    /// use std::time::UNIX_EPOCH;
    /// use foundation_events::{EventId, NewEvent};
    ///
    /// let event = NewEvent::new("opened")?.record(EventId::FIRST, "production", UNIX_EPOCH);
    /// assert_eq!(event.id, EventId::FIRST);
    /// # Ok::<(), foundation_events::EventError>(())
    /// ```
    pub fn record(self, id: EventId, namespace: impl Into<String>, at: SystemTime) -> Event {
        Event {
            id,
            kind: self.kind,
            namespace: namespace.into(),
            recorded_at: at,
            observed_at: at,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            source: self.source,
            idempotency_key: self.idempotency_key,
            payload: self.payload,
        }
    }

    /// The service that reports it, if it is known.
    pub(crate) fn reporter(&self) -> Option<&EventSource> {
        self.source.as_ref()
    }
}

/// Why an event could not be made, recorded or read.
///
/// ```
/// use std::time::SystemTime;
/// use foundation_events::{EventError, EventLimits, MemoryLog, NewEvent};
///
/// let limits = EventLimits::new().max_payload_bytes(10);
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
    #[error("event kind {kind:?} {reason}; wanted 1 to 128 bytes of [a-z0-9_.-] that start with a letter")]
    InvalidKind {
        /// The text, shortened to 64 characters.
        kind: String,
        /// What is wrong with it, and where.
        reason: InvalidNameReason,
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
    #[error("subscription {name:?} {reason}; wanted 1 to 128 bytes of [a-z0-9_.-] that start with a letter")]
    InvalidSubscription {
        /// The text, shortened to 64 characters.
        name: String,
        /// What is wrong with it, and where.
        reason: InvalidNameReason,
    },
    /// The text is no [`EventId`].
    #[error("{text:?} is no id of an event; wanted a number from 1 to {}", u64::MAX)]
    InvalidId {
        /// The text, shortened to 64 characters.
        text: String,
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
    NotImported(#[from] ImportError),
    /// The log took none of the batch, which is returned.
    #[error("{error}")]
    Refused {
        /// The reason.
        error: BatchError,
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

    fn invalid_kind(text: &str, reason: InvalidNameReason) -> Self {
        Self::InvalidKind { kind: shortened(text), reason }
    }

    pub(crate) fn invalid_subscription(text: &str, reason: InvalidNameReason) -> Self {
        Self::InvalidSubscription { name: shortened(text), reason }
    }

    pub(crate) fn invalid_pointer(text: &str) -> Self {
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
/// assert_eq!(error, BatchError::TooLong { found: 2, limit: 1 });
/// # Ok::<(), EventError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchError {
    /// The batch has too many events.
    #[error("the batch has {found} events, and the log takes at most {limit} at once")]
    TooLong {
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

// Here and not beside the types: the error has ids and kinds in it, and the files would import each other.
impl FromStr for EventId {
    type Err = EventError;

    /// The id with this number, in decimal digits.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidId`] if that is no number, or 0.
    fn from_str(text: &str) -> Result<Self, EventError> {
        let number = text.parse().ok().and_then(Self::new);
        number.ok_or_else(|| EventError::InvalidId { text: shortened(text) })
    }
}

impl EventKind {
    /// A checked kind.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidKind`], which says which character is wrong and where.
    pub fn new(text: impl Into<String>) -> Result<Self, EventError> {
        Self::check(text.into()).map_err(|(text, reason)| EventError::invalid_kind(&text, reason))
    }
}

impl FromStr for EventKind {
    type Err = EventError;

    fn from_str(text: &str) -> Result<Self, EventError> {
        Self::new(text)
    }
}

impl TryFrom<String> for EventKind {
    type Error = EventError;

    fn try_from(text: String) -> Result<Self, EventError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests;
