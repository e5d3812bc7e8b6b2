//! The durable subscriptions of a namespace: the one consumer of each, and the state that outlives it.
//!
//! 1. A subscription is in the table while it has a consumer, a replay or a removal under way, or a state that is not
//!    over. It is removed under the lock of the table, under which these are added: no replay is lost with a lease.
//! 2. A replay begins before the parked events are read from the log, and a removal before the event is removed from the
//!    log. While an event is being removed it is withheld: no replay shows it. It is shown after all if it certainly
//!    stays parked, and otherwise by no replay that has begun, even if the answer of the log is lost. The same holds for
//!    all events of a subscription that is forgotten.
//! 3. The locks are taken in this order: the table, then `progress` or `again`. No waker is woken or dropped under one.

use std::collections::{HashMap, VecDeque};
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use foundation_kernel::containment::{drop_contained, wake, waking_contained};
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{Event, EventId, SubscriptionName};

/// The state of the subscriptions, by name.
#[derive(Default)]
pub(crate) struct ConsumerLeases {
    known: Mutex<HashMap<SubscriptionName, Known>>,
    /// Notified whenever a consumer is gone.
    freed: Notify,
}

#[derive(Default)]
struct Known {
    consumer: Option<Consumer>,
    shared: Arc<Shared>,
}

/// The state that outlives the consumer. It is shared, since it is read for each event without a lookup in the table.
#[derive(Default)]
struct Shared {
    progress: Mutex<Progress>,
    again: Mutex<Again>,
    /// The consumer's waker, woken when there are such events.
    waker: AtomicWaker,
}

/// Parked events that are to be shown again.
#[derive(Default)]
struct Again {
    queue: VecDeque<Arc<Event>>,
    /// How many replays are reading the log.
    replays: usize,
    /// The events that were removed since the first of these replays began.
    removed: Vec<EventId>,
    /// The events that are being removed.
    withheld: HashMap<EventId, Withheld>,
    /// How often the subscription was forgotten, with all of its parked events.
    resets: u64,
}

/// An event that is being removed from the log.
#[derive(Default)]
struct Withheld {
    /// How many removals are under way.
    removals: usize,
    /// The event, if it was to be shown again.
    event: Option<Arc<Event>>,
}

/// The progress of an actor that receives the events.
#[derive(Default)]
struct Progress {
    failing: Option<Failing>,
    /// The last event that the actor has answered, until the log knows of it.
    answered: Option<EventId>,
}

struct Consumer {
    name: String,
    /// Whether it has been dropped, and its task is about to end. Shared with its record.
    is_leaving: Arc<AtomicBool>,
}

/// Why a lease is refused.
#[derive(Debug, PartialEq, Eq)]
enum LeaseError {
    /// This consumer holds it.
    Taken(String),
    /// Its consumer is stopping.
    Stopping,
}

/// The event on which the consumer failed last.
struct Failing {
    event: EventId,
    failures: u32,
    since: Instant,
    reason: String,
}

/// The right to consume one subscription, released on drop.
pub(crate) struct ConsumerLease(SubscriptionRecord);

/// Parked events of one subscription that are about to be shown again: made before they are read from the log.
struct Replay {
    leases: Arc<ConsumerLeases>,
    name: SubscriptionName,
    shared: Arc<Shared>,
    /// The resets before it began.
    resets: u64,
}

/// A parked event that is being removed: made before it is removed from the log. Dropped, it says that the event may have
/// been removed.
#[must_use = "the event is withheld until it is dropped"]
pub(crate) struct Removal {
    leases: Arc<ConsumerLeases>,
    name: SubscriptionName,
    shared: Arc<Shared>,
    event: EventId,
    /// Whether the event certainly stays parked.
    revoked: bool,
}

/// The state of one subscription, whichever consumer it has.
#[derive(Clone)]
pub(crate) struct SubscriptionRecord {
    leases: Arc<ConsumerLeases>,
    name: SubscriptionName,
    shared: Arc<Shared>,
    /// Whether the consumer that it was made for is stopping.
    is_leaving: Arc<AtomicBool>,
}

impl ConsumerLeases {
    /// Takes the lease.
    ///
    /// # Errors
    /// The current consumer, or that it is stopping.
    fn take(self: &Arc<Self>, name: &SubscriptionName, consumer: String) -> Result<ConsumerLease, LeaseError> {
        let mut leases = self.known.lock();
        let known = leases.entry(name.clone()).or_default();
        match &known.consumer {
            Some(taken) if taken.is_leaving.load(Ordering::Acquire) => Err(LeaseError::Stopping),
            Some(taken) => Err(LeaseError::Taken(taken.name.clone())),
            None => {
                let is_leaving = Arc::<AtomicBool>::default();
                known.consumer = Some(Consumer { name: consumer, is_leaving: Arc::clone(&is_leaving) });
                let (leases, name, shared) = (Arc::clone(self), name.clone(), Arc::clone(&known.shared));
                Ok(ConsumerLease(SubscriptionRecord { leases, name, shared, is_leaving }))
            }
        }
    }

    /// Takes the lease, and waits if its consumer is stopping.
    ///
    /// # Errors
    /// The name of the current consumer.
    pub(crate) async fn wait(
        self: &Arc<Self>,
        name: &SubscriptionName,
        consumer: String,
    ) -> Result<ConsumerLease, String> {
        loop {
            let mut freed = pin!(self.freed.notified());
            // Subscribe before checking: a consumer that leaves in between is noticed.
            freed.as_mut().enable();
            match self.take(name, consumer.clone()) {
                Ok(lease) => return Ok(lease),
                Err(LeaseError::Taken(consumer)) => return Err(consumer),
                Err(LeaseError::Stopping) => waking_contained(freed).await,
            }
        }
    }

    /// Begins to remove a parked event, which is not shown again, unless it was shown already. To be called before it is
    /// removed from the log, and to be kept until that is answered.
    pub(crate) fn remove(self: &Arc<Self>, name: &SubscriptionName, event: EventId) -> Removal {
        let mut table = self.known.lock();
        let shared = Arc::clone(&table.entry(name.clone()).or_default().shared);
        shared.again.lock().withhold(event);
        Removal { leases: Arc::clone(self), name: name.clone(), shared, event, revoked: false }
    }

    /// Shows the parked events that this reads from the log again, to the current consumer or to the next one; returns
    /// how many are new to it.
    ///
    /// # Errors
    /// That of the read.
    pub(crate) async fn show_again<E>(
        self: &Arc<Self>,
        name: &SubscriptionName,
        parked: impl Future<Output = Result<Vec<Arc<Event>>, E>>,
    ) -> Result<usize, E> {
        // Before the events are read: one that is removed from now on is not shown.
        let replay = self.replay(name);
        Ok(replay.show(parked.await?))
    }

    fn replay(self: &Arc<Self>, name: &SubscriptionName) -> Replay {
        let mut table = self.known.lock();
        let shared = Arc::clone(&table.entry(name.clone()).or_default().shared);
        let resets = {
            let mut again = shared.again.lock();
            again.replays += 1;
            again.resets
        };
        Replay { leases: Arc::clone(self), name: name.clone(), shared, resets }
    }

    /// Removes a subscription that has no consumer, and no state that a later one would need.
    fn forget_if_over(table: &mut HashMap<SubscriptionName, Known>, name: &SubscriptionName) {
        if table.get(name).is_some_and(|known| known.consumer.is_none() && known.shared.is_over()) {
            table.remove(name);
        }
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.progress.lock().is_over() && self.again.lock().is_over()
    }
}

impl Again {
    fn is_over(&self) -> bool {
        self.queue.is_empty() && self.replays == 0 && self.withheld.is_empty()
    }

    /// Adds events that are not in the queue and were not removed meanwhile; returns how many.
    fn add(&mut self, events: Vec<Arc<Event>>) -> usize {
        let before = self.queue.len();
        for event in events {
            let is_known = self.queue.iter().any(|waiting| waiting.id == event.id);
            if is_known || self.removed.contains(&event.id) {
                continue;
            }
            match self.withheld.get_mut(&event.id) {
                Some(withheld) => withheld.event = Some(event),
                None => self.queue.push_back(event),
            }
        }
        self.queue.len() - before
    }

    fn withhold(&mut self, event: EventId) {
        let place = self.queue.iter().position(|waiting| waiting.id == event);
        let waiting = place.and_then(|place| self.queue.remove(place));
        let withheld = self.withheld.entry(event).or_default();
        withheld.removals += 1;
        withheld.event = withheld.event.take().or(waiting);
    }

    /// A removal has ended; `revoked` if the event certainly stays parked.
    fn end_removal(&mut self, event: EventId, revoked: bool) {
        let Some(withheld) = self.withheld.get_mut(&event) else { return };
        withheld.removals -= 1;
        if !revoked {
            withheld.event = None;
            if self.replays > 0 {
                self.removed.push(event);
            }
        }
        if withheld.removals > 0 {
            return;
        }
        if let Some(event) = self.withheld.remove(&event).and_then(|withheld| withheld.event) {
            // The oldest first.
            let place = self.queue.partition_point(|waiting| waiting.id < event.id);
            self.queue.insert(place, event);
        }
    }
}

impl Replay {
    /// Shows these events again, to the current consumer or to the next one; returns how many are new to it.
    fn show(self, events: Vec<Arc<Event>>) -> usize {
        let count = {
            let mut again = self.shared.again.lock();
            if again.resets == self.resets { again.add(events) } else { 0 }
        };
        // Not under a lock: the woken task may call in here.
        self.shared.waker.take().into_iter().for_each(wake);
        count
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let Self { leases, name, shared, .. } = self;
        let mut table = leases.known.lock();
        let mut again = shared.again.lock();
        again.replays -= 1;
        if again.replays == 0 {
            again.removed.clear();
        }
        drop(again);
        ConsumerLeases::forget_if_over(&mut table, name);
    }
}

impl Removal {
    /// The event certainly stays parked: it is shown again if it was to be shown.
    pub(crate) fn revoke(mut self) {
        self.revoked = true;
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        let Self { leases, name, shared, event, revoked } = self;
        let mut table = leases.known.lock();
        shared.again.lock().end_removal(*event, *revoked);
        ConsumerLeases::forget_if_over(&mut table, name);
        drop(table);
        // Not under a lock: the woken task may call in here.
        shared.waker.take().into_iter().for_each(wake);
    }
}

impl Progress {
    fn is_over(&self) -> bool {
        self.failing.is_none() && self.answered.is_none()
    }
}

impl ConsumerLease {
    /// The next event that is to be shown again.
    pub(super) fn next_again(&self) -> Option<Arc<Event>> {
        self.shared.again.lock().queue.pop_front()
    }

    /// The same for a task that waits for one, and is woken when there is one.
    pub(super) fn poll_again(&self, waker: &Waker) -> Poll<Arc<Event>> {
        // Register before checking: an event that comes in between wakes this task again.
        self.shared.waker.register(waker);
        self.next_again().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Deref for ConsumerLease {
    type Target = SubscriptionRecord;

    fn deref(&self) -> &SubscriptionRecord {
        &self.0
    }
}

impl Drop for ConsumerLease {
    fn drop(&mut self) {
        let SubscriptionRecord { leases, name, shared, .. } = &self.0;
        let mut table = leases.known.lock();
        // Before the next consumer can register its own.
        let waker = shared.waker.take();
        if let Some(known) = table.get_mut(name) {
            known.consumer = None;
        }
        ConsumerLeases::forget_if_over(&mut table, name);
        drop(table);
        drop_contained("the waker of a durable subscription", waker);
        leases.freed.notify_waiters();
    }
}

impl SubscriptionRecord {
    pub(super) fn name(&self) -> &SubscriptionName {
        &self.name
    }

    /// Marks its consumer as stopping: a new consumer waits for the lease.
    pub(super) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Release);
    }

    /// Counts a failure of the consumer on an event; returns how many there were in a row.
    pub(super) fn add_failure(&self, event: EventId, reason: &str) -> u32 {
        let mut progress = self.shared.progress.lock();
        let before = progress.failing.take().filter(|failing| failing.event == event);
        let failures = before.map_or(0, |failing| failing.failures).saturating_add(1);
        progress.failing = Some(Failing { event, failures, since: Instant::now(), reason: reason.to_owned() });
        failures
    }

    /// The failures of the consumer on an event, if there are any: how many, when the last one was, and its reason.
    pub(super) fn failing_on(&self, event: EventId) -> Option<(u32, Instant, String)> {
        let progress = self.shared.progress.lock();
        let failing = progress.failing.as_ref().filter(|failing| failing.event == event)?;
        Some((failing.failures, failing.since, failing.reason.clone()))
    }

    /// Forgets the failures on all events up to this one, which are handled.
    pub(super) fn forget_failures(&self, up_to: EventId) {
        drop(self.shared.progress.lock().failing.take_if(|failing| failing.event <= up_to));
    }

    /// The actor has answered this event, and with it all before it.
    pub(super) fn answer(&self, event: EventId) {
        let mut progress = self.shared.progress.lock();
        progress.answered = progress.answered.max(Some(event));
        drop(progress.failing.take_if(|failing| failing.event <= event));
    }

    /// The last event that an actor has answered, until the log knows of it.
    pub(crate) fn answered(&self) -> Option<EventId> {
        self.shared.progress.lock().answered
    }

    /// The log knows that all events up to this one are handled.
    pub(crate) fn acknowledge(&self, event: EventId) {
        let mut progress = self.shared.progress.lock();
        progress.answered.take_if(|answered| *answered <= event);
        drop(progress.failing.take_if(|failing| failing.event <= event));
    }

    /// Resets the state: the subscription begins anew.
    pub(crate) fn reset(&self) {
        *self.shared.progress.lock() = Progress::default();
        let mut again = self.shared.again.lock();
        again.queue.clear();
        again.withheld.values_mut().for_each(|withheld| withheld.event = None);
        again.resets += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;
    use std::time::UNIX_EPOCH;

    use crate::NewEvent;

    use super::*;

    const NAME: SubscriptionName = SubscriptionName::from_static("billing");

    #[tokio::test(start_paused = true)]
    async fn failures_on_one_event_add_up_over_consumers_and_those_on_another_begin_anew() {
        let leases = Arc::new(ConsumerLeases::default());
        let id = |number| EventId::new(number).unwrap();
        for failures in 1..4 {
            let lease = leases.take(&NAME, "the clerk".to_owned()).unwrap();
            assert_eq!(lease.add_failure(id(7), "it fell over"), failures);
        }
        let lease = leases.take(&NAME, "the clerk".to_owned()).unwrap();
        assert_eq!(lease.failing_on(id(7)).unwrap().0, 3);
        assert!(lease.failing_on(id(8)).is_none());
        assert_eq!(lease.add_failure(id(8), ""), 1);
        lease.forget_failures(id(8));
        drop(lease);
        assert!(leases.known.lock().is_empty(), "a subscription without state is forgotten");
    }

    #[tokio::test]
    async fn a_new_consumer_waits_for_the_lease_of_one_that_is_stopping() {
        let leases = Arc::new(ConsumerLeases::default());
        let first = leases.take(&NAME, "the first clerk".to_owned()).unwrap();
        let refused = leases.wait(&NAME, "the second clerk".to_owned()).await.err().unwrap();
        assert_eq!(refused, "the first clerk");
        first.leave();
        let name = NAME;
        let mut second = Box::pin(leases.wait(&name, "the second clerk".to_owned()));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        assert!(second.await.is_ok());
    }

    #[test]
    fn a_consumer_that_was_dropped_late_does_not_make_its_successor_a_stopping_one() {
        let leases = Arc::new(ConsumerLeases::default());
        let first = leases.take(&NAME, "the first clerk".to_owned()).unwrap();
        let record = SubscriptionRecord::clone(&first);
        drop(first);
        let _second = leases.take(&NAME, "the second clerk".to_owned()).unwrap();
        record.leave();
        let refused = leases.take(&NAME, "the third clerk".to_owned()).err();
        assert_eq!(refused, Some(LeaseError::Taken("the second clerk".to_owned())));
    }

    fn event() -> Arc<Event> {
        Arc::new(NewEvent::new("ordered").unwrap().record(EventId::FIRST, "production", UNIX_EPOCH))
    }

    #[test]
    fn an_event_that_is_removed_while_a_replay_reads_the_log_is_not_shown_by_it() {
        let leases = Arc::new(ConsumerLeases::default());
        let lease = leases.take(&NAME, "the clerk".to_owned()).unwrap();
        let (replay, other) = (leases.replay(&NAME), leases.replay(&NAME));
        // Both have read the event from the log by now.
        let removal = leases.remove(&NAME, EventId::FIRST);
        assert_eq!(replay.show(vec![event()]), 0);
        drop(removal);
        assert_eq!(other.show(vec![event()]), 0);
        assert!(lease.next_again().is_none());
        let replay = leases.replay(&NAME);
        lease.reset();
        assert_eq!(replay.show(vec![event()]), 0);
        // A later replay reads what was parked again since.
        assert_eq!(leases.replay(&NAME).show(vec![event()]), 1);
        assert!(lease.next_again().is_some());
    }

    #[test]
    fn an_event_whose_removals_all_certainly_failed_is_shown_again() {
        let leases = Arc::new(ConsumerLeases::default());
        assert_eq!(leases.replay(&NAME).show(vec![event()]), 1);
        let (removal, other) = (leases.remove(&NAME, EventId::FIRST), leases.remove(&NAME, EventId::FIRST));
        removal.revoke();
        let lease = leases.take(&NAME, "the clerk".to_owned()).unwrap();
        assert!(lease.next_again().is_none(), "the other one may remove it");
        other.revoke();
        assert!(lease.next_again().is_some());

        // One that a replay has read meanwhile, too.
        let removal = leases.remove(&NAME, EventId::FIRST);
        assert_eq!(leases.replay(&NAME).show(vec![event()]), 0);
        removal.revoke();
        assert!(lease.next_again().is_some());

        // One of them has perhaps removed it.
        let (removal, other) = (leases.remove(&NAME, EventId::FIRST), leases.remove(&NAME, EventId::FIRST));
        assert_eq!(leases.replay(&NAME).show(vec![event()]), 0);
        drop(removal);
        other.revoke();
        assert!(lease.next_again().is_none());
        drop(lease);
        assert!(leases.known.lock().is_empty(), "a subscription without state is forgotten");
    }

    #[test]
    fn what_a_replay_shows_when_the_lease_ends_is_shown_to_the_next_consumer() {
        let leases = Arc::new(ConsumerLeases::default());
        let lease = leases.take(&NAME, "the clerk".to_owned()).unwrap();
        let replay = leases.replay(&NAME);
        drop(lease);
        assert_eq!(replay.show(vec![event()]), 1);
        let lease = leases.take(&NAME, "the next clerk".to_owned()).unwrap();
        assert!(lease.next_again().is_some());
        drop(lease);
        drop(leases.replay(&NAME));
        assert!(leases.known.lock().is_empty(), "a subscription without state is forgotten");
    }

    /// A waker that panics when it is woken, or when it is dropped.
    enum Panics {
        Woken,
        Dropped,
    }

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a foreign waker");
        }
    }

    impl Drop for Panics {
        fn drop(&mut self) {
            assert!(matches!(self, Self::Woken), "a foreign waker is dropped");
        }
    }

    #[test]
    fn a_waker_that_panics_harms_neither_a_replay_nor_the_end_of_a_lease() {
        let leases = Arc::new(ConsumerLeases::default());
        let lease = leases.take(&NAME, "the clerk".to_owned()).unwrap();
        assert!(lease.poll_again(&Waker::from(Arc::new(Panics::Woken))).is_pending());
        assert_eq!(leases.replay(&NAME).show(vec![event()]), 1);
        assert!(lease.next_again().is_some());
        assert!(lease.poll_again(&Waker::from(Arc::new(Panics::Dropped))).is_pending());
        drop(lease);
        assert!(leases.take(&NAME, "the next clerk".to_owned()).is_ok());
    }
}
