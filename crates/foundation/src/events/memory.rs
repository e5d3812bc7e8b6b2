//! The log in memory.
//!
//! 1. The held events have consecutive ids, and the last of them has the id `recorded`. So an event is
//!    found by subtraction, and the number of pruned events needs no counter.
//! 2. `recorded` never decreases. So no id is ever given twice.
//! 3. `recorded_at` never decreases from one event to the next, pruned ones included (`latest`). So a
//!    range of time is a slice, and pruning takes from the front only, which keeps 1.
//! 4. `bytes` is the sum over the held events.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::EventError;
use super::event::Event;
use super::id::EventId;
use super::limits::EventLimits;
use super::log::{EventLog, EventStats};
use super::new_event::NewEvent;
use super::query::Query;

/// An [`EventLog`] in memory, for tests and for programs that can afford to forget.
///
/// Appending and [`get`](EventLog::get) take constant time. A query finds its range of time by bisection
/// and walks through it until its limit is reached; there is no index by kind or correlation, whose
/// upkeep each append would pay. It grows until it is pruned.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use foundation::{EventLog, MemoryLog, NewEvent};
///
/// let mut log = MemoryLog::new("production");
/// let now = SystemTime::now();
/// let opened = log.append(NewEvent::new("opened")?, now)?;
/// assert_eq!(log.prune_before(now + Duration::from_secs(1))?, 1);
/// assert_eq!(log.get(opened)?, None);
/// // The id is not given again.
/// assert_eq!(log.append(NewEvent::new("closed")?, now)?.get(), 2);
/// # Ok::<(), foundation::EventError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryLog {
    namespace: String,
    limits: EventLimits,
    held: VecDeque<Held>,
    recorded: u64,
    latest: SystemTime,
    bytes: u64,
}

#[derive(Debug, Clone)]
struct Held {
    event: Arc<Event>,
    bytes: u64,
}

impl MemoryLog {
    /// An empty log of this namespace, with the default limits.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            limits: EventLimits::default(),
            held: VecDeque::new(),
            recorded: 0,
            latest: UNIX_EPOCH,
            bytes: 0,
        }
    }

    /// The same log with other limits; events that are already recorded stay.
    pub fn with_limits(mut self, limits: EventLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Records a checked event.
    fn push(&mut self, event: NewEvent, payload_bytes: usize, now: SystemTime) -> EventId {
        let id = EventId::after(self.recorded);
        self.latest = self.latest.max(now);
        let event = Arc::new(event.record(id, self.namespace.clone(), self.latest));
        let bytes = approximate_bytes(&event, payload_bytes);
        self.held.push_back(Held { event, bytes });
        self.recorded += 1;
        self.bytes += bytes;
        id
    }

    fn pruned(&self) -> u64 {
        self.recorded - self.held.len() as u64
    }

    /// The place in `held` of an event that is held or will be.
    fn place(&self, id: EventId) -> Option<usize> {
        let place = id.get().checked_sub(self.pruned() + 1)?;
        usize::try_from(place).ok()
    }
}

fn approximate_bytes(event: &Event, payload_bytes: usize) -> u64 {
    let source = event.source.as_ref().map_or(0, String::len);
    let texts = event.kind.as_str().len() + event.namespace.len() + source;
    (size_of::<Event>() + size_of::<Held>() + texts + payload_bytes) as u64
}

impl EventLog for MemoryLog {
    fn append(&mut self, event: NewEvent, now: SystemTime) -> Result<EventId, EventError> {
        match self.limits.check_one(0, &event) {
            Ok(bytes) => Ok(self.push(event, bytes, now)),
            Err(refusal) => Err(EventError::Refused { refusal, batch: vec![event] }),
        }
    }

    fn append_batch(&mut self, batch: Vec<NewEvent>, now: SystemTime) -> Result<Vec<EventId>, EventError> {
        match self.limits.check(&batch) {
            Ok(sizes) => {
                Ok((batch.into_iter().zip(sizes)).map(|(event, bytes)| self.push(event, bytes, now)).collect())
            }
            Err(refusal) => Err(EventError::Refused { refusal, batch }),
        }
    }

    fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, EventError> {
        let held = self.place(id).and_then(|place| self.held.get(place));
        Ok(held.map(|held| Arc::clone(&held.event)))
    }

    fn query(&self, query: &Query) -> Result<Vec<Arc<Event>>, EventError> {
        let time = |held: &Held| held.event.recorded_at;
        let begin = self.held.partition_point(|held| query.is_before(time(held)));
        let end = self.held.partition_point(|held| !query.is_past(time(held)));
        let range = self.held.range(begin..end.max(begin));
        let found = query.select(range.map(|held| &held.event));
        Ok(found.into_iter().map(Arc::clone).collect())
    }

    fn prune_before(&mut self, time: SystemTime) -> Result<u64, EventError> {
        let count = (self.held).partition_point(|held| held.event.recorded_at < time);
        self.bytes -= self.held.drain(..count).map(|held| held.bytes).sum::<u64>();
        Ok(count as u64)
    }

    fn stats(&self) -> Result<EventStats, EventError> {
        let id = |held: &Held| held.event.id;
        Ok(EventStats {
            recorded: self.recorded,
            held: self.held.len() as u64,
            pruned: self.pruned(),
            oldest: self.held.front().map(id),
            newest: self.held.back().map(id),
            bytes: self.bytes,
        })
    }
}
