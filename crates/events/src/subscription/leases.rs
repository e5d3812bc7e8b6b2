//! The durable subscriptions of a namespace: the one consumer of each, and the state that outlives it.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::task::Waker;

use foundation_kernel::containment::waking_contained;
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
    /// Parked events that are to be shown again.
    again: Mutex<VecDeque<Arc<Event>>>,
    /// The consumer's waker, woken when there are such events.
    waker: AtomicWaker,
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
    /// It has been dropped, and its task is about to end.
    is_leaving: bool,
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
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failing {
    pub(super) event: EventId,
    pub(super) failures: u32,
    pub(super) since: Instant,
    pub(super) reason: String,
}

/// The right to consume one subscription, released on drop.
pub(crate) struct ConsumerLease(SubscriptionRecord);

/// The state of one subscription, whichever consumer it has.
#[derive(Clone)]
pub(crate) struct SubscriptionRecord {
    leases: Arc<ConsumerLeases>,
    name: SubscriptionName,
    shared: Arc<Shared>,
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
            Some(taken) if taken.is_leaving => Err(LeaseError::Stopping),
            Some(taken) => Err(LeaseError::Taken(taken.name.clone())),
            None => {
                known.consumer = Some(Consumer { name: consumer, is_leaving: false });
                let (leases, name, shared) = (Arc::clone(self), name.clone(), Arc::clone(&known.shared));
                Ok(ConsumerLease(SubscriptionRecord { leases, name, shared }))
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

    /// Cancels showing an event again, unless it was shown already.
    pub(crate) fn unplay(&self, name: &SubscriptionName, event: EventId) {
        let shared = self.known.lock().get(name).map(|known| Arc::clone(&known.shared));
        shared.into_iter().for_each(|shared| shared.again.lock().retain(|waiting| waiting.id != event));
    }

    /// Shows these events again, to the current consumer or to the next one; returns how many are new to it.
    pub(crate) fn play(&self, name: &SubscriptionName, events: Vec<Arc<Event>>) -> usize {
        let shared = Arc::clone(&self.known.lock().entry(name.clone()).or_default().shared);
        let count = {
            let mut again = shared.again.lock();
            let before = again.len();
            for event in events {
                if again.iter().all(|waiting| waiting.id != event.id) {
                    again.push_back(event);
                }
            }
            again.len() - before
        };
        // Not under a lock: the woken task may call in here.
        shared.waker.wake();
        count
    }
}

impl Progress {
    fn is_over(&self) -> bool {
        self.failing.is_none() && self.answered.is_none()
    }
}

impl ConsumerLease {
    pub(super) fn name(&self) -> &SubscriptionName {
        &self.0.name
    }

    pub(crate) fn record(&self) -> &SubscriptionRecord {
        &self.0
    }

    /// The next event that is to be shown again.
    pub(super) fn next_again(&self) -> Option<Arc<Event>> {
        self.0.shared.again.lock().pop_front()
    }

    /// Whether there is such an event.
    pub(super) fn has_again(&self) -> bool {
        !self.0.shared.again.lock().is_empty()
    }

    /// Registers a waker that is woken when there is such an event.
    pub(super) fn register_waker(&self, waker: &Waker) {
        self.0.shared.waker.register(waker);
    }
}

impl Drop for ConsumerLease {
    fn drop(&mut self) {
        let SubscriptionRecord { leases, name, shared } = &self.0;
        drop(shared.waker.take());
        let is_done = shared.progress.lock().is_over() && shared.again.lock().is_empty();
        let mut known = leases.known.lock();
        match is_done {
            true => drop(known.remove(name)),
            false => known.entry(name.clone()).or_default().consumer = None,
        }
        drop(known);
        leases.freed.notify_waiters();
    }
}

impl SubscriptionRecord {
    pub(super) fn name(&self) -> &SubscriptionName {
        &self.name
    }

    /// Marks the consumer as stopping: a new consumer waits for its lease.
    pub(super) fn leave(&self) {
        let mut known = self.leases.known.lock();
        let consumer = known.get_mut(&self.name).and_then(|known| known.consumer.as_mut());
        consumer.into_iter().for_each(|consumer| consumer.is_leaving = true);
    }

    /// Counts a failure of the consumer on an event; returns how many there were in a row.
    pub(super) fn add_failure(&self, event: EventId, reason: &str) -> u32 {
        let mut progress = self.shared.progress.lock();
        let before = progress.failing.take().filter(|failing| failing.event == event);
        let failures = before.map_or(0, |failing| failing.failures).saturating_add(1);
        progress.failing = Some(Failing { event, failures, since: Instant::now(), reason: reason.to_owned() });
        failures
    }

    /// The failures of the consumer on an event, if there are any.
    pub(super) fn failing_on(&self, event: EventId) -> Option<Failing> {
        self.shared.progress.lock().failing.clone().filter(|failing| failing.event == event)
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
        self.shared.again.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: SubscriptionName = SubscriptionName::from_static("billing");

    #[tokio::test(start_paused = true)]
    async fn failures_on_one_event_add_up_over_consumers_and_those_on_another_begin_anew() {
        let leases = Arc::new(ConsumerLeases::default());
        let id = |number| EventId::new(number).unwrap();
        for failures in 1..4 {
            let lease = leases.take(&NAME, "the clerk".to_owned()).unwrap();
            assert_eq!(lease.record().add_failure(id(7), "it fell over"), failures);
        }
        let lease = leases.take(&NAME, "the clerk".to_owned()).unwrap();
        assert_eq!(lease.record().failing_on(id(7)).unwrap().failures, 3);
        assert_eq!(lease.record().failing_on(id(8)), None);
        assert_eq!(lease.record().add_failure(id(8), ""), 1);
        lease.record().forget_failures(id(8));
        drop(lease);
        assert!(leases.known.lock().is_empty(), "a subscription without state is forgotten");
    }

    #[tokio::test]
    async fn a_new_consumer_waits_for_the_lease_of_one_that_is_stopping() {
        let leases = Arc::new(ConsumerLeases::default());
        let first = leases.take(&NAME, "the first clerk".to_owned()).unwrap();
        let refused = leases.wait(&NAME, "the second clerk".to_owned()).await.err().unwrap();
        assert_eq!(refused, "the first clerk");
        first.record().leave();
        let name = NAME;
        let mut second = Box::pin(leases.wait(&name, "the second clerk".to_owned()));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        assert!(second.await.is_ok());
    }
}
