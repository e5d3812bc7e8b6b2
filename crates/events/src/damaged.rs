use std::fmt;

use serde::Serialize;

use super::id::EventId;

/// An event that was recorded and cannot be read any more as it was: its row was changed, by a failing disk or by a
/// tool.
///
/// ```
/// use foundation_events::{DamagedEvent, EventId};
///
/// let damaged = DamagedEvent::new(EventId::FIRST, "its payload is no JSON");
/// assert_eq!(damaged.to_string(), "the row of event 1 is damaged: its payload is no JSON");
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedEvent {
    /// The event.
    pub event: EventId,
    /// What is wrong with it.
    pub reason: String,
}

impl DamagedEvent {
    /// This event, for this reason; for implementors of [`EventLog`](crate::EventLog).
    pub fn new(event: EventId, reason: impl Into<String>) -> Self {
        Self { event, reason: reason.into() }
    }
}

impl fmt::Display for DamagedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the row of event {} is damaged: {}", self.event, self.reason)
    }
}
