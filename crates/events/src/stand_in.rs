//! The replacement of an event that cannot be read.

use std::time::SystemTime;

use serde_json::json;

use super::event::Event;
use super::id::EventId;
use super::kind::EventKind;
use super::source::EventSource;

/// The kind of an event that replaces another one, which cannot be read any more.
pub(super) const EVENT_LOST: EventKind = EventKind::from_static("event_lost");

/// An event of the kind [`EVENT_LOST`] with this id: ids stay without gaps, and a later reader sees that an event was
/// there, and what became of it.
pub(super) fn stand_in(id: EventId, reason: &str, namespace: &str, recorded_at: SystemTime) -> Event {
    Event {
        id,
        kind: EVENT_LOST,
        namespace: namespace.to_owned(),
        recorded_at,
        observed_at: recorded_at,
        correlation_id: uuid::Uuid::nil(),
        causation_id: None,
        source: Some(EventSource::new("event_store")),
        idempotency_key: None,
        payload: json!({ "reason": reason }),
    }
}
