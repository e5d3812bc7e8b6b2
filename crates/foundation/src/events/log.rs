use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::error::EventError;
use super::event::Event;
use super::id::EventId;
use super::new_event::NewEvent;
use super::query::Query;

/// The seam between the event store and whatever keeps its events.
///
/// Every log keeps these promises: ids are gapless and increase from 1, and are never given twice, also
/// after everything was pruned; the time of an event is never earlier than that of the event before it,
/// even if `now` goes backwards; a batch is taken whole or not at all. [`MemoryLog`](crate::MemoryLog) is
/// the one that forgets everything when it is dropped.
///
/// A log has one writer, hence `&mut self`, and is told the time instead of asking for it. Events are
/// handed out shared, so that reading copies no payload.
///
/// ```
/// use std::time::SystemTime;
/// use foundation::{EventError, EventLog, NewEvent, Query};
///
/// fn record_and_count(log: &mut dyn EventLog) -> Result<usize, EventError> {
///     let now = SystemTime::now();
///     log.append_batch(vec![NewEvent::new("opened")?, NewEvent::new("closed")?], now)?;
///     Ok(log.query(&Query::new())?.len())
/// }
/// # let mut log = foundation::MemoryLog::new("production");
/// # assert_eq!(record_and_count(&mut log)?, 2);
/// # Ok::<(), EventError>(())
/// ```
pub trait EventLog: Send {
    /// Records one event; `Ok` means that it is as safe as this log makes events.
    ///
    /// # Errors
    ///
    /// [`EventError::Refused`] with the event in it, if the event is outside the log's limits.
    fn append(&mut self, event: NewEvent, now: SystemTime) -> Result<EventId, EventError>;

    /// Records all events of a batch, in order, with one time; the ids are in the order of the batch.
    ///
    /// # Errors
    ///
    /// [`EventError::Refused`] with the whole batch in it, if any event is outside the log's limits.
    /// Nothing is recorded then.
    fn append_batch(&mut self, batch: Vec<NewEvent>, now: SystemTime) -> Result<Vec<EventId>, EventError>;

    /// The event with this id; `None` if it was pruned or is not recorded yet.
    ///
    /// # Errors
    ///
    /// Only logs that do I/O have any.
    fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, EventError>;

    /// The events that the query asks for, in its order.
    ///
    /// # Errors
    ///
    /// Only logs that do I/O have any.
    fn query(&self, query: &Query) -> Result<Vec<Arc<Event>>, EventError>;

    /// Forgets all events recorded before this time, and says how many.
    ///
    /// # Errors
    ///
    /// Only logs that do I/O have any.
    fn prune_before(&mut self, time: SystemTime) -> Result<u64, EventError>;

    /// How much there is.
    ///
    /// # Errors
    ///
    /// Only logs that do I/O have any.
    fn stats(&self) -> Result<EventStats, EventError>;
}

/// How much a log has recorded, and how much of it is left.
///
/// ```
/// use std::time::SystemTime;
/// use foundation::{EventId, EventLog, MemoryLog, NewEvent};
///
/// let mut log = MemoryLog::new("production");
/// log.append(NewEvent::new("opened")?, SystemTime::now())?;
///
/// let stats = log.stats()?;
/// assert_eq!((stats.recorded, stats.held, stats.pruned), (1, 1, 0));
/// assert_eq!(stats.newest, Some(EventId::FIRST));
/// # Ok::<(), foundation::EventError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventStats {
    /// Events ever recorded, which is also the highest id ever given.
    pub recorded: u64,
    /// Events that can still be read.
    pub held: u64,
    /// Events that were pruned; with those held they are all that were recorded.
    pub pruned: u64,
    /// The oldest event that can still be read.
    pub oldest: Option<EventId>,
    /// The newest event that can still be read.
    pub newest: Option<EventId>,
    /// Bytes that the held events take, approximately: payloads count as their JSON.
    pub bytes: u64,
}
