//! The client of the event store.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use foundation_kernel::Limit;
use foundation_kernel::containment::{report, waking_contained};
use foundation_kernel::names::{NearMisses, RegistryError, ServiceName, ServiceRegistry, Via};
use foundation_kernel::supervision::Health;
use futures::poll;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::handle::WriterHandle;
use super::message::{EVENT_STORE, EventStoreMsg};
use super::readers::ReadClass;
use super::writer::{Ids, Job, append_job, log_task};
use crate::{
    Append, DamagedEvent, Event, EventId, EventKind, EventLog, EventPage, EventReader, EventStats, EventStoreError,
    EventStoreLimits, ExpectedPosition, Hold, LogError, NewEvent, OnDamaged, Order, Outage, Query, QueryLimit,
};

const ENDED: &str = "the event store ended and did not answer";
/// The most of the newest events that are read as quickly as one.
const MAX_QUICK: usize = 1_000;

/// The event store of one namespace: appends recorded facts and finds them again.
///
/// A handle, cheap to clone, that survives the store's restarts. The events of each namespace are its own. Where they
/// are kept, and for how long, is up to its [`EventStorage`](crate::EventStorage).
///
/// Appends go to the store's one writer, which commits all that have arrived meanwhile together and answers when they
/// are durable: many concurrent appends cost hardly more than one. Reads run beside it. Every read but
/// [`get`](Self::get), which does not wait for the writer, sees the appends that were requested before it.
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
/// let id = events.append(NewEvent::new("order_placed")?.payload(12)?).await?;
///
/// let found = events.query(Query::new().kind("order_placed".parse()?)).await?;
/// assert_eq!((found.len(), found[0].id), (1, id));
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EventStore {
    pub(super) registry: ServiceRegistry,
    via: Via<EventStoreMsg>,
    pub(super) handle: Arc<WriterHandle>,
}

impl EventStore {
    /// The name of the store in each namespace.
    pub const NAME: ServiceName = ServiceName::from_static("event_store");

    /// The kind of an event that replaces one that cannot be read any more: in an export that
    /// [skips](crate::OnDamaged::Skip) damaged events, and in a log that was repaired. Its payload has the reason:
    /// `{"reason": …}`.
    pub const EVENT_LOST: EventKind = Event::LOST;

    /// The kind of the event by which a store that has its log again reports the outage: its `cause`, and the number of
    /// `tries`. It is the first event of the log after the [outage](Self::outage).
    pub const EVENT_STORE_OUTAGE: EventKind = Outage::KIND;

    /// The event store of a namespace, whether it runs or not.
    pub fn of(registry: &ServiceRegistry) -> Self {
        let limits = registry.extension(EventStoreLimits::default);
        let handle = registry.extension(|| KeptHandle(Arc::new(WriterHandle::new((*limits).clone()))));
        Self { registry: registry.clone(), via: registry.via(&EVENT_STORE), handle: Arc::clone(&handle.0) }
    }

    // ---- writing ----

    /// Records one event; returns its id when it is recorded, as durably as the storage makes it.
    ///
    /// Waits for a store that is being restarted, up to [`restart`](EventStoreLimits::restart). An event that was
    /// certainly not recorded is then sent again, so nothing is recorded twice.
    ///
    /// # Errors
    /// [`EventStoreError::Log`] if the event is outside the store's limits; [`EventStoreError::Unavailable`], at once,
    /// while the store cannot record, for example with a full disk; [`EventStoreError::NotDelivered`] if the store does
    /// not run and does not come back; [`EventStoreError::NoAnswer`] if it ends or fails half way, or does not answer
    /// within [`answer`](EventStoreLimits::answer); [`EventStoreError::Displaced`] if its file turns out to be another
    /// one.
    pub async fn append(&self, event: NewEvent) -> Result<EventId, EventStoreError> {
        let ids = self.append_batch(vec![event]).await?;
        ids.first().copied().ok_or_else(|| EventStoreError::no_answer("the log gave no id"))
    }

    /// Records all events or none, in order, with one time.
    ///
    /// # Errors
    /// As [`append`](Self::append). Events that were certainly not recorded are returned in the error
    /// ([`EventStoreError::into_batch`]).
    pub async fn append_batch(&self, batch: Vec<NewEvent>) -> Result<Vec<EventId>, EventStoreError> {
        self.record(Append::new(batch)).await
    }

    /// Records all events if the store is still at this [position](Self::position), and none otherwise: for callers
    /// that decide on what they have read, and would decide anew if anything was recorded since.
    ///
    /// # Errors
    /// [`EventError::Conflict`](crate::EventError::Conflict) has the store's position; otherwise as
    /// [`append`](Self::append).
    pub async fn append_expecting(
        &self,
        expected: Option<EventId>,
        batch: Vec<NewEvent>,
    ) -> Result<Vec<EventId>, EventStoreError> {
        self.record(Append::new(batch).expecting(ExpectedPosition::Exactly(expected))).await
    }

    /// Requests that events be recorded, in order, without waiting: for callers that cannot do anything about a
    /// failure. A batch that is outside the store's limits is lost, with a warning to `tracing`.
    ///
    /// # Errors
    /// [`EventStoreError::NotDelivered`] and [`EventStoreError::Unavailable`] return the events; a store that is being
    /// restarted is not waited for.
    pub fn note(&self, batch: Vec<NewEvent>) -> Result<(), EventStoreError> {
        self.send(append_job(Append::new(batch), None))
    }

    async fn record(&self, append: Append) -> Ids {
        let expected = append.expected;
        match self.record_now(append).await {
            Err(EventStoreError::NotDelivered { batch, reason }) => {
                // Boxed: otherwise each append would carry the space for this.
                Box::pin(self.record_after_restart(Append::new(batch).expecting(expected), reason)).await
            }
            answered => answered,
        }
    }

    async fn record_now(&self, append: Append) -> Ids {
        let (caller, answer) = oneshot::channel();
        self.send(append_job(append, Some(caller)))?;
        self.within(answer).await?
    }

    /// Records an append that was not delivered, once there is a store to take it.
    async fn record_after_restart(&self, mut append: Append, mut reason: String) -> Ids {
        let (expected, until) = (append.expected, self.restarted_by());
        while self.is_back(until).await {
            match self.record_now(append).await {
                Err(EventStoreError::NotDelivered { batch, reason: again }) => {
                    (append, reason) = (Append::new(batch).expecting(expected), again);
                }
                answered => return answered,
            }
        }
        Err(EventStoreError::not_delivered(append.batch, reason))
    }

    // ---- reading ----

    /// The event with this id; `None` if it was pruned or is not recorded yet. Does not wait for appends under way.
    ///
    /// Waits for a store that is being restarted, up to [`restart`](crate::EventStoreLimits::restart), as
    /// [`append`](Self::append) does; so do [`query`](Self::query), [`page`](Self::page), [`recent`](Self::recent),
    /// [`stats`](Self::stats), and the other requests whose errors are said to be those of this one.
    ///
    /// # Errors
    /// [`EventStoreError::Damaged`] if it cannot be read any more; [`EventStoreError::NotDelivered`] if the store does
    /// not run and does not come back; [`EventStoreError::Unavailable`] if it came back without its log and has no
    /// reader; [`EventStoreError::NoAnswer`].
    pub async fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, EventStoreError> {
        self.read_recorded(self.quick(), move |log| log.get(id)).await
    }

    /// The events that the query asks for, in its order. All of them are in memory at once: give a
    /// [limit](Query::limit) where they may be many, and go on [after](Query::after) the last one.
    ///
    /// Dropping the future stops the query. A few queries run at once, and others wait for their turn; they do not
    /// delay [`get`](Self::get), [`recent`](Self::recent) or [`stats`](Self::stats).
    ///
    /// # Errors
    /// As [`get`](Self::get); [`EventStoreError::QueryLimit`] if it takes too long, or finds too much without a limit
    /// of its own.
    pub async fn query(&self, query: Query) -> Result<Vec<Arc<Event>>, EventStoreError> {
        let page = self.page(query.clone()).await?;
        page.damaged.iter().for_each(|damaged| warn_of(damaged, &query));
        Ok(page.accept(query.parts().on_damaged)?)
    }

    /// The same for a log that may be damaged: the events before the first damaged one, which is named, or, if the
    /// query [skips](crate::OnDamaged::Skip) those, all others.
    ///
    /// # Errors
    /// As [`query`](Self::query), except for damaged events.
    pub async fn page(&self, query: Query) -> Result<EventPage, EventStoreError> {
        let class = ReadClass::Long(query.parts().within.unwrap_or(Some(self.handle.limits.query_time)));
        let most = self.handle.limits.query_events;
        let bounded = query.parts().limit.is_some();
        // One more than allowed, so that an excess shows.
        let query = if bounded { query } else { query.limit(most.saturating_add(1)) };
        let page = self.read(class, move |log| log.page(&query)).await?;
        match bounded || page.events.len() <= most {
            true => Ok(page),
            false => Err(EventStoreError::QueryLimit(QueryLimit::Events(most))),
        }
    }

    /// The events with this correlation id, oldest first.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn by_correlation(&self, id: Uuid) -> Result<Vec<Arc<Event>>, EventStoreError> {
        self.query(Query::new().correlation(id)).await
    }

    /// The newest events, newest first.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn recent(&self, count: usize) -> Result<Vec<Arc<Event>>, EventStoreError> {
        let query = Query::new().order(Order::Descending).limit(count);
        if count > MAX_QUICK {
            return self.query(query).await;
        }
        self.read(self.quick(), move |log| log.query(&query)).await
    }

    /// The statistics of the store.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn stats(&self) -> Result<EventStats, EventStoreError> {
        self.read(self.quick(), |log| log.stats()).await
    }

    // ---- the state of the store ----

    /// The highest id that the store ever gave, read in place; `None` if nothing was ever recorded, or no store has
    /// started yet. It includes everything that was acknowledged.
    pub fn position(&self) -> Option<EventId> {
        self.handle.position()
    }

    /// The hold on the events of this store: which of them must not be pruned yet.
    pub fn hold(&self) -> &Hold {
        &self.handle.hold
    }

    /// Holds the events recorded from now on, unless a hold is set already.
    pub fn hold_from_here(&self) {
        self.hold_from_here_as(&self.handle.hold);
    }

    /// The same with the hold of another holder.
    pub fn hold_from_here_as(&self, hold: &Hold) {
        if hold.kept_from().is_none() {
            let recorded = self.position().map_or(0, EventId::get);
            hold.keep_from(Some(EventId::after(recorded)));
        }
    }

    /// Why the store cannot record at present, and since when: its log has failed, for example with a full disk. `None`
    /// while it can, and while there is no store. Recorded events can still be read. The store opens its log again by
    /// itself, at once after a first failure, then after growing pauses.
    pub fn outage(&self) -> Option<Outage> {
        self.handle.outage()
    }

    /// The health of the store: it is degraded while it cannot record.
    pub async fn health(&self) -> Health {
        // Of the store that runs now: a restart is what its supervisor reports.
        match (Health::of(self.read_now(self.quick(), |log| log.stats()).await), self.outage()) {
            // Recorded events can be read, and no more are recorded for now.
            (Health::Healthy, Some(outage)) => Health::Degraded(outage.to_string()),
            (health, _) => health,
        }
    }

    /// Waits until the store runs and records, for example after a restart or an [outage](Self::outage); without a limit
    /// if that is `None`. It does not poll.
    ///
    /// # Errors
    /// [`RegistryError::WaitTimedOut`]; [`RegistryError::NotRunning`] when the namespace ends.
    pub async fn wait_until_up(&self, limit: impl Into<Option<Duration>>) -> Result<(), RegistryError> {
        self.wait_until(deadline(limit.into()), WriterHandle::is_open).await
    }

    /// Waits until the store runs and can be read, whether it records or not; without a limit if that is `None`.
    ///
    /// # Errors
    /// As [`wait_until_up`](Self::wait_until_up).
    pub async fn wait_until_readable(&self, limit: impl Into<Option<Duration>>) -> Result<(), RegistryError> {
        self.wait_until(deadline(limit.into()), |handle| !handle.is_shut()).await
    }

    /// Waits until the writer has done everything that was requested before. Then each of these requests is recorded and
    /// shown by reads, or never will be, even if it was [not answered](EventStoreError::NoAnswer). A read alone does not
    /// say that: if the log has just failed, it succeeds, and shows what was recorded as far as is known. Costs a round
    /// trip through the writer; nothing is recorded.
    ///
    /// # Errors
    /// [`EventStoreError::Unavailable`], at once, while the store cannot record; [`EventStoreError::NotDelivered`] if it
    /// does not run; [`EventStoreError::NoAnswer`]. After any of them nothing is known about the requests.
    pub async fn wait_until_settled(&self) -> Result<(), EventStoreError> {
        self.ask_now(|_| Ok(())).await
    }

    /// Waits until the store has its name and its handle meets the condition.
    async fn wait_until(
        &self,
        until: Option<Instant>,
        is_so: impl Fn(&WriterHandle) -> bool,
    ) -> Result<(), RegistryError> {
        let begun = Instant::now();
        loop {
            // Subscribe before checking, so that no change is missed.
            let mut change = pin!(self.handle.change_to_come());
            change.as_mut().enable();
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            self.registry.wait_for_service(&EVENT_STORE, left).await?;
            if is_so(&self.handle) {
                return Ok(());
            }
            let Some(until) = until else {
                waking_contained(change).await;
                continue;
            };
            if timeout_at(until, waking_contained(change)).await.is_err() {
                let (namespace, waited) = (self.via.namespace(), until.saturating_duration_since(begun));
                let near = NearMisses::of(Self::NAME.as_str(), std::iter::empty());
                return Err(RegistryError::WaitTimedOut { namespace, name: Self::NAME, waited, near });
            }
        }
    }

    // ---- requests: each asks here whether the store is there ----

    /// Why there is no store, if there is none. One that is there may still be ending, or be without its log: its
    /// handle says so at each job.
    fn absence(&self) -> Option<RegistryError> {
        self.via.with(|_| ()).err()
    }

    /// Whether the store can be read before this time.
    async fn is_back(&self, until: Instant) -> bool {
        self.wait_until(Some(until), |handle| !handle.is_shut()).await.is_ok()
    }

    /// How long a request waits for a store that is being restarted.
    fn restarted_by(&self) -> Instant {
        Instant::now() + self.handle.limits.restart
    }

    /// Sends a job to the writer; one that it does not get is not done, and its events are given back.
    fn send(&self, job: Job) -> Result<(), EventStoreError> {
        match self.absence() {
            None => self.handle.send(job),
            Some(reason) => Err(EventStoreError::not_delivered(job.into_batch(), reason)),
        }
    }

    /// The class of a read that takes no longer than an [`answer`](EventStoreLimits::answer).
    pub(super) fn quick(&self) -> ReadClass {
        ReadClass::Quick(Some(self.handle.limits.answer))
    }

    /// Runs work on the writer's log, between two commits. Waits for a store that is being restarted.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn EventLog) -> Result<T, LogError> + Clone + Send + Sync + 'static,
    ) -> Result<T, EventStoreError> {
        self.patiently(|| self.ask_now(work.clone())).await
    }

    /// The same for a store that runs now.
    async fn ask_now<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn EventLog) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, EventStoreError> {
        self.ask_and_move(move |log| Ok((work(log)?, None))).await
    }

    /// Runs work that moves the log's position, for a store that runs now.
    pub(super) async fn ask_and_move<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn EventLog) -> Result<(T, Option<EventId>), LogError> + Send + 'static,
    ) -> Result<T, EventStoreError> {
        let (job, answer) = log_task(work);
        self.send(job)?;
        self.within(answer).await
    }

    /// Reads, once all appends requested before are visible. Waits for a store that is being restarted.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        class: ReadClass,
        read: impl FnOnce(&dyn EventReader) -> Result<T, LogError> + Clone + Send + Sync + 'static,
    ) -> Result<T, EventStoreError> {
        self.patiently(|| self.read_now(class, read.clone())).await
    }

    /// The same for a store that runs now.
    async fn read_now<T: Send + 'static>(
        &self,
        class: ReadClass,
        read: impl FnOnce(&dyn EventReader) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, EventStoreError> {
        if !self.handle.is_settled() {
            // If the log fails meanwhile, recorded events are read all the same.
            match self.ask_now(|_| Ok(())).await {
                Err(_) if self.handle.outage().is_some() => {}
                settled => settled?,
            }
        }
        self.read_recorded_now(class, read).await
    }

    /// Reads what is recorded. Waits for a store that is being restarted.
    pub(super) async fn read_recorded<T: Send + 'static>(
        &self,
        class: ReadClass,
        read: impl FnOnce(&dyn EventReader) -> Result<T, LogError> + Clone + Send + Sync + 'static,
    ) -> Result<T, EventStoreError> {
        self.patiently(|| self.read_recorded_now(class, read.clone())).await
    }

    /// The same for a store that runs now.
    async fn read_recorded_now<T: Send + 'static>(
        &self,
        class: ReadClass,
        read: impl FnOnce(&dyn EventReader) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, EventStoreError> {
        if let Some(reason) = self.absence() {
            return Err(EventStoreError::not_delivered(Vec::new(), reason));
        }
        let outcome = self.handle.readers.read(class, self.ask_now(|log| log.reader()), read).await;
        match (outcome, self.handle.outage()) {
            // The store came back without its log, and has no reader either.
            (Err(EventStoreError::NotDelivered { .. }), Some(outage)) => {
                Err(EventStoreError::unavailable(Vec::new(), &outage))
            }
            (outcome, _) => outcome,
        }
    }

    /// Asks a store that runs, or comes back within [`restart`](EventStoreLimits::restart). The one place where requests
    /// wait for a restart, besides appends, which take their events back for it.
    async fn patiently<T, F>(&self, ask: impl Fn() -> F + Send) -> Result<T, EventStoreError>
    where
        T: Send,
        F: Future<Output = Result<T, EventStoreError>> + Send,
    {
        match ask().await {
            // Boxed: otherwise each read would carry the space for this.
            Err(error @ EventStoreError::NotDelivered { .. }) => Box::pin(self.ask_after_restart(ask, error)).await,
            answered => answered,
        }
    }

    async fn ask_after_restart<T, F>(
        &self,
        ask: impl Fn() -> F + Send,
        mut error: EventStoreError,
    ) -> Result<T, EventStoreError>
    where
        T: Send,
        F: Future<Output = Result<T, EventStoreError>> + Send,
    {
        let until = self.restarted_by();
        while self.is_back(until).await {
            match ask().await {
                Err(again @ EventStoreError::NotDelivered { .. }) => error = again,
                answered => return answered,
            }
        }
        Err(error)
    }

    async fn within<T>(&self, mut answer: oneshot::Receiver<T>) -> Result<T, EventStoreError> {
        // A log that does not block has answered by now. A timer would cost more than the append.
        if let Poll::Ready(answer) = poll!(&mut answer) {
            return answer.map_err(|_| self.unanswered());
        }
        let limit = self.handle.limits.answer;
        let late = |_| {
            let namespace = self.via.namespace();
            EventStoreError::no_answer(format!(
                "service {} in namespace {namespace} did not answer within {limit:?}",
                Self::NAME
            ))
        };
        timeout(limit, answer).await.map_err(late)?.map_err(|_| self.unanswered())
    }

    /// Why a request has no answer.
    fn unanswered(&self) -> EventStoreError {
        match self.handle.outage() {
            Some(outage) => outage.cause.into(),
            None => EventStoreError::no_answer(ENDED),
        }
    }
}

/// When a wait that begins now ends.
fn deadline(limit: Option<Duration>) -> Option<Instant> {
    limit.map(|limit| Instant::now() + limit.bounded())
}

/// What a namespace keeps for its store, under a type that only this module can name.
struct KeptHandle(Arc<WriterHandle>);

impl std::fmt::Debug for EventStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventStore({})", self.via.namespace())
    }
}

fn warn_of(damaged: &DamagedEvent, query: &Query) {
    if query.parts().on_damaged == OnDamaged::Skip {
        report(|| tracing::warn!(%damaged, "a query skips what it cannot read"));
    }
}

#[cfg(test)]
mod tests;
