//! The facade of one namespace.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorId, ActorRef, Message};

use super::cleanup::CleanupReport;
use super::error::RegistryError;
use super::health::HealthCheck;
use super::holder::{Holder, Origin, answers_to};
use super::info::NamespaceInfo;
use super::measures::{Measurement, Meter};
use super::metadata::Metadata;
use super::name_guard::{ClaimError, NameGuard};
use super::namespace_state::NamespaceState;
use super::root::KeepError;
use super::table::LookupError;
use super::via::{Via, explain};
use crate::health::Health;
use crate::namespace::{Namespace, ServiceKey, ServiceName};
use crate::supervisor::{ChildKind, ChildSpec, StartContext, StartError, Started, Supervisor};
use crate::telemetry::Snapshot;

/// The names, actors and application of one namespace.
///
/// Cheap to clone; an actor is given it at spawn to know its namespace. Which call for what:
///
/// | | restarted by | name given back by |
/// |---|---|---|
/// | [`supervise`](Self::supervise) | the namespace's application supervisor, by the child's rule | its end |
/// | [`spawn`](Self::spawn) | not restarted: a temporary child | its end |
/// | [`register`](Self::register) | not restarted: started elsewhere | the process registry, which monitors it |
///
/// A lookup reads the namespace's table: no actor is asked, no lock is shared with writers, and an actor that has ended
/// is never returned, even before the registry has been notified.
#[derive(Clone)]
pub struct ServiceRegistry {
    state: Arc<NamespaceState>,
}

impl ServiceRegistry {
    pub(crate) fn new(state: Arc<NamespaceState>) -> Self {
        Self { state }
    }

    pub(crate) fn state(&self) -> &Arc<NamespaceState> {
        &self.state
    }

    /// Which namespace this is.
    pub fn namespace(&self) -> Namespace {
        self.state.table.namespace()
    }

    /// A value that belongs to this namespace beside its actors, one for each type: made at the first call, shared by
    /// all later calls, and released at the end of the namespace. For state that outlives a restart of the actor that
    /// works on it.
    ///
    /// The value may hold this registry, or handles of services: the namespace and its extension are dropped all the
    /// same. `make` runs under no lock and may ask for other extensions. Two calls at the same time may both run it,
    /// and so may one that asks for its own type; the value that is stored first is shared, and the other is dropped.
    /// After the end of the namespace nothing is kept: each call makes a value of its own.
    pub fn extension<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        self.state.extensions.get_or_make(make)
    }

    // ---- starting ----

    /// Spawns an actor under this name, as a temporary child of the namespace: it is stopped with it and never
    /// restarted.
    ///
    /// The name is taken before the actor starts and visible when it has; it is free again when the actor is gone, its
    /// destructors included.
    ///
    /// # Errors
    /// [`RegistryError::AlreadyRegistered`] names the holder; [`RegistryError::Start`] has the actor's own cause;
    /// [`RegistryError::StillLeaving`], [`RegistryError::NotRunning`].
    pub async fn spawn<A: Actor>(
        &self,
        key: &ServiceKey<A::Msg>,
        actor: A,
        args: A::Arguments,
    ) -> Result<ActorRef<A::Msg>, RegistryError> {
        let holder = Holder::new::<A::Msg>(key.name().clone(), Origin::Managed, 0);
        self.spawn_as(Arc::new(holder), None, actor, args).await
    }

    pub(super) async fn spawn_as<A: Actor>(
        &self,
        holder: Arc<Holder>,
        measurement: Option<Measurement>,
        actor: A,
        args: A::Arguments,
    ) -> Result<ActorRef<A::Msg>, RegistryError> {
        let application = self.state.application().ok_or_else(|| self.not_running())?;
        let name_guard = self.claim(holder).await?;
        let meter = Meter::new(&self.state.measures, name_guard.holder(), measurement);
        let spawned =
            self.while_open(application.direct_spawner.spawn(actor, args, Arc::clone(&name_guard), meter)).await?;
        let actor = spawned.map_err(|error| RegistryError::Start {
            namespace: self.namespace(),
            name: name_guard.holder().name().clone(),
            source: error.into(),
        })?;
        name_guard.publish(actor.get_cell());
        Ok(actor)
    }

    /// Runs a future for as long as this namespace takes names.
    pub(super) async fn while_open<T>(&self, future: impl Future<Output = T>) -> Result<T, RegistryError> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.state.table.closed() => Err(self.not_running()),
        }
    }

    pub(super) fn not_running(&self) -> RegistryError {
        RegistryError::NotRunning { namespace: self.namespace() }
    }

    /// Describes a child that registers itself under this name at each start; `start` gives the actor and its arguments
    /// anew each time. Set its restart and shutdown rules on what is returned, and give it to
    /// [`supervise`](Self::supervise) or to a [`SupervisorSpec`](crate::SupervisorSpec).
    pub fn child_spec<A: Actor>(
        &self,
        key: &ServiceKey<A::Msg>,
        start: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> ChildSpec {
        self.child_spec_as(key, None, None, start)
    }

    pub(super) fn child_spec_as<A: Actor>(
        &self,
        key: &ServiceKey<A::Msg>,
        metadata: Option<Metadata>,
        measurement: Option<Measurement>,
        start: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> ChildSpec {
        let (registry, name) = (self.clone(), key.name().clone());
        let (start, lives) = (Arc::new(start), Arc::new(Mutex::new(Incarnations::default())));
        ChildSpec::from_fn(key.name().as_str(), ChildKind::Worker, move |context| {
            let Incarnations { restarts, latest } = *lives.lock();
            let holder = Holder::new::<A::Msg>(name.clone(), Origin::Managed, restarts);
            let latest = context.replaces().map(ActorCell::get_id).or(latest);
            let holder = Arc::new(holder.with_metadata(metadata.clone()).replacing(latest));
            let (registry, start, lives) = (registry.clone(), Arc::clone(&start), Arc::clone(&lives));
            async move {
                let started = registry.start_child(&context, holder, measurement, &*start).await?;
                *lives.lock() = Incarnations { restarts: restarts + 1, latest: Some(started.actor().get_id()) };
                Ok::<_, StartError>(started)
            }
        })
    }

    async fn start_child<A: Actor>(
        &self,
        context: &StartContext,
        holder: Arc<Holder>,
        measurement: Option<Measurement>,
        start: &(impl Fn() -> (A, A::Arguments) + Sync),
    ) -> Result<Started, StartError> {
        let predecessor = context.replaces().filter(|it| self.has_name(it, holder.name()));
        let name_guard = match predecessor {
            Some(_) => NameGuard::unclaimed(&self.state.table, holder),
            None => self.claim(holder).await.map_err(|error| self.not_claimed(error))?,
        };
        let (actor, args) = start();
        let meter = Meter::new(&self.state.measures, name_guard.holder(), measurement);
        let started = context.spawn_holding(actor, args, Arc::clone(&name_guard), meter).await?;
        match predecessor {
            Some(predecessor) => self.succeed::<A::Msg>(&name_guard, predecessor, &started.actor().clone().into())?,
            None => drop(name_guard.publish(started.actor().clone())),
        }
        Ok(started)
    }

    fn has_name(&self, actor: &ActorCell, name: &ServiceName) -> bool {
        let holder = self.state.table.live_holder(name.as_str());
        holder.and_then(|holder| holder.actor_id()) == Some(actor.get_id())
    }

    /// Distinguishes a child that finds its name taken from one that fails to start.
    fn not_claimed(&self, error: RegistryError) -> StartError {
        match &error {
            RegistryError::AlreadyRegistered { name, .. } | RegistryError::StillLeaving { name, .. } => {
                let (registry, name) = (self.clone(), name.clone());
                StartError::name_taken(error, move || registry.clone().claimable(name.clone()))
            }
            _ => StartError::failed(error),
        }
    }

    /// Starts a child under the namespace's application supervisor, which restarts it by its rule. `None` if the
    /// child's start said [`Start::Ignore`](crate::Start::Ignore).
    ///
    /// # Errors
    /// [`RegistryError::Child`] with the supervisor's refusal or the child's own cause; [`RegistryError::NotRunning`].
    pub async fn supervise(&self, spec: ChildSpec) -> Result<Option<ActorCell>, RegistryError> {
        let namespace = self.namespace();
        let application = self.state.application().ok_or_else(|| self.not_running())?;
        application.supervisor.start_child(spec).await.map_err(|source| RegistryError::Child { namespace, source })
    }

    /// Replaces a child of the application, the one that has this specification's id, by a successor; its name is
    /// handed over, so that a lookup always finds one of the two. See [`Supervisor::replace_child`].
    ///
    /// ```
    /// use foundation_kernel::{Namespace, ProcessRegistry, ServiceKey};
    /// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
    /// # struct Clerk;
    /// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
    /// # impl Actor for Clerk {
    /// #     type Msg = u64; type State = (); type Arguments = ();
    /// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
    /// # }
    /// const CLERK: ServiceKey<u64> = ServiceKey::new("clerk");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let registry = ProcessRegistry::start().await?;
    /// let names = registry.namespace(Namespace::test()).await?;
    /// names.supervise(names.child_spec(&CLERK, || (Clerk, ()))).await?;
    /// let first = names.lookup(&CLERK)?.get_id();
    ///
    /// let second = names.replace(names.child_spec(&CLERK, || (Clerk, ()))).await?.ok_or("it is wanted")?;
    /// assert_ne!(first, second.get_id());
    /// assert_eq!(names.lookup(&CLERK)?.get_id(), second.get_id());
    /// # registry.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RegistryError::Child`] with the supervisor's refusal or the successor's own cause: the child stays as it is.
    /// [`RegistryError::NotRunning`].
    pub async fn replace(&self, spec: ChildSpec) -> Result<Option<ActorCell>, RegistryError> {
        let namespace = self.namespace();
        let supervisor = self.application()?;
        supervisor.replace_child(spec).await.map_err(|source| RegistryError::Child { namespace, source })
    }

    /// The supervisor of the namespace's application: the embedder's children.
    ///
    /// # Errors
    /// [`RegistryError::NotRunning`] while the namespace is starting and after it has stopped.
    pub fn application(&self) -> Result<Supervisor, RegistryError> {
        self.state.application().map(|it| it.supervisor.clone()).ok_or_else(|| self.not_running())
    }

    async fn claim(&self, holder: Arc<Holder>) -> Result<Arc<NameGuard>, RegistryError> {
        NameGuard::claim(&self.state.table, holder, self.state.limits.name_release)
            .await
            .map_err(|error| self.explain_claim(error))
    }

    fn explain_claim(&self, error: ClaimError) -> RegistryError {
        let namespace = self.namespace();
        match error {
            ClaimError::Held(other) => {
                let (name, holder) = (other.name().clone(), other.actor_id());
                RegistryError::AlreadyRegistered { namespace, name, holder }
            }
            ClaimError::StillLeaving(other) => {
                let (name, holder) = (other.name().clone(), other.actor_id());
                RegistryError::StillLeaving { namespace, name, holder, waited: self.state.limits.name_release }
            }
            ClaimError::Closed => RegistryError::NotRunning { namespace },
        }
    }

    // ---- names of actors that were started elsewhere ----

    /// Registers an actor that was started elsewhere. The name goes when the actor does.
    ///
    /// # Errors
    /// [`RegistryError::AlreadyRegistered`] names the holder, be it this actor; [`RegistryError::Dead`];
    /// [`RegistryError::WrongReference`] if the reference does not have the actor's own message type.
    pub async fn register<M: Message>(&self, key: &ServiceKey<M>, actor: &ActorRef<M>) -> Result<(), RegistryError> {
        let holder = Holder::new::<M>(key.name().clone(), Origin::Foreign, 0);
        self.register_as(Arc::new(holder), actor).await
    }

    pub(super) async fn register_as<M: Message>(
        &self,
        holder: Arc<Holder>,
        actor: &ActorRef<M>,
    ) -> Result<(), RegistryError> {
        let registry = self.state.registry.upgrade().ok_or_else(|| self.not_running())?;
        let name = holder.name().clone();
        self.check_reference(&name, actor)?;
        let name_guard = self.claim(holder).await?;
        let mut publish = |name_guard: &NameGuard, actor| name_guard.publish(actor);
        registry.keep(actor, name_guard, &mut publish).map_err(|error| self.explain_keep(name, actor.get_id(), error))
    }

    pub(super) fn explain_keep(&self, name: ServiceName, actor: ActorId, error: KeepError) -> RegistryError {
        match error {
            KeepError::ActorEnds => RegistryError::Dead { name, actor },
            KeepError::NotRunning => self.not_running(),
        }
    }

    /// Refuses a reference that does not have the actor's own message type.
    pub(super) fn check_reference<M: Message>(
        &self,
        name: &ServiceName,
        actor: &ActorRef<M>,
    ) -> Result<(), RegistryError> {
        if answers_to::<M>(actor) {
            return Ok(());
        }
        // ractor knows the type, but not its name; the table knows it for actors that have a name here.
        let (name, actor, wanted) = (name.clone(), actor.get_id(), std::any::type_name::<M>());
        let holders = self.state.table.holders();
        let found = holders.iter().find(|holder| holder.actor_id() == Some(actor)).map(|holder| holder.message());
        Err(RegistryError::WrongReference { name, actor, wanted, found })
    }

    /// Removes a name from its holder, which lives on without it. True if the name had a holder.
    pub fn unregister<M>(&self, key: &ServiceKey<M>) -> bool {
        let mut tried: Option<Arc<Holder>> = None;
        while let Some(holder) = self.state.table.holder(key.name().as_str()) {
            if self.take_away(&holder) {
                return true;
            }
            // Another caller has removed it, or it has just been handed over: then it is the next holder's.
            if tried.replace(Arc::clone(&holder)).is_some_and(|tried| Arc::ptr_eq(&tried, &holder)) {
                return false;
            }
        }
        false
    }

    pub(super) fn take_away(&self, holder: &Arc<Holder>) -> bool {
        // A name that is only claimed belongs to a start under way.
        let Some(actor) = holder.actor() else { return false };
        let taken = self.state.table.take_away(holder);
        self.forget(actor, holder);
        taken
    }

    /// Drops what the registry keeps for this holder.
    pub(super) fn forget(&self, actor: &ActorCell, holder: &Arc<Holder>) {
        if holder.origin() == Origin::Foreign
            && let Some(registry) = self.state.registry.upgrade()
        {
            registry.forget(actor, holder);
        }
    }

    // ---- finding ----

    /// The live actor of this name.
    ///
    /// Costs a hash of the name, a read and one reference count, for which threads that look up the same name contend:
    /// use [`with`](Self::with) or a [`Via`] to borrow instead.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] names the near misses; [`RegistryError::WrongType`] names both types.
    pub fn lookup<M: Message>(&self, key: &ServiceKey<M>) -> Result<ActorRef<M>, RegistryError> {
        self.with(key, |actor| actor.clone().into())
    }

    /// Borrows the live actor of this name for the time of a function. Keep the function short: it delays the release
    /// of memory, not other readers.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    #[inline]
    pub fn with<M: Message, R>(
        &self,
        key: &ServiceKey<M>,
        read: impl FnOnce(&ActorCell) -> R,
    ) -> Result<R, RegistryError> {
        self.state.table.with::<M, R>(key.name().as_str(), read).map_err(|miss| explain(&self.state.table, key, miss))
    }

    /// A handle that finds the actor at each use, and so survives its restarts.
    pub fn via<M: Message>(&self, key: &ServiceKey<M>) -> Via<M> {
        Via::new(Arc::clone(&self.state.table), key.clone())
    }

    /// Whether a live actor has this name.
    pub fn is_registered<M>(&self, key: &ServiceKey<M>) -> bool {
        self.state.table.live_holder(key.name().as_str()).is_some()
    }

    /// The names that have a live actor, sorted.
    pub fn list_services(&self) -> Vec<ServiceName> {
        let holders = self.state.table.holders();
        let mut names: Vec<_> = holders.iter().filter(|h| h.live().is_some()).map(|h| h.name().clone()).collect();
        names.sort();
        names
    }

    // ---- queries ----

    /// Runs a health check of a service, within `limit`.
    pub async fn health_check<M: Message>(
        &self,
        key: &ServiceKey<M>,
        check: HealthCheck<M>,
        limit: Duration,
    ) -> Health {
        let table = &self.state.table;
        let health = match table.with::<M, _>(key.name().as_str(), |actor| actor.clone().into()) {
            Ok(actor) => check.run(actor, limit).await,
            Err(LookupError::Absent) => match table.holder(key.name().as_str()) {
                Some(holder) if holder.actor().is_some() => Health::Dead,
                _ => Health::NotFound,
            },
            Err(miss) => Health::Failed(explain(table, key, miss).to_string()),
        };
        tracing::debug!(namespace = %self.namespace(), service = %key, %health, "health check");
        health
    }

    /// Information about each service; cost: linear in what this namespace holds, and about 1 µs for each service that
    /// has been measured.
    pub fn service_info(&self) -> NamespaceInfo {
        NamespaceInfo::new(self.namespace(), &self.state.table.holders(), &self.state.measures)
    }

    /// What this namespace has counted so far: registrations, lookups, misses, starts, exits, restarts; and how long
    /// lookups take until an actor is found, `registry.lookup_duration_ns`, of which each thread times 1 in 256.
    pub fn counters(&self) -> Snapshot {
        self.state.table.counters().snapshot()
    }

    // ---- ending ----

    /// Returns when this namespace has ended, whatever the cause: a clean-up, a shutdown, the collapse of its tree or
    /// of the whole registry, or the end of the runtime. The restart of production's tree is no end. At once if it has
    /// ended already.
    ///
    /// By then its actors are gone, its watches have ended, and waiters for a name or a lock have got
    /// [`RegistryError::NotRunning`]. Only if its own supervisor, or the root, has been killed, or the runtime is
    /// dropped, actors may still be about to be dropped. This method is cancel safe.
    ///
    /// ```
    /// use foundation_kernel::{Namespace, ProcessRegistry};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let registry = ProcessRegistry::start().await?;
    /// let names = registry.namespace(Namespace::test()).await?;
    /// assert!(!names.has_ended());
    /// registry.shutdown().await;
    /// names.ended().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ended(&self) {
        self.state.ended.wait().await;
    }

    /// Whether this namespace has [ended](Self::ended).
    pub fn has_ended(&self) -> bool {
        self.state.ended.is_set()
    }

    /// Stops everything in this namespace; see
    /// [`ProcessRegistry::cleanup_namespace`](crate::ProcessRegistry::cleanup_namespace).
    ///
    /// # Errors
    /// [`RegistryError::NotATest`] in production; [`RegistryError::NotRunning`] if the registry has ended and no handle
    /// on it is left.
    pub async fn cleanup(&self) -> Result<CleanupReport, RegistryError> {
        match self.state.registry.upgrade() {
            Some(registry) => registry.cleanup(self.namespace()).await,
            None => Err(self.not_running()),
        }
    }
}

/// The incarnations of a self-registering child so far.
#[derive(Clone, Copy, Default)]
struct Incarnations {
    restarts: u32,
    latest: Option<ActorId>,
}

impl std::fmt::Debug for ServiceRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServiceRegistry({})", self.namespace())
    }
}
