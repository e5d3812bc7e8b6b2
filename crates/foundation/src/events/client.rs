//! The event store's face.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use foundation_core::{ChildSpec, RegistryError, ServiceName, ServiceRegistry, Via};
use futures::poll;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::append::{Append, ExpectedPosition};
use super::clock::Clock;
use super::failure::LogFailure;
use super::gate::Gate;
use super::hold::Hold;
use super::id::EventId;
use super::job::{AppendJob, Ids, Job, Reply, chore};
use super::kind::EventKind;
use super::log::{EventLog, EventReader};
use super::memory::MemoryLog;
use super::new_event::NewEvent;
use super::retention::RetentionReport;
use super::server::{EVENT_STORE, EventStoreMsg, EventStoreServer};
use super::stand_in::EVENT_LOST;
use super::storage::EventStorage;
use super::store_error::EventStoreError;
use super::store_limits::EventStoreLimits;

const ENDING: &str = "the event store is ending";
const ENDED: &str = "the event store ended and did not answer";

/// The event store of one namespace: appends recorded facts and finds them again.
///
/// A handle, cheap to clone, that survives the store's restarts. The events of each namespace are its own. Where they are
/// kept, and for how long, is up to its [`EventStorage`].
///
/// What is appended goes to the store's one writer, which commits whatever has come in the meantime together and answers
/// when it is durable: many appends at once cost hardly more than one. Reading is done beside it. Whoever reads sees all
/// that was asked to be recorded before.
///
/// ```
/// use foundation::{Foundation, NewEvent, Query};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let foundation = Foundation::builder().start().await?;
/// let events = foundation.events();
/// let id = events.append(NewEvent::new("order_placed")?.payload(12)?).await?;
///
/// let found = events.query(Query::new().kind("order_placed".parse()?)).await?;
/// assert_eq!((found.len(), found[0].id), (1, id));
/// foundation.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EventStore {
    pub(super) registry: ServiceRegistry,
    via: Via<EventStoreMsg>,
    pub(super) gate: Arc<Gate>,
}

impl EventStore {
    /// The name of the store in each namespace.
    pub const NAME: ServiceName = ServiceName::from_static("event_store");

    /// The kind of an event that stands in the place of one that cannot be read any more: in an export that
    /// [skips](crate::OnDamaged::Skip) damaged events, and in a log that was repaired. Its payload says why: `{"reason": …}`.
    pub const EVENT_LOST: EventKind = EVENT_LOST;

    /// The event store of a namespace, whether it runs or not.
    pub fn of(registry: &ServiceRegistry) -> Self {
        let limits = registry.extension(EventStoreLimits::default);
        let gate = registry.extension(|| KeptGate(Arc::new(Gate::new((*limits).clone()))));
        Self { registry: registry.clone(), via: registry.via(&EVENT_STORE), gate: Arc::clone(&gate.0) }
    }

    /// How to start the event store of a namespace under the name `event_store`. It tells the time by `clock`, and
    /// `told` of each look at its retention, on the store's own thread: be brief.
    ///
    /// A restarted store goes on where the old one ended.
    pub fn child_spec(
        registry: &ServiceRegistry,
        storage: &EventStorage,
        clock: Clock,
        told: impl Fn(&RetentionReport) + Send + Sync + 'static,
    ) -> ChildSpec {
        let namespace = registry.namespace();
        let gate = Self::of(registry).gate;
        let opener = storage.opener(namespace, &gate.limits, |limits| {
            let empty = || KeptLog(MemoryLog::new(namespace.to_string()).with_limits(limits));
            registry.extension(empty).0.clone()
        });
        let (retention, told) = (storage.kept_for().clone(), Arc::new(told));
        registry.child_spec(&EVENT_STORE, move || {
            let (gate, opener, clock) = (Arc::clone(&gate), opener.clone(), Arc::clone(&clock));
            let told = Arc::clone(&told) as _;
            (EventStoreServer { gate, opener, clock, retention: retention.clone(), told }, ())
        })
    }

    // ---- writing ----

    /// Records one event; returns when it is recorded, as durably as the storage makes it, with its id.
    ///
    /// # Errors
    /// [`EventStoreError::Log`] if the event is outside the store's limits, [`EventStoreError::NotDelivered`] and
    /// [`EventStoreError::NoAnswer`] if the store is not there, fails or does not answer within [5 s](crate::EventStoreLimits::answer).
    pub async fn append(&self, event: NewEvent) -> Result<EventId, EventStoreError> {
        let ids = self.append_batch(vec![event]).await?;
        ids.first().copied().ok_or_else(|| EventStoreError::no_answer("the log gave no id"))
    }

    /// Records all events or none, in order, with one time.
    ///
    /// # Errors
    /// As [`append`](Self::append); the whole batch comes back in the error.
    pub async fn append_batch(&self, batch: Vec<NewEvent>) -> Result<Vec<EventId>, EventStoreError> {
        self.record(Append::new(batch)).await
    }

    /// Records all events if the store is still at this [position](Self::position), and none otherwise: for those who
    /// decide on what they have read, and would decide anew if anything was recorded since.
    ///
    /// # Errors
    /// [`EventError::Conflict`](crate::EventError::Conflict) says where the store is; else as [`append`](Self::append).
    pub async fn append_expecting(
        &self,
        expected: Option<EventId>,
        batch: Vec<NewEvent>,
    ) -> Result<Vec<EventId>, EventStoreError> {
        self.record(Append::new(batch).expecting(ExpectedPosition::Exactly(expected))).await
    }

    /// Asks for events to be recorded, in order, and does not wait: for those who could do nothing about a failure. A
    /// batch that is outside the store's limits is lost, with a warning to `tracing`.
    ///
    /// # Errors
    /// [`EventStoreError::NotDelivered`] gives the events back.
    pub fn note(&self, batch: Vec<NewEvent>) -> Result<(), EventStoreError> {
        self.send(AppendJob { append: Append::new(batch), reply: Reply::Nobody })
    }

    async fn record(&self, append: Append) -> Ids {
        let (asker, answer) = oneshot::channel();
        self.send(AppendJob { append, reply: Reply::Asker(asker) })?;
        self.within(answer).await?
    }

    fn send(&self, append: AppendJob) -> Result<(), EventStoreError> {
        let unsent = match self.via.with(|_| ()) {
            Ok(()) => self.gate.send(Job::Append(append)).map_err(|job| (job, ENDING.to_owned())),
            Err(reason) => Err((Job::Append(append), reason.to_string())),
        };
        unsent.map_err(|(job, reason)| match job {
            Job::Append(AppendJob { append, .. }) => EventStoreError::not_delivered(append.batch, reason),
            Job::Chore(_) => EventStoreError::not_delivered(Vec::new(), reason),
        })
    }

    // ---- what all requests share ----

    /// The highest id that the store ever gave, read in place: `None` if nothing was ever recorded, or no store has
    /// started yet. Whatever was acknowledged is counted in it.
    pub fn position(&self) -> Option<EventId> {
        self.gate.position()
    }

    /// What of this store is not forgotten yet.
    pub(crate) fn hold(&self) -> &Hold {
        &self.gate.hold
    }

    /// Keeps what is recorded from now on, unless something is kept already.
    pub(crate) fn hold_from_here(&self) {
        if self.gate.hold.kept_from().is_none() {
            let recorded = self.position().map_or(0, EventId::get);
            self.gate.hold.keep_from(Some(EventId::after(recorded)));
        }
    }

    /// Waits until the store runs, at most [5 s](foundation_core::RegistryLimits::wait) if no limit is given: after its restart, say.
    ///
    /// # Errors
    /// [`RegistryError::WaitTimedOut`].
    pub async fn wait_until_up(&self, limit: impl Into<Option<Duration>>) -> Result<(), RegistryError> {
        self.registry.wait_for_service(&EVENT_STORE, limit).await.map(drop)
    }

    /// Has the writer do something with its log, between two commits.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn EventLog) -> Result<T, LogFailure> + Send + 'static,
    ) -> Result<T, EventStoreError> {
        self.ask_and_move(move |log| Ok((work(log)?, None))).await
    }

    /// The same for what moves the log's position.
    pub(super) async fn ask_and_move<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn EventLog) -> Result<(T, Option<EventId>), LogFailure> + Send + 'static,
    ) -> Result<T, EventStoreError> {
        self.is_there()?;
        let (job, answer) = chore(work);
        self.gate.send(job).map_err(|_| EventStoreError::not_delivered(Vec::new(), ENDING))?;
        self.within(answer).await
    }

    /// Reads, once all is visible that was asked to be recorded before.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn EventReader) -> Result<T, LogFailure> + Send + 'static,
    ) -> Result<T, EventStoreError> {
        if !self.gate.is_settled() {
            self.ask(|_| Ok(())).await?;
        }
        self.read_now(read).await
    }

    /// Reads what is recorded.
    pub(super) async fn read_now<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn EventReader) -> Result<T, LogFailure> + Send + 'static,
    ) -> Result<T, EventStoreError> {
        self.is_there()?;
        let readers = self.gate.readers().ok_or_else(|| EventStoreError::not_delivered(Vec::new(), ENDING))?;
        readers.read(self.ask(|log| log.reader()), read).await
    }

    fn is_there(&self) -> Result<(), EventStoreError> {
        self.via.with(|_| ()).map_err(|reason| EventStoreError::not_delivered(Vec::new(), reason))
    }

    async fn within<T>(&self, mut answer: oneshot::Receiver<T>) -> Result<T, EventStoreError> {
        // A log that does not block has answered by now. A timer for it would cost more than the append.
        if let Poll::Ready(answer) = poll!(&mut answer) {
            return answer.map_err(|_| EventStoreError::no_answer(ENDED));
        }
        let limit = self.gate.limits.answer;
        let late = |_| {
            let namespace = self.via.namespace();
            EventStoreError::no_answer(format!(
                "service {} in namespace {namespace} did not answer within {limit:?}",
                Self::NAME
            ))
        };
        timeout(limit, answer).await.map_err(late)?.map_err(|_| EventStoreError::no_answer(ENDED))
    }
}

// What a namespace keeps for its store, under types that nobody else can ask it for.

struct KeptGate(Arc<Gate>);

/// A log that outlives the actor that writes to it, as a file would: a restart forgets nothing.
struct KeptLog(MemoryLog);

impl std::fmt::Debug for EventStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventStore({})", self.via.namespace())
    }
}
