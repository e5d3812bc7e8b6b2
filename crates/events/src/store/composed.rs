//! The methods of [`EventStore`] that are composed of its requests: its child spec, maintenance, subscriptions, causal
//! trees, export and import.
//!
//! They are a second `impl` so that the client knows neither its actor nor what is built on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use foundation_kernel::names::{Service, ServiceRegistry};
use foundation_kernel::ractor::{ActorRef, Message, RpcReplyPort};
use foundation_kernel::supervision::ChildSpec;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::hold::Pruned;
use super::message::EVENT_STORE;
use super::readers::ReadClass;
use super::server::EventStoreServer;
use super::transfer::{self, TransferStore};
use crate::subscription::{Chunk, ChunkRequest, ConsumerLeases, SubscriptionStore, TailReader};
use crate::{
    DamagedEvent, DurableSubscription, Event, EventChain, EventId, EventPage, EventReader, EventStats, EventStorage,
    EventStore, EventStoreError, EventSubscription, Forwarding, MemoryLog, ParkedEvent, PruneBound, Query,
    RepairReport, SubscriptionError, SubscriptionName, SubscriptionSpec, TransferError, Verification,
};

/// The most events that a repair visits between two commits.
const MAX_REPAIRED: usize = 1_000;
/// The most causes of one query.
const MAX_CAUSES: usize = 500;

type Known = BTreeMap<EventId, Arc<Event>>;

impl EventStore {
    /// The service for a registry's [namespaces](foundation_kernel::names::ProcessRegistryBuilder::service).
    pub fn service(storage: EventStorage) -> Service {
        Service::new(Self::NAME, move |registry| Self::child_spec(registry, &storage))
    }

    /// The child spec of a namespace's event store, under the name `event_store`. A restarted store goes on where the
    /// previous one ended.
    pub fn child_spec(registry: &ServiceRegistry, storage: &EventStorage) -> ChildSpec {
        let namespace = registry.namespace();
        let checked = Self::of(registry);
        let handle = Arc::clone(&checked.handle);
        let opener = storage.opener(namespace, &handle.limits, |limits| {
            let empty = || KeptLog(MemoryLog::new(namespace.to_string()).with_limits(limits));
            registry.extension(empty).0.clone()
        });
        let storage = storage.clone();
        let spec = registry.child_spec(&EVENT_STORE, move || {
            (EventStoreServer::new(Arc::clone(&handle), opener.clone(), storage.clone()), ())
        });
        spec.health_check(move |_| {
            let store = checked.clone();
            async move { store.health().await }
        })
    }

    // ---- maintenance ----

    /// Checks every event of the log and every way to find it; `progress` is called with the number of checked events,
    /// from time to time. It has no time limit.
    ///
    /// # Errors
    /// As [`get`](Self::get), if it cannot check; what it finds is in the [`Verification`].
    pub async fn verify(&self, progress: impl FnMut(u64) + Send + 'static) -> Result<Verification, EventStoreError> {
        // The lock is for the compiler: one attempt begins when the one before has ended.
        let progress = Arc::new(Mutex::new(progress));
        self.read(ReadClass::Long(None), move |log| log.verify(&mut |checked| (progress.lock())(checked))).await
    }

    /// Moves aside the events that cannot be read any more, and puts an event of the kind
    /// [`EVENT_LOST`](Self::EVENT_LOST) in the place of each and of each that is missing, so that ids have no gaps and
    /// readers find no damage any more. Nothing is deleted: the damaged rows are kept beside the others, and
    /// [listed](Self::moved_aside). It repairs a thousand events at a time, between which the store records; at the end
    /// the sums of the log are counted anew. Damage that `verify` still finds is in the file itself.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`EventStoreError::Unavailable`] while the store cannot record. What was repaired before
    /// stays repaired.
    pub async fn repair(&self) -> Result<RepairReport, EventStoreError> {
        let (mut report, mut next) = (RepairReport::default(), Some(EventId::FIRST));
        while let Some(from) = next {
            let step = self.ask(move |log| log.repair(from, MAX_REPAIRED)).await?;
            report.add(step.moved);
            next = step.next;
        }
        Ok(report)
    }

    /// The damaged events that [`repair`](Self::repair) has moved aside, the latest ones first, at most this many.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn moved_aside(&self, at_most: usize) -> Result<Vec<DamagedEvent>, EventStoreError> {
        self.read(self.quick(), move |log| log.moved_aside(at_most)).await
    }

    /// Prunes the events that were recorded before this time, and returns how many; a chunk at a time, between which
    /// the store records. Events that are [held](Self::hold) are kept. Their holders, such as the config server, are
    /// notified, one after the other, and record anew what they need; this waits for all of them up to
    /// [`answer`](crate::EventStoreLimits::answer), and keeps what is held then.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`EventStoreError::Unavailable`] while the store cannot record. Earlier chunks are
    /// pruned.
    pub async fn prune_before(&self, time: SystemTime) -> Result<u64, EventStoreError> {
        let bound = PruneBound::Before(time);
        let (mut pruned, mut held_back) = self.prune(bound).await?;
        let (until, mut notified) = (Instant::now() + self.handle.limits.answer, BTreeSet::new());
        // Each holder once: what it records anew may be before this time as well.
        while let Some(kept) = held_back
            && self.handle.hold.notify_holders(kept, &mut notified)
            && timeout_at(until, self.handle.hold.moved(Some(kept))).await.is_ok()
        {
            let (more, next) = self.prune(bound).await?;
            (pruned, held_back) = (pruned + more, next);
        }
        while self.ask(|log| log.maintain()).await? {}
        Ok(pruned)
    }

    /// Prunes all events that are over the bound and not held; returns how many, and the oldest one that is held although
    /// it is over the bound.
    async fn prune(&self, bound: PruneBound) -> Result<(u64, Option<EventId>), EventStoreError> {
        let mut total = 0;
        loop {
            let hold = self.handle.hold.clone();
            match self.ask(move |log| hold.prune(log, bound)).await? {
                Pruned::Events(events) => total += events,
                Pruned::HeldBack(kept) => return Ok((total, Some(kept))),
                Pruned::Nothing => return Ok((total, None)),
            }
        }
    }

    // ---- subscriptions ----

    /// Follows the events from a position on.
    ///
    /// # Errors
    /// [`SubscriptionError::Store`] if the store has never started and does not do so within
    /// [`answer`](crate::EventStoreLimits::answer).
    pub async fn subscribe(&self, spec: SubscriptionSpec) -> Result<EventSubscription, SubscriptionError> {
        let tail = self.follow().await?;
        let start = spec.begins_after(tail.position().unwrap_or(0));
        Ok(self.subscription(&spec, tail, start))
    }

    /// Follows the events under a name, by which the store remembers the last acknowledged event. The first time it
    /// begins where the specification says, and the store remembers that at once. Afterwards it begins after the last
    /// acknowledged event, whatever the specification says about the beginning. The kinds may differ each time.
    ///
    /// One exception: a subscription that began [now](SubscriptionSpec::from_now) when nothing was ever recorded, and
    /// was never acknowledged, begins anew.
    ///
    /// Waits for a store that is being restarted, as [`get`](Self::get) does; so do the requests of the subscription.
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
            None => self.begin(&name, spec.begins_after(tail.position().unwrap_or(0))).await?,
        };
        // An event that an earlier actor has answered is handled, even if that was not acknowledged any more.
        let answered = lease.answered().filter(|answered| Some(*answered) > acknowledged);
        if let Some(answered) = answered {
            self.acknowledge(&name, answered).await?;
            lease.acknowledge(answered);
        }
        let acknowledged = answered.or(acknowledged);
        let parked = self.parked(&name).await?.into_iter().map(|parked| parked.event.id);
        let parked = parked.filter(|event| Some(*event) > acknowledged).collect();
        let rule = spec.on_failure.clone();
        let subscription = self.subscription(&spec, tail, acknowledged.map_or(0, EventId::get));
        Ok(DurableSubscription::new(subscription, lease, rule, acknowledged, parked))
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
        Ok(Forwarding::live(subscription, actor, message))
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
        let subscription = self.subscribe_durable(name, spec).await?;
        Ok(Forwarding::durable(subscription, self.handle.limits.park_again, actor, message))
    }

    /// The parked events of a durable subscription, oldest first: its consumer has failed on each as often as its
    /// [`FailureRule`](crate::FailureRule) says.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn parked(&self, name: &SubscriptionName) -> Result<Vec<ParkedEvent>, EventStoreError> {
        let name = name.clone();
        self.read(self.quick(), move |reader| reader.parked(&name)).await
    }

    /// Shows the parked events of a durable subscription again, before all others and oldest first, to the current
    /// consumer or to the next one; returns how many there are. An acknowledged or answered event is not parked any
    /// more. The others, on which the consumer has failed again, stay parked.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn play_parked(&self, name: &SubscriptionName) -> Result<usize, EventStoreError> {
        let parked = async { Ok(self.parked(name).await?.into_iter().map(|parked| parked.event).collect()) };
        self.leases().show_again(name, parked).await
    }

    /// Removes an event from the parked ones; true if it was parked. The current consumer is not shown it again, nor is a
    /// later one once an event from it on is acknowledged.
    ///
    /// Without an answer, or if the future is dropped, the event may still be parked; then it is shown again only if
    /// [`play_parked`](Self::play_parked) is called after this call.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`EventStoreError::Unavailable`] while the store cannot record. After this one and
    /// [`EventStoreError::NotDelivered`] the event is parked as before, and shown again if it was to be.
    pub async fn unpark(&self, name: &SubscriptionName, event: EventId) -> Result<bool, EventStoreError> {
        SubscriptionStore::unpark(self, name, event).await
    }

    /// Forgets the acknowledged position and the parked events of a durable subscription; true if there were any. Waits
    /// for a store that is being restarted, as [`get`](Self::get) does.
    ///
    /// # Errors
    /// [`SubscriptionError::Taken`] while it has a consumer, [`SubscriptionError::Store`].
    pub async fn forget_subscription(&self, name: &SubscriptionName) -> Result<bool, SubscriptionError> {
        let lease = self.leases().wait(name, format!("{}, which forgets it", this_task())).await;
        let lease = lease.map_err(|consumer| SubscriptionError::Taken { name: name.clone(), consumer })?;
        let name = name.clone();
        let had_any = self.ask(move |log| log.forget_subscription(&name)).await?;
        lease.reset();
        Ok(had_any)
    }

    fn subscription(&self, spec: &SubscriptionSpec, tail: TailReader, start: u64) -> EventSubscription {
        let life = self.registry.watch_service(&EVENT_STORE);
        EventSubscription::new(spec, start, tail, Arc::new(self.clone()), &self.handle.limits, life)
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
            self.acknowledge(name, start).await?;
        }
        Ok(start)
    }

    async fn acknowledged(&self, name: &SubscriptionName) -> Result<Option<EventId>, EventStoreError> {
        let name = name.clone();
        self.read(self.quick(), move |reader| reader.acknowledged(&name)).await
    }

    fn leases(&self) -> Arc<ConsumerLeases> {
        self.registry.extension(ConsumerLeases::default)
    }

    // ---- causal trees ----

    /// The causal tree of an event: its oldest known ancestor and all its effects, direct and indirect; `None` if there
    /// is no such event.
    ///
    /// Whole requests are read at once, by their correlation id: the cost grows with the events of all requests that
    /// the tree touches.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn chain(&self, id: EventId) -> Result<Option<EventChain>, EventStoreError> {
        let mut known = Known::new();
        let Some(event) = self.get(id).await? else { return Ok(None) };
        self.learn_request(&event, &mut known).await?;
        let root = self.root_of(event, &mut known).await?;
        self.learn_effects(&mut known).await?;
        Ok(Some(EventChain::below(root, &known)))
    }

    /// Adds an event and all others of its request; returns the new ones.
    async fn learn_request(&self, event: &Arc<Event>, known: &mut Known) -> Result<Vec<EventId>, EventStoreError> {
        let mut new = self.by_correlation(event.correlation_id).await?;
        // It may have been pruned in the meantime.
        new.push(Arc::clone(event));
        new.retain(|event| known.insert(event.id, Arc::clone(event)).is_none());
        Ok(new.into_iter().map(|event| event.id).collect())
    }

    async fn root_of(&self, event: Arc<Event>, known: &mut Known) -> Result<EventId, EventStoreError> {
        let mut root = event;
        while let Some(id) = root.causation_id {
            if let Some(cause) = known.get(&id) {
                root = Arc::clone(cause);
                continue;
            }
            let Some(cause) = self.get(id).await? else { break };
            self.learn_request(&cause, known).await?;
            root = cause;
        }
        Ok(root.id)
    }

    /// Adds the effects of the known events in other requests, and these requests, until there are no more.
    async fn learn_effects(&self, known: &mut Known) -> Result<(), EventStoreError> {
        let mut unasked: Vec<EventId> = known.keys().copied().collect();
        while !unasked.is_empty() {
            let asked = unasked.split_off(unasked.len().saturating_sub(MAX_CAUSES));
            let query = asked.into_iter().fold(Query::new(), Query::causation);
            for effect in self.query(query).await? {
                if !known.contains_key(&effect.id) {
                    unasked.extend(self.learn_request(&effect, known).await?);
                }
            }
        }
        Ok(())
    }

    // ---- export and import ----

    /// Writes the events that the query asks for, in its order, as JSON Lines: one event a line, with its CRC-32. It
    /// writes a page at a time, so that any number takes little memory, and calls `progress` with the number of written
    /// events after each. Returns how many there were.
    ///
    /// It ends with the events recorded when it began, whatever is recorded meanwhile.
    ///
    /// At an event that is damaged, or missing without having been pruned, it ends with an error, after everything
    /// before it. If the query [skips](crate::OnDamaged::Skip) such events it goes on without them; if it asks for
    /// every event of a range, an event of the kind `event_lost` is written in the place of each, so that the export
    /// can be imported.
    ///
    /// ```
    /// use foundation_events::{EventStorage, EventStore, NewEvent, Query};
    /// use foundation_kernel::names::{Namespace, ProcessRegistry};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let root = ProcessRegistry::builder()
    /// #     .service(EventStore::service(EventStorage::memory()))
    /// #     .start().await?;
    /// # let events = EventStore::of(&root.namespace(Namespace::Production).await?);
    /// events.append(NewEvent::new("order_placed")?).await?;
    ///
    /// let mut lines = Vec::new();
    /// events.export(Query::new(), &mut lines, |_| ()).await?;
    ///
    /// // Into another namespace, which has a store of its own.
    /// let other = EventStore::of(&root.namespace(Namespace::test()).await?);
    /// assert_eq!(other.import(&lines[..], |_| ()).await?, 1);
    /// # root.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TransferError`] with how many events were written; [`EventStoreError::Damaged`] inside of it names the event.
    pub async fn export(
        &self,
        query: Query,
        to: impl AsyncWrite + Unpin,
        progress: impl FnMut(u64),
    ) -> Result<u64, TransferError> {
        transfer::export(self, query, &self.registry.namespace().to_string(), to, progress).await
    }

    /// Imports exported events with their ids and times, in ascending order: gapless after the existing ones, or from
    /// any id on if nothing was ever recorded. It imports a page at a time, and calls `progress` with the number of
    /// imported events after each. Returns how many there were.
    ///
    /// Subscriptions from the beginning or after an event are shown imported events, in their place; those [from now
    /// on](crate::SubscriptionSpec::from_now) are not, since imported events are not new.
    ///
    /// # Errors
    /// [`TransferError`] with the number of imported events: those before the page at fault, which is refused as
    /// a whole. The cause is an [`EventError::NotImported`](crate::EventError::NotImported) that names the event or the line.
    pub async fn import(
        &self,
        from: impl AsyncBufRead + Unpin,
        progress: impl FnMut(u64),
    ) -> Result<u64, TransferError> {
        transfer::import(self, from, progress).await
    }
}

impl TransferStore for EventStore {
    async fn stats(&self) -> Result<EventStats, EventStoreError> {
        Self::stats(self).await
    }

    async fn page(&self, query: Query) -> Result<EventPage, EventStoreError> {
        Self::page(self, query).await
    }

    async fn import_page(&self, page: Vec<Event>) -> Result<(), EventStoreError> {
        let position = page.last().map(|event| event.id);
        let taken = self.ask_and_move(move |log| {
            let taken = log.import(page)?;
            let position = position.filter(|_| taken.is_ok());
            Ok((taken, position))
        });
        Ok(taken.await??)
    }
}

impl SubscriptionStore for EventStore {
    fn read(&self, request: ChunkRequest) -> BoxFuture<'static, Result<Chunk, EventStoreError>> {
        let store = self.clone();
        let read =
            move |reader: &dyn EventReader| request.read(|query| reader.page(query), || Ok(reader.stats()?.oldest));
        async move { store.read_recorded(ReadClass::Chunk, read).await }.boxed()
    }

    fn acknowledge(&self, name: &SubscriptionName, up_to: EventId) -> BoxFuture<'_, Result<(), EventStoreError>> {
        let name = name.clone();
        self.ask(move |log| log.acknowledge(&name, up_to)).boxed()
    }

    fn park(&self, parked: ParkedEvent, at_most: usize) -> BoxFuture<'_, Result<bool, EventStoreError>> {
        self.ask(move |log| log.park(&parked, at_most)).boxed()
    }

    fn unpark(&self, name: &SubscriptionName, event: EventId) -> BoxFuture<'_, Result<bool, EventStoreError>> {
        let (leases, name) = (self.leases(), name.clone());
        let unparking = async move {
            // Before the request: its answer may be lost.
            let removal = leases.remove(&name, event);
            let answer = self.ask(move |log| log.unpark(&name, event)).await;
            if let Err(EventStoreError::NotDelivered { .. } | EventStoreError::Unavailable { .. }) = answer {
                removal.revoke();
            }
            answer
        };
        unparking.boxed()
    }
}

/// A log that outlives the actor that writes to it, as a file would: a restart loses nothing.
struct KeptLog(MemoryLog);

fn this_task() -> String {
    tokio::task::try_id().map_or_else(|| "a consumer outside of any task".to_owned(), |id| format!("task {id}"))
}
