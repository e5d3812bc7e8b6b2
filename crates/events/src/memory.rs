use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::RwLock;

use super::append::{Append, Appended, ExpectedPosition};
use super::error::EventError;
use super::event::Event;
use super::failure::LogFailure;
use super::id::EventId;
use super::limits::EventLimits;
use super::log::{EventLog, EventReader, PruneBound, ReaderSource};
use super::memory_table::MemoryTable;
use super::new_event::NewEvent;
use super::parked::ParkedEvent;
use super::query::Query;
use super::stats::EventStats;
use super::subscription_name::SubscriptionName;
use super::verification::Verification;

/// An [`EventLog`] in memory, for tests and for programs that need no durable events.
///
/// Appending and [`get`](Self::get) take constant time. A query finds its range of time and its cursor by bisection
/// and walks through what is left until its limit is reached; there is no index by kind or correlation, whose
/// upkeep each append would pay. It grows until it is pruned.
///
/// A handle, cheap to clone: all clones are one log, so a store can close it and open it again.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use foundation_events::{MemoryLog, NewEvent};
///
/// let log = MemoryLog::new("production");
/// let now = SystemTime::now();
/// let opened = log.append(NewEvent::new("opened")?, now)?;
/// assert_eq!(log.prune_before(now + Duration::from_secs(1)), 1);
/// assert_eq!(log.get(opened), None);
/// // The id is not given again.
/// assert_eq!(log.append(NewEvent::new("closed")?, now)?.get(), 2);
/// # Ok::<(), foundation_events::EventError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryLog(Arc<RwLock<MemoryTable>>);

impl MemoryLog {
    /// An empty log of this namespace, with the default limits.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self(Arc::new(RwLock::new(MemoryTable::new(namespace.into(), EventLimits::default()))))
    }

    /// The same log with other limits; events that are already recorded stay.
    pub fn with_limits(self, limits: EventLimits) -> Self {
        self.0.write().limit(limits);
        self
    }

    /// Records one event.
    ///
    /// # Errors
    ///
    /// [`EventError::Refused`] with the event in it, if the event is outside the log's limits.
    pub fn append(&self, event: NewEvent, now: SystemTime) -> Result<EventId, EventError> {
        let appended = self.append_batch(vec![event], now)?;
        // One event, hence one id.
        Ok(appended.ids[0])
    }

    /// Records all events of a batch, in order, with one time, or none of them.
    ///
    /// # Errors
    ///
    /// [`EventError::Refused`] with the whole batch in it, if any event is outside the log's limits.
    pub fn append_batch(&self, batch: Vec<NewEvent>, now: SystemTime) -> Result<Appended, EventError> {
        self.0.write().append(Append::new(batch), now)
    }

    /// The same if the log is at this position: nothing else was recorded since the caller read.
    ///
    /// # Errors
    ///
    /// [`EventError::Conflict`] says where it is instead; [`EventError::Refused`]. Both have the batch in them.
    pub fn append_expecting(
        &self,
        expected: Option<EventId>,
        batch: Vec<NewEvent>,
        now: SystemTime,
    ) -> Result<Appended, EventError> {
        let append = Append::new(batch).expecting(ExpectedPosition::Exactly(expected));
        self.0.write().append(append, now)
    }

    /// The event with this id; `None` if it was pruned or is not recorded yet.
    pub fn get(&self, id: EventId) -> Option<Arc<Event>> {
        self.0.read().get(id)
    }

    /// The events that the query asks for, in its order.
    pub fn query(&self, query: &Query) -> Vec<Arc<Event>> {
        self.0.read().query(query)
    }

    /// Prunes all events recorded before this time, and returns how many.
    pub fn prune_before(&self, time: SystemTime) -> u64 {
        self.0.write().prune(PruneBound::Before(time), None, usize::MAX)
    }

    /// The statistics of the log.
    pub fn stats(&self) -> EventStats {
        self.0.read().stats()
    }

    /// Checks every event.
    pub fn verify(&self) -> Verification {
        self.0.read().verify()
    }
}

impl EventLog for MemoryLog {
    fn commit(&mut self, group: Vec<Append>, now: SystemTime) -> Result<Vec<Result<Appended, EventError>>, LogFailure> {
        self.commit_arriving(&mut group.into_iter(), &|| now)
    }

    fn commit_arriving(
        &mut self,
        group: &mut dyn Iterator<Item = Append>,
        clock: &dyn Fn() -> SystemTime,
    ) -> Result<Vec<Result<Appended, EventError>>, LogFailure> {
        let append = |append| {
            // The clock is foreign code: not under the lock, where a slow one would block all readers.
            let now = clock();
            self.0.write().append(append, now)
        };
        Ok(group.map(append).collect())
    }

    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> Result<u64, LogFailure> {
        Ok(self.0.write().prune(bound, keep_from, at_most))
    }

    fn acknowledge(&mut self, subscription: &SubscriptionName, up_to: EventId) -> Result<(), LogFailure> {
        self.0.write().acknowledge(subscription, up_to);
        Ok(())
    }

    fn forget_subscription(&mut self, subscription: &SubscriptionName) -> Result<bool, LogFailure> {
        Ok(self.0.write().forget_subscription(subscription))
    }

    fn park(&mut self, parked: &ParkedEvent, at_most: usize) -> Result<bool, LogFailure> {
        Ok(self.0.write().park(parked, at_most))
    }

    fn unpark(&mut self, subscription: &SubscriptionName, event: EventId) -> Result<bool, LogFailure> {
        Ok(self.0.write().unpark(subscription, event))
    }

    fn import(&mut self, events: Vec<Event>) -> Result<Result<(), EventError>, LogFailure> {
        Ok(self.0.write().import(events))
    }

    fn reader(&self) -> Result<Box<dyn EventReader>, LogFailure> {
        Ok(Box::new(self.clone()))
    }

    fn reader_source(&self) -> Option<ReaderSource> {
        let log = self.clone();
        Some(Arc::new(move || EventLog::reader(&log)))
    }
}

impl EventReader for MemoryLog {
    fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, LogFailure> {
        Ok(Self::get(self, id))
    }

    fn query(&self, query: &Query) -> Result<Vec<Arc<Event>>, LogFailure> {
        Ok(Self::query(self, query))
    }

    fn stats(&self) -> Result<EventStats, LogFailure> {
        Ok(Self::stats(self))
    }

    fn acknowledged(&self, subscription: &SubscriptionName) -> Result<Option<EventId>, LogFailure> {
        Ok(self.0.read().acknowledged(subscription))
    }

    fn parked(&self, subscription: &SubscriptionName) -> Result<Vec<ParkedEvent>, LogFailure> {
        Ok(self.0.read().parked(subscription))
    }

    fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<Verification, LogFailure> {
        let verification = Self::verify(self);
        progress(verification.checked);
        Ok(verification)
    }
}
