use serde::{Deserialize, Serialize};

use crate::EventId;

/// How much a log has recorded, and how much of it is left.
///
/// ```
/// use std::time::SystemTime;
/// use foundation_events::{EventId, MemoryLog, NewEvent};
///
/// let log = MemoryLog::new("production");
/// log.append(NewEvent::new("opened")?, SystemTime::now())?;
///
/// let stats = log.stats();
/// assert_eq!((stats.recorded, stats.held, stats.pruned), (1, 1, 0));
/// assert_eq!(stats.newest, Some(EventId::FIRST));
/// # Ok::<(), foundation_events::EventError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventStats {
    /// The highest id ever given; as ids have no gaps, also how many events were ever recorded.
    pub recorded: u64,
    /// Events that can still be read.
    pub held: u64,
    /// Events that were pruned, or never imported; with the held ones they add up to `recorded`.
    pub pruned: u64,
    /// The oldest event that can still be read.
    pub oldest: Option<EventId>,
    /// The newest event that can still be read.
    pub newest: Option<EventId>,
    /// Bytes that the held events take, approximately: payloads count as their JSON.
    pub bytes: u64,
}

impl EventStats {
    /// The position of the log: the highest id ever given, `None` if nothing was ever recorded.
    pub fn position(&self) -> Option<EventId> {
        EventId::new(self.recorded)
    }
}
