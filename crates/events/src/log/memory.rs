//! The contents of a log in memory: the events, and the tables by which they are found.
//!
//! 1. The held events have consecutive ids, and the last of them has the id `recorded`. So an event is
//!    found by subtraction, and the number of pruned events needs no counter.
//! 2. `recorded` never decreases. So no id is ever given twice.
//! 3. `recorded_at` never decreases from one event to the next, pruned ones included (`latest`). So a
//!    range of time is a slice, and pruning takes from the front only, which keeps 1.
//! 4. `bytes` is the sum over the held events, and `keys` has the keys of the held events and no others.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem::size_of;
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::RwLock;

use crate::{
    Append, Appended, Event, EventError, EventId, EventLimits, EventLog, EventReader, EventStats, ExpectedPosition,
    ImportError, LogError, NewEvent, Order, ParkedEvent, PruneBound, Query, QueryParts, ReaderSource, SubscriptionName,
    Verification, recordable,
};

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
    fn commit(&mut self, group: Vec<Append>, now: SystemTime) -> Result<Vec<Result<Appended, EventError>>, LogError> {
        self.commit_arriving(&mut group.into_iter(), &|| now)
    }

    fn commit_arriving(
        &mut self,
        group: &mut dyn Iterator<Item = Append>,
        clock: &dyn Fn() -> SystemTime,
    ) -> Result<Vec<Result<Appended, EventError>>, LogError> {
        let append = |append| {
            // The clock is foreign code: not under the lock, where a slow one would block all readers.
            let now = clock();
            self.0.write().append(append, now)
        };
        Ok(group.map(append).collect())
    }

    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> Result<u64, LogError> {
        Ok(self.0.write().prune(bound, keep_from, at_most))
    }

    fn acknowledge(&mut self, subscription: &SubscriptionName, up_to: EventId) -> Result<(), LogError> {
        self.0.write().acknowledge(subscription, up_to);
        Ok(())
    }

    fn forget_subscription(&mut self, subscription: &SubscriptionName) -> Result<bool, LogError> {
        Ok(self.0.write().forget_subscription(subscription))
    }

    fn park(&mut self, parked: &ParkedEvent, at_most: usize) -> Result<bool, LogError> {
        Ok(self.0.write().park(parked, at_most))
    }

    fn unpark(&mut self, subscription: &SubscriptionName, event: EventId) -> Result<bool, LogError> {
        Ok(self.0.write().unpark(subscription, event))
    }

    fn import(&mut self, events: Vec<Event>) -> Result<Result<(), EventError>, LogError> {
        Ok(self.0.write().import(events))
    }

    fn reader(&self) -> Result<Box<dyn EventReader>, LogError> {
        Ok(Box::new(self.clone()))
    }

    fn reader_source(&self) -> Option<ReaderSource> {
        let log = self.clone();
        Some(Arc::new(move || EventLog::reader(&log)))
    }
}

impl EventReader for MemoryLog {
    fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, LogError> {
        Ok(Self::get(self, id))
    }

    fn query(&self, query: &Query) -> Result<Vec<Arc<Event>>, LogError> {
        Ok(Self::query(self, query))
    }

    fn stats(&self) -> Result<EventStats, LogError> {
        Ok(Self::stats(self))
    }

    fn acknowledged(&self, subscription: &SubscriptionName) -> Result<Option<EventId>, LogError> {
        Ok(self.0.read().acknowledged(subscription))
    }

    fn parked(&self, subscription: &SubscriptionName) -> Result<Vec<ParkedEvent>, LogError> {
        Ok(self.0.read().parked(subscription))
    }

    fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<Verification, LogError> {
        let verification = Self::verify(self);
        progress(verification.checked);
        Ok(verification)
    }
}

#[derive(Debug)]
struct MemoryTable {
    namespace: String,
    limits: EventLimits,
    held: VecDeque<HeldEvent>,
    keys: HashMap<String, EventId>,
    acknowledged: BTreeMap<SubscriptionName, EventId>,
    parked: BTreeMap<SubscriptionName, BTreeMap<EventId, ParkedEvent>>,
    recorded: u64,
    latest: SystemTime,
    bytes: u64,
}

#[derive(Debug)]
struct HeldEvent {
    event: Arc<Event>,
    bytes: u64,
}

impl MemoryTable {
    fn new(namespace: String, limits: EventLimits) -> Self {
        Self {
            namespace,
            limits,
            held: VecDeque::new(),
            keys: HashMap::new(),
            acknowledged: BTreeMap::new(),
            parked: BTreeMap::new(),
            recorded: 0,
            latest: UNIX_EPOCH,
            bytes: 0,
        }
    }

    fn limit(&mut self, limits: EventLimits) {
        self.limits = limits;
    }

    // ---- writing ----

    fn append(&mut self, append: Append, now: SystemTime) -> Result<Appended, EventError> {
        let batch = append.admit(&self.limits, self.position())?;
        let now = recordable(now);
        let (mut ids, mut events) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for (event, payload_bytes) in batch {
            match event.key().and_then(|key| self.keys.get(key)) {
                Some(first) => ids.push(*first),
                None => {
                    let event = self.record(event, payload_bytes, now);
                    ids.push(event.id);
                    events.push(event);
                }
            }
        }
        Ok(Appended::new(ids, self.position(), events))
    }

    fn record(&mut self, event: NewEvent, payload_bytes: usize, now: SystemTime) -> Arc<Event> {
        let id = EventId::after(self.recorded);
        let mut event = event.record(id, self.namespace.clone(), self.latest.max(now));
        event.observed_at = now;
        self.hold(event, payload_bytes)
    }

    fn hold(&mut self, event: Event, payload_bytes: usize) -> Arc<Event> {
        let bytes = approximate_bytes(&event, payload_bytes);
        self.keys.extend(event.idempotency_key.clone().map(|key| (key, event.id)));
        self.recorded = event.id.get();
        self.latest = event.recorded_at;
        self.bytes += bytes;
        let event = Arc::new(event);
        self.held.push_back(HeldEvent { event: Arc::clone(&event), bytes });
        event
    }

    fn import(&mut self, events: Vec<Event>) -> Result<(), EventError> {
        let sizes = self.limits.check_import(self.position(), self.latest, &events)?;
        self.keys_are_new(&events)?;
        events.into_iter().zip(sizes).for_each(|(event, bytes)| drop(self.hold(event, bytes)));
        Ok(())
    }

    fn keys_are_new(&self, events: &[Event]) -> Result<(), ImportError> {
        let mut ours = HashMap::new();
        for event in events {
            let Some(key) = event.idempotency_key.as_deref() else { continue };
            let first = self.keys.get(key).copied().or_else(|| ours.insert(key, event.id));
            if let Some(first) = first {
                return Err(ImportError::KnownKey { id: event.id, first });
            }
        }
        Ok(())
    }

    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> u64 {
        let mut pruned = 0;
        let is_kept = |held: &HeldEvent| keep_from.is_some_and(|keep_from| held.event.id >= keep_from);
        while pruned < at_most as u64 && self.is_beyond(bound) && !self.held.front().is_some_and(is_kept) {
            let Some(HeldEvent { event, bytes }) = self.held.pop_front() else { break };
            if let Some(key) = &event.idempotency_key {
                self.keys.remove(key);
            }
            self.bytes -= bytes;
            pruned += 1;
        }
        pruned
    }

    fn is_beyond(&self, bound: PruneBound) -> bool {
        match bound {
            PruneBound::Before(time) => self.held.front().is_some_and(|held| held.event.recorded_at < time),
            PruneBound::Count(limit) => self.held.len() as u64 > limit,
            PruneBound::Bytes(limit) => self.bytes > limit,
        }
    }

    fn acknowledge(&mut self, subscription: &SubscriptionName, up_to: EventId) {
        let known = self.acknowledged.entry(subscription.clone()).or_insert(up_to);
        *known = up_to.max(*known);
    }

    fn forget_subscription(&mut self, subscription: &SubscriptionName) -> bool {
        let had_parked = self.parked.remove(subscription).is_some();
        self.acknowledged.remove(subscription).is_some() || had_parked
    }

    fn park(&mut self, parked: &ParkedEvent, at_most: usize) -> bool {
        let held = self.parked.entry(parked.subscription.clone()).or_default();
        let takes = held.contains_key(&parked.event.id) || held.len() < at_most;
        if takes {
            held.insert(parked.event.id, parked.clone());
        }
        takes
    }

    fn unpark(&mut self, subscription: &SubscriptionName, event: EventId) -> bool {
        let Some(held) = self.parked.get_mut(subscription) else { return false };
        let was_parked = held.remove(&event).is_some();
        if held.is_empty() {
            self.parked.remove(subscription);
        }
        was_parked
    }

    // ---- reading ----

    fn position(&self) -> Option<EventId> {
        EventId::new(self.recorded)
    }

    fn pruned(&self) -> u64 {
        self.recorded - self.held.len() as u64
    }

    /// How many of the held events have a lower id.
    fn below(&self, id: EventId) -> usize {
        let below = id.get().saturating_sub(self.pruned() + 1);
        usize::try_from(below).unwrap_or(usize::MAX).min(self.held.len())
    }

    fn get(&self, id: EventId) -> Option<Arc<Event>> {
        let held = self.held.get(self.below(id)).filter(|held| held.event.id == id);
        held.map(|held| Arc::clone(&held.event))
    }

    fn query(&self, query: &Query) -> Vec<Arc<Event>> {
        let range = self.held.range(self.range(query));
        let found = query.select(range.map(|held| &held.event));
        found.into_iter().map(Arc::clone).collect()
    }

    /// The range that the query has to search; the time or the cursor excludes all others.
    fn range(&self, query: &Query) -> Range<usize> {
        let time = |held: &HeldEvent| held.event.recorded_at;
        let QueryParts { from, until, after, up_to, order, .. } = query.parts();
        let begin = self.held.partition_point(|held| from.is_some_and(|from| time(held) < from));
        let end = self.held.partition_point(|held| until.is_none_or(|until| time(held) < until));
        let (begin, end) = match (*after, *order) {
            (None, _) => (begin, end),
            (Some(cursor), Order::Ascending) => (begin.max(self.below(cursor)), end),
            (Some(cursor), Order::Descending) => (begin, end.min(self.below(cursor))),
        };
        let end = up_to.map_or(end, |last| end.min(self.below(EventId::after(last.get()))));
        begin..end.max(begin)
    }

    fn stats(&self) -> EventStats {
        let id = |held: &HeldEvent| held.event.id;
        EventStats {
            recorded: self.recorded,
            held: self.held.len() as u64,
            pruned: self.pruned(),
            oldest: self.held.front().map(id),
            newest: self.held.back().map(id),
            bytes: self.bytes,
        }
    }

    fn acknowledged(&self, subscription: &SubscriptionName) -> Option<EventId> {
        self.acknowledged.get(subscription).copied()
    }

    fn parked(&self, subscription: &SubscriptionName) -> Vec<ParkedEvent> {
        self.parked.get(subscription).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Whether the invariants hold.
    fn verify(&self) -> Verification {
        let mut verification = Verification { checked: self.held.len() as u64, ..Verification::default() };
        let mut latest = UNIX_EPOCH;
        for (expected, HeldEvent { event, .. }) in (self.pruned() + 1..).zip(&self.held) {
            if event.id.get() != expected {
                verification.add_finding(event.id, format!("it is where event {expected} should be"));
            }
            if event.recorded_at < latest {
                verification.add_finding(event.id, "it was recorded before the event before it");
            }
            let found = event.idempotency_key.as_ref().map(|key| self.keys.get(key));
            if found.is_some_and(|found| found != Some(&event.id)) {
                verification.add_finding(event.id, "it is not found by its idempotency key");
            }
            latest = event.recorded_at;
        }
        self.verify_sums(&mut verification);
        verification
    }

    fn verify_sums(&self, verification: &mut Verification) {
        let keyed = self.held.iter().filter(|held| held.event.idempotency_key.is_some()).count();
        if keyed != self.keys.len() {
            verification.add_finding(None, format!("{} keys are known, and {keyed} events have one", self.keys.len()));
        }
        let bytes: u64 = self.held.iter().map(|held| held.bytes).sum();
        if bytes != self.bytes {
            verification.add_finding(None, format!("the events have {bytes} bytes, and {} are counted", self.bytes));
        }
    }
}

fn approximate_bytes(event: &Event, payload_bytes: usize) -> u64 {
    let source = event.source.as_ref().map_or(0, |source| source.bytes());
    // The key is stored twice: in the event and in the table of keys.
    let key = event.idempotency_key.as_ref().map_or(0, |key| 2 * key.len());
    let texts = event.kind.as_str().len() + event.namespace.len() + source + key;
    (size_of::<Event>() + size_of::<HeldEvent>() + texts + payload_bytes) as u64
}

#[cfg(test)]
mod tests;
