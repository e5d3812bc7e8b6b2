use std::any::type_name;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::error::EventError;
use super::id::EventId;
use super::kind::EventKind;
use super::source::EventSource;
use foundation_kernel::text::excerpt;

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
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::new_event::NewEvent;
    use super::*;

    fn recorded(payload: &str) -> Event {
        let event = NewEvent::new("order_placed").unwrap();
        let event = event.payload(payload).unwrap().source("orders");
        event.record(EventId::FIRST, "production", UNIX_EPOCH)
    }

    #[test]
    fn an_event_survives_the_way_through_json() {
        let event = recorded("'; drop table events;-- \u{0}\u{1b}");
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }

    #[test]
    fn an_event_with_the_forged_id_0_is_not_read() {
        let text = serde_json::to_string(&recorded("x")).unwrap();
        let forged = text.replace("\"id\":1", "\"id\":0");
        assert!(serde_json::from_str::<Event>(&forged).is_err());
    }

    #[test]
    fn a_payload_of_another_type_is_refused_with_event_and_type() {
        let message = recorded("x").payload_as::<u32>().unwrap_err().to_string();
        assert!(message.starts_with("the payload of event 1 (order_placed) is no u32: "), "{message}");
    }
}
