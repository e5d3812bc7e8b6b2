use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::error::EventError;
use super::event::Event;
use super::id::EventId;
use super::kind::EventKind;
use super::limits::Parts;
use super::source::EventSource;

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

    pub(super) fn parts(&self) -> Parts<'_> {
        let Self { kind, source, idempotency_key, payload, .. } = self;
        Parts { kind, source: source.as_ref(), key: idempotency_key.as_deref(), payload }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::UNIX_EPOCH;

    use super::*;

    fn event() -> NewEvent {
        NewEvent::new("order_placed").unwrap()
    }

    #[test]
    fn two_new_events_have_different_correlation_ids_of_version_7() {
        let (one, other) = (event().correlation_id(), event().correlation_id());
        assert_ne!(one, other);
        assert_eq!(one.get_version_num(), 7);
    }

    #[test]
    fn a_child_carries_correlation_and_cause_on() {
        let parent = event().record(EventId::FIRST, "production", UNIX_EPOCH);
        let child = event().child_of(&parent).record(EventId::new(2).unwrap(), "production", UNIX_EPOCH);
        assert_eq!(child.correlation_id, parent.correlation_id);
        assert_eq!(child.causation_id, Some(parent.id));
    }

    #[test]
    fn a_caused_event_keeps_its_own_correlation() {
        let parent = event().record(EventId::FIRST, "production", UNIX_EPOCH);
        let caused = event().caused_by(&parent);
        assert_ne!(caused.correlation_id(), parent.correlation_id);
    }

    #[test]
    fn a_payload_without_a_form_in_json_is_refused_with_the_kind() {
        let payload = BTreeMap::from([((1, 2), 3)]);
        let message = event().payload(payload).unwrap_err().to_string();
        assert!(message.contains("order_placed"), "{message}");
    }
}
