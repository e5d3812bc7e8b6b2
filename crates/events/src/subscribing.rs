//! The store's methods for subscriptions.

use std::sync::Arc;
use std::time::SystemTime;

use foundation_kernel::ractor::{ActorRef, Message, RpcReplyPort};
use futures::FutureExt;

use super::chunk::{Found, Wanted};
use super::client::EventStore;
use super::consumer_leases::ConsumerLeases;
use super::durable_subscription::DurableSubscription;
use super::event::Event;
use super::follower::Follower;
use super::forwarding::{Feed, Forwarding};
use super::id::EventId;
use super::log::recordable;
use super::parked::ParkedEvent;
use super::pause::Pause;
use super::readers::ReadClass;
use super::server::EVENT_STORE;
use super::store_error::EventStoreError;
use super::subscription::{EventSubscription, ReadLog};
use super::subscription_error::SubscriptionError;
use super::subscription_name::SubscriptionName;
use super::subscription_spec::{Start, SubscriptionSpec};
use super::tail::TailReader;

impl EventStore {
    /// Follows the events from a position on.
    ///
    /// # Errors
    /// [`SubscriptionError::Store`] if the store has never started and does not do so within
    /// [`answer`](crate::EventStoreLimits::answer).
    pub async fn subscribe(&self, spec: SubscriptionSpec) -> Result<EventSubscription, SubscriptionError> {
        let tail = self.follow().await?;
        let start = spec.start.position(&tail);
        Ok(self.subscription(spec, tail, start))
    }

    /// Follows the events under a name, by which the store remembers the last acknowledged event. The first time it
    /// begins where the specification says, and the store remembers that at once. Afterwards it begins after the last
    /// acknowledged event, whatever the specification says about the beginning. The kinds may differ each time.
    ///
    /// One exception: a subscription that began [now](SubscriptionSpec::from_now) when nothing was ever recorded, and
    /// was never acknowledged, begins anew.
    ///
    /// # Errors
    /// [`SubscriptionError::Taken`] while it has another consumer in this namespace, [`SubscriptionError::Store`].
    pub async fn subscribe_durable(
        &self,
        name: SubscriptionName,
        spec: SubscriptionSpec,
    ) -> Result<DurableSubscription, SubscriptionError> {
        let consumer = spec.consumer.clone().unwrap_or_else(this_task);
        let lease = self.leases().wait(&name, consumer).await;
        let lease = lease.map_err(|consumer| SubscriptionError::Taken { name: name.clone(), consumer })?;
        let tail = self.follow().await?;
        let acknowledged = match self.acknowledged(&name).await? {
            Some(event) => Some(event),
            None => self.begin(&name, spec.start.position(&tail)).await?,
        };
        // An event that an earlier actor has answered is handled, even if that was not acknowledged any more.
        let answered = lease.record().answered().filter(|answered| Some(*answered) > acknowledged);
        if let Some(answered) = answered {
            self.remember(&name, answered).await?;
            lease.record().acknowledge(answered);
        }
        let acknowledged = answered.or(acknowledged);
        let parked = self.parked(&name).await?.into_iter().map(|parked| parked.event.id);
        let parked = parked.filter(|event| Some(*event) > acknowledged).collect();
        let rule = spec.on_failure.clone();
        let subscription = self.subscription(spec, tail, acknowledged.map_or(0, EventId::get));
        Ok(DurableSubscription::new(subscription, self.clone(), lease, rule, acknowledged, parked))
    }

    /// Sends the events from a position on to an actor, each as the message that the function makes of it. The next one
    /// is sent when the actor has answered through the port: a slow actor has one event in its mailbox, however many
    /// there are. Missed events and read errors are sent in the same way.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use foundation_events::{Event, EventStore, Forwarding, SubscriptionError, SubscriptionSpec};
    /// use foundation_kernel::ractor::{ActorRef, RpcReplyPort};
    ///
    /// enum LedgerMsg {
    ///     Recorded(Result<Arc<Event>, SubscriptionError>, RpcReplyPort<()>),
    /// }
    /// foundation_kernel::local_message!(LedgerMsg);
    ///
    /// /// For the actor's `post_start`; to be kept in its state.
    /// async fn follow(events: &EventStore, myself: ActorRef<LedgerMsg>) -> Result<Forwarding, SubscriptionError> {
    ///     events.subscribe_with(SubscriptionSpec::from_beginning(), myself, LedgerMsg::Recorded).await
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_with<M: Message>(
        &self,
        spec: SubscriptionSpec,
        actor: ActorRef<M>,
        message: impl FnMut(Result<Arc<Event>, SubscriptionError>, RpcReplyPort<()>) -> M + Send + 'static,
    ) -> Result<Forwarding, SubscriptionError> {
        let subscription = self.subscribe(spec).await?;
        Ok(Forwarding::start(Feed::Live(Box::new(subscription)), actor, message))
    }

    /// As [`subscribe_with`](Self::subscribe_with) under a name: answered events are acknowledged as soon as no other
    /// event is at hand, and at the latest after 64 events. An actor that ends on an event, or drops the reply port,
    /// has failed on it: when it subscribes again, its [`FailureRule`](crate::FailureRule) decides when it gets the
    /// event again, or that it goes on after it.
    ///
    /// # Errors
    /// As [`subscribe_durable`](Self::subscribe_durable).
    pub async fn subscribe_durable_with<M: Message>(
        &self,
        name: SubscriptionName,
        spec: SubscriptionSpec,
        actor: ActorRef<M>,
        message: impl FnMut(Result<Arc<Event>, SubscriptionError>, RpcReplyPort<()>) -> M + Send + 'static,
    ) -> Result<Forwarding, SubscriptionError> {
        let subscription = Box::new(self.subscribe_durable(name, spec).await?);
        let feed =
            Feed::Durable { subscription, answered: Default::default(), park_again: self.handle.limits.park_again };
        Ok(Forwarding::start(feed, actor, message))
    }

    /// The parked events of a durable subscription, oldest first: its consumer has failed on each as often as its
    /// [`FailureRule`](crate::FailureRule) says.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn parked(&self, name: &SubscriptionName) -> Result<Vec<ParkedEvent>, EventStoreError> {
        let name = name.clone();
        self.read(ReadClass::Quick, move |reader| reader.parked(&name)).await
    }

    /// Shows the parked events of a durable subscription again, before all others and oldest first, to the current
    /// consumer or to the next one; returns how many there are. An acknowledged or answered event is not parked any
    /// more. The others, on which the consumer has failed again, stay parked.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn play_parked(&self, name: &SubscriptionName) -> Result<usize, EventStoreError> {
        let parked = self.parked(name).await?;
        Ok(self.leases().play(name, parked.into_iter().map(|parked| parked.event).collect()))
    }

    /// Gives up a parked event; true if it was parked. The current consumer is not shown it again, nor is a later one
    /// once an event from it on is acknowledged.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`EventStoreError::Unavailable`] while the store cannot record.
    pub async fn unpark(&self, name: &SubscriptionName, event: EventId) -> Result<bool, EventStoreError> {
        let was_parked = self.take_out(name, event).await?;
        self.leases().unplay(name, event);
        Ok(was_parked)
    }

    /// Removes a parked event from the log.
    pub(super) async fn take_out(&self, name: &SubscriptionName, event: EventId) -> Result<bool, EventStoreError> {
        let name = name.clone();
        self.ask(move |log| log.unpark(&name, event)).await
    }

    /// Parks an event; false if the subscription has too many parked, or the log keeps no parked events at all.
    pub(super) async fn park(
        &self,
        name: &SubscriptionName,
        event: Arc<Event>,
        failures: u32,
        reason: &str,
        at_most: usize,
    ) -> Result<bool, EventStoreError> {
        let parked = ParkedEvent::new(name.clone(), event, failures, reason, recordable(SystemTime::now()));
        self.ask(move |log| log.park(&parked, at_most)).await
    }

    /// Forgets the acknowledged position and the parked events of a durable subscription; true if there were any.
    ///
    /// # Errors
    /// [`SubscriptionError::Taken`] while it has a consumer, [`SubscriptionError::Store`].
    pub async fn forget_subscription(&self, name: &SubscriptionName) -> Result<bool, SubscriptionError> {
        let lease = self.leases().wait(name, format!("{}, which forgets it", this_task())).await;
        let lease = lease.map_err(|consumer| SubscriptionError::Taken { name: name.clone(), consumer })?;
        let name = name.clone();
        let had_any = self.ask(move |log| log.forget_subscription(&name)).await?;
        lease.record().reset();
        Ok(had_any)
    }

    fn subscription(&self, spec: SubscriptionSpec, tail: TailReader, start: u64) -> EventSubscription {
        let life = self.registry.watch_service(&EVENT_STORE);
        let follower = Follower::new(spec.kinds.into(), start);
        let follower = if spec.start == Start::Now { follower.without_imports() } else { follower };
        let pause = Pause::before_reading(&self.handle.limits);
        EventSubscription::new(follower, tail, self.read_log(), pause, life, spec.on_damaged)
    }

    /// Adds a reader of the tail before it returns: no event from now on is missed.
    async fn follow(&self) -> Result<TailReader, EventStoreError> {
        let tail = self.handle.tail.follow();
        if tail.position().is_none() {
            let absent = |reason| EventStoreError::not_delivered(Vec::new(), reason);
            self.wait_until_readable(self.handle.limits.answer).await.map_err(absent)?;
        }
        Ok(tail)
    }

    /// Has the store remember where a subscription begins, so that it begins there the next time, not later.
    async fn begin(&self, name: &SubscriptionName, start: u64) -> Result<Option<EventId>, EventStoreError> {
        let start = EventId::new(start);
        if let Some(start) = start {
            self.remember(name, start).await?;
        }
        Ok(start)
    }

    /// Has the store remember the last acknowledged event of a subscription.
    pub(super) async fn remember(&self, name: &SubscriptionName, up_to: EventId) -> Result<(), EventStoreError> {
        let name = name.clone();
        self.ask(move |log| log.acknowledge(&name, up_to)).await
    }

    async fn acknowledged(&self, name: &SubscriptionName) -> Result<Option<EventId>, EventStoreError> {
        let name = name.clone();
        self.read(ReadClass::Quick, move |reader| reader.acknowledged(&name)).await
    }

    fn read_log(&self) -> ReadLog {
        let store = self.clone();
        Arc::new(move |wanted| {
            let store = store.clone();
            async move { store.read_chunk(wanted).await }.boxed()
        })
    }

    /// Reads a chunk of the log; waits for a store that restarts.
    async fn read_chunk(&self, wanted: Wanted) -> Result<Found, EventStoreError> {
        let again = wanted.clone();
        match self.read_now(ReadClass::Quick, move |reader| wanted.read(reader)).await {
            Err(EventStoreError::NotDelivered { .. })
                if self.wait_until_readable(self.handle.limits.answer).await.is_ok() =>
            {
                self.read_now(ReadClass::Quick, move |reader| again.read(reader)).await
            }
            found => found,
        }
    }

    fn leases(&self) -> Arc<ConsumerLeases> {
        self.registry.extension(ConsumerLeases::default)
    }
}

impl Start {
    fn position(self, tail: &TailReader) -> u64 {
        match self {
            Self::Beginning => 0,
            Self::After(event) => event.get(),
            Self::Now => tail.position().unwrap_or(0),
        }
    }
}

fn this_task() -> String {
    tokio::task::try_id().map_or_else(|| "a consumer outside of any task".to_owned(), |id| format!("task {id}"))
}
