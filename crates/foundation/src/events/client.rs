//! The event store's face.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use foundation_core::ractor::RpcReplyPort;
use foundation_core::{CallError, CastError, ChildSpec, RegistryError, ServiceName, ServiceRegistry, Via};
use parking_lot::Mutex;

use super::error::EventError;
use super::event::Event;
use super::id::EventId;
use super::memory::MemoryLog;
use super::new_event::NewEvent;
use super::query::Query;
use super::server::{Clock, EVENT_STORE, EventStoreMsg, EventStoreServer, KeptLog};
use super::stats::EventStats;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The event store of one namespace: appends recorded facts and finds them again.
///
/// A handle on an actor, found by its name at each use, so it survives the store's restarts; cheap to clone. The
/// events of each namespace are its own. They are kept in memory for as long as the namespace is there, and it grows until
/// it is [pruned](Self::prune_before).
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
    registry: ServiceRegistry,
    via: Via<EventStoreMsg>,
}

/// Why the event store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventStoreError {
    /// The log refused, and says why.
    #[error(transparent)]
    Log(#[from] EventError),
    /// The store is not there. Nothing was recorded, and the events are given back.
    #[error("{reason}")]
    NotDelivered {
        /// What was to be recorded, in its order.
        batch: Vec<NewEvent>,
        /// Why it could not be delivered.
        reason: String,
    },
    /// The store took the request and did not answer. What was to be recorded may be recorded or not.
    #[error("{reason}")]
    NoAnswer {
        /// What happened instead.
        reason: String,
    },
}

impl EventStoreError {
    /// The events that were certainly not recorded, in their order.
    pub fn into_batch(self) -> Vec<NewEvent> {
        match self {
            Self::Log(error) => error.into_batch(),
            Self::NotDelivered { batch, .. } => batch,
            Self::NoAnswer { .. } => Vec::new(),
        }
    }

    fn from_call(error: CallError<EventStoreMsg>) -> Self {
        match error {
            CallError::NotDelivered(error) => error.into(),
            other => Self::NoAnswer { reason: other.to_string() },
        }
    }
}

impl From<CastError<EventStoreMsg>> for EventStoreError {
    fn from(CastError { message, reason }: CastError<EventStoreMsg>) -> Self {
        let batch = match message {
            EventStoreMsg::Append(batch, _) | EventStoreMsg::Note(batch) => batch,
            _ => Vec::new(),
        };
        Self::NotDelivered { batch, reason: reason.to_string() }
    }
}

impl EventStore {
    /// The name of the store in each namespace.
    pub const NAME: ServiceName = ServiceName::from_static("event_store");

    /// The event store of a namespace, whether it runs or not.
    pub fn of(registry: &ServiceRegistry) -> Self {
        Self { registry: registry.clone(), via: registry.via(&EVENT_STORE) }
    }

    /// How to start the event store of a namespace under the name `event_store`.
    ///
    /// The log belongs to the namespace, not to the actor: a restarted store goes on where the old one ended.
    pub fn child_spec(registry: &ServiceRegistry, clock: Clock) -> ChildSpec {
        let namespace = registry.namespace().to_string();
        let open = || KeptLog(Arc::new(Mutex::new(MemoryLog::new(namespace))));
        let kept = registry.extension(open);
        registry.child_spec(&EVENT_STORE, move || (EventStoreServer { clock: Arc::clone(&clock) }, Arc::clone(&kept.0)))
    }

    /// Records one event; returns when it is recorded, with its id.
    ///
    /// # Errors
    /// [`EventStoreError::Log`] if the event is outside the store's limits, [`EventStoreError::NotDelivered`] and
    /// [`EventStoreError::NoAnswer`] if the store is not there or does not answer within 5 s.
    pub async fn append(&self, event: NewEvent) -> Result<EventId, EventStoreError> {
        let ids = self.append_batch(vec![event]).await?;
        ids.first().copied().ok_or_else(|| EventStoreError::NoAnswer { reason: "the log gave no id".to_owned() })
    }

    /// Records all events or none, in order, with one time.
    ///
    /// # Errors
    /// As [`append`](Self::append); the whole batch comes back in the error.
    pub async fn append_batch(&self, batch: Vec<NewEvent>) -> Result<Vec<EventId>, EventStoreError> {
        self.ask(|reply| EventStoreMsg::Append(batch, reply)).await
    }

    /// Asks for events to be recorded, in order, and does not wait: for those who could do nothing about a failure. A
    /// batch that is outside the store's limits is lost, with a warning to `tracing`.
    ///
    /// # Errors
    /// [`EventStoreError::NotDelivered`] gives the events back.
    pub fn note(&self, batch: Vec<NewEvent>) -> Result<(), EventStoreError> {
        Ok(self.via.cast(EventStoreMsg::Note(batch))?)
    }

    /// The event with this id; `None` if it was pruned or is not recorded yet.
    ///
    /// # Errors
    /// [`EventStoreError::NotDelivered`], [`EventStoreError::NoAnswer`].
    pub async fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, EventStoreError> {
        self.ask(|reply| EventStoreMsg::Get(id, reply)).await
    }

    /// The events that the query asks for, in its order.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn query(&self, query: Query) -> Result<Vec<Arc<Event>>, EventStoreError> {
        self.ask(|reply| EventStoreMsg::Query(query, reply)).await
    }

    /// Forgets the events that were recorded before this time, and says how many.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn prune_before(&self, time: SystemTime) -> Result<u64, EventStoreError> {
        self.ask(|reply| EventStoreMsg::PruneBefore(time, reply)).await
    }

    /// How much the store holds.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn stats(&self) -> Result<EventStats, EventStoreError> {
        self.ask(EventStoreMsg::Stats).await
    }

    /// Waits until the store runs, at most 5 s if no limit is given: after its restart, say.
    ///
    /// # Errors
    /// [`RegistryError::WaitTimedOut`].
    pub async fn wait_until_up(&self, limit: impl Into<Option<Duration>>) -> Result<(), RegistryError> {
        self.registry.wait_for_service(&EVENT_STORE, limit).await.map(drop)
    }

    async fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<Result<T, EventError>>) -> EventStoreMsg,
    ) -> Result<T, EventStoreError> {
        let answer = self.via.call(message, LIMIT).await.map_err(EventStoreError::from_call)?;
        Ok(answer?)
    }
}

impl std::fmt::Debug for EventStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventStore({})", self.via.namespace())
    }
}
