use std::fmt;

use serde::Serialize;

use crate::EventId;

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

/// What a reader does at a damaged event, or at one that is missing from the log. Everything before it is read in any
/// case.
///
/// | | query, export | subscription |
/// |---|---|---|
/// | [`Tell`](Self::Tell) | ends with an error that names the event | shows an error once; the next call goes on after the event |
/// | [`Skip`](Self::Skip) | goes on without it | goes on without it, and counts it |
/// | [`Stop`](Self::Stop) | as `Tell` | shows the error and ends |
///
/// Each skipped event is reported by a warning to `tracing`.
///
/// ```
/// use foundation_events::{OnDamaged, Query};
///
/// let whatever_is_left = Query::new().on_damaged(OnDamaged::Skip);
/// assert_eq!(OnDamaged::default(), OnDamaged::Tell);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDamaged {
    /// Reports it, once.
    #[default]
    Tell,
    /// Goes on without it.
    Skip,
    /// Reports it and ends.
    Stop,
}
