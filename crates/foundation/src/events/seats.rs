//! The durable subscriptions of a namespace: the one consumer of each, and the state that outlives it.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::task::Waker;

use foundation_core::containment::waking_contained;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::event::Event;
use super::id::EventId;
use super::subscription_name::SubscriptionName;

/// The state of the subscriptions, by name.
#[derive(Default)]
pub(super) struct Seats {
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
pub(super) enum NoSeat {
    /// This consumer holds it.
    Taken(String),
    /// Its consumer is stopping.
    SoonFree,
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
pub(super) struct Seat(SeatRecord);

/// The state of one subscription, whichever consumer it has.
#[derive(Clone)]
pub(super) struct SeatRecord {
    seats: Arc<Seats>,
    name: SubscriptionName,
    shared: Arc<Shared>,
}

impl Seats {
    /// Takes the lease.
    ///
    /// # Errors
    /// The current consumer, or that it is stopping.
    pub(super) fn take(self: &Arc<Self>, name: &SubscriptionName, consumer: String) -> Result<Seat, NoSeat> {
        let mut seats = self.known.lock();
        let known = seats.entry(name.clone()).or_default();
        match &known.consumer {
            Some(taken) if taken.is_leaving => Err(NoSeat::SoonFree),
            Some(taken) => Err(NoSeat::Taken(taken.name.clone())),
            None => {
                known.consumer = Some(Consumer { name: consumer, is_leaving: false });
                let (seats, name, shared) = (Arc::clone(self), name.clone(), Arc::clone(&known.shared));
                Ok(Seat(SeatRecord { seats, name, shared }))
            }
        }
    }

    /// Takes the lease, and waits if its consumer is stopping.
    ///
    /// # Errors
    /// The name of the current consumer.
    pub(super) async fn wait(self: &Arc<Self>, name: &SubscriptionName, consumer: String) -> Result<Seat, String> {
        loop {
            let mut freed = pin!(self.freed.notified());
            // Subscribe before checking: a consumer that leaves in between is noticed.
            freed.as_mut().enable();
            match self.take(name, consumer.clone()) {
                Ok(seat) => return Ok(seat),
                Err(NoSeat::Taken(consumer)) => return Err(consumer),
                Err(NoSeat::SoonFree) => waking_contained(freed).await,
            }
        }
    }

    /// Cancels showing an event again, unless it was shown already.
    pub(super) fn unplay(&self, name: &SubscriptionName, event: EventId) {
        let shared = self.known.lock().get(name).map(|known| Arc::clone(&known.shared));
        shared.into_iter().for_each(|shared| shared.again.lock().retain(|waiting| waiting.id != event));
    }

    /// Shows these events again, to the current consumer or to the next one; returns how many are new to it.
    pub(super) fn play(&self, name: &SubscriptionName, events: Vec<Arc<Event>>) -> usize {
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

impl Seat {
    pub(super) fn name(&self) -> &SubscriptionName {
        &self.0.name
    }

    pub(super) fn record(&self) -> &SeatRecord {
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
    pub(super) fn listen(&self, waker: &Waker) {
        self.0.shared.waker.register(waker);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let SeatRecord { seats, name, shared } = &self.0;
        drop(shared.waker.take());
        let is_done = shared.progress.lock().is_over() && shared.again.lock().is_empty();
        let mut known = seats.known.lock();
        match is_done {
            true => drop(known.remove(name)),
            false => known.entry(name.clone()).or_default().consumer = None,
        }
        drop(known);
        seats.freed.notify_waiters();
    }
}

impl SeatRecord {
    pub(super) fn name(&self) -> &SubscriptionName {
        &self.name
    }

    /// Marks the consumer as stopping: a new consumer waits for its lease.
    pub(super) fn leave(&self) {
        let mut known = self.seats.known.lock();
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
    pub(super) fn answered(&self) -> Option<EventId> {
        self.shared.progress.lock().answered
    }

    /// The log knows that all events up to this one are handled.
    pub(super) fn acknowledge(&self, event: EventId) {
        let mut progress = self.shared.progress.lock();
        progress.answered.take_if(|answered| *answered <= event);
        drop(progress.failing.take_if(|failing| failing.event <= event));
    }

    /// Resets the state: the subscription begins anew.
    pub(super) fn reset(&self) {
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
        let seats = Arc::new(Seats::default());
        let id = |number| EventId::new(number).unwrap();
        for failures in 1..4 {
            let seat = seats.take(&NAME, "the clerk".to_owned()).unwrap();
            assert_eq!(seat.record().add_failure(id(7), "it fell over"), failures);
        }
        let seat = seats.take(&NAME, "the clerk".to_owned()).unwrap();
        assert_eq!(seat.record().failing_on(id(7)).unwrap().failures, 3);
        assert_eq!(seat.record().failing_on(id(8)), None);
        assert_eq!(seat.record().add_failure(id(8), ""), 1);
        seat.record().forget_failures(id(8));
        drop(seat);
        assert!(seats.known.lock().is_empty(), "a subscription without state is forgotten");
    }

    #[tokio::test]
    async fn a_new_consumer_waits_for_the_lease_of_one_that_is_stopping() {
        let seats = Arc::new(Seats::default());
        let first = seats.take(&NAME, "the first clerk".to_owned()).unwrap();
        let refused = seats.wait(&NAME, "the second clerk".to_owned()).await.err().unwrap();
        assert_eq!(refused, "the first clerk");
        first.record().leave();
        let name = NAME;
        let mut second = Box::pin(seats.wait(&name, "the second clerk".to_owned()));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        assert!(second.await.is_ok());
    }
}
