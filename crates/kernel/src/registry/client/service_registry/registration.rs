//! How actors come to their names: starts, registrations, hand-overs, the settings for them, and the waits for a name.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorId, ActorRef, Message};
use tokio::time::timeout;

use super::ServiceRegistry;
use crate::containment::waking_contained;
use crate::namespace::{ServiceKey, ServiceName};
use crate::registry::client::error::RegistryError;
use crate::registry::client::supervisor_key::{ByName, SupervisorKey, SupervisorMessage, kind_name};
use crate::registry::measures::{Measurement, Meter};
use crate::registry::names::{
    ClaimError, HandOverError, Holder, KeepError, LookupError, Metadata, NameGuard, Origin, ServiceEntry,
};
use crate::supervisor::{
    BoxError, ChildKind, ChildSpec, DynamicSupervisor, Partition, PartitionSupervisor, Start, StartContext, StartError,
    Started, Supervisor, SupervisorKind, TaskSupervisor,
};

impl ServiceRegistry {
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
        self.spawn_as(key, None, None, actor, args).await
    }

    async fn spawn_as<A: Actor>(
        &self,
        key: &ServiceKey<A::Msg>,
        metadata: Option<Metadata>,
        measurement: Option<Measurement>,
        actor: A,
        args: A::Arguments,
    ) -> Result<ActorRef<A::Msg>, RegistryError> {
        let application = self.state.application().ok_or_else(|| self.not_running())?;
        let holder = Holder::new::<A::Msg>(key.name().clone(), Origin::Managed, metadata);
        let name_guard = self.claim(Arc::new(holder)).await?;
        let meter = Meter::new(&self.state.measures, name_guard.holder(), measurement);
        let spawned =
            self.while_open(application.direct_spawner.spawn(actor, args, Arc::clone(&name_guard), meter)).await?;
        let actor = spawned.map_err(|error| RegistryError::Start {
            namespace: self.namespace(),
            name: name_guard.holder().name().clone(),
            error: error.into(),
        })?;
        name_guard.publish(actor.get_cell());
        Ok(actor)
    }

    /// Describes a child that registers itself under this name at each start; `start` gives the actor and its arguments
    /// anew each time. Set its restart and shutdown rules on what is returned, and give it to
    /// [`supervise`](Self::supervise) or to a [`SupervisorSpec`](crate::supervision::SupervisorSpec).
    pub fn child_spec<A: Actor>(
        &self,
        key: &ServiceKey<A::Msg>,
        start: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> ChildSpec {
        self.registration_builder().child_spec(key, start)
    }

    fn child_spec_as<A: Actor>(
        settings: RegistrationBuilder,
        key: &ServiceKey<A::Msg>,
        start: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> ChildSpec {
        let RegistrationBuilder { registry, metadata, measurement, hand_over_when, spawn_within } = settings;
        let name = key.name().clone();
        let (start, incarnations) = (Arc::new(start), Arc::new(Incarnations::default()));
        ChildSpec::from_fn(key.name().as_str(), ChildKind::Worker, move |context| {
            let holder = Holder::new::<A::Msg>(name.clone(), Origin::Managed, metadata.clone());
            let holder = incarnations.next(holder, &context);
            let (registry, start, incarnations) = (registry.clone(), Arc::clone(&start), Arc::clone(&incarnations));
            let hand_over_when = hand_over_when.clone();
            async move {
                let settings = (measurement, hand_over_when.as_deref(), spawn_within);
                let started = registry.start_child(&context, holder, settings, &*start).await?;
                incarnations.started(started.actor());
                Ok::<_, StartError>(started)
            }
        })
    }

    // ---- supervisors ----

    /// Describes a supervisor that registers itself under this name at each start; its id is the name. What `S::Spec` is
    /// for each of the four kinds is in the table of [`SupervisorKind`](crate::supervision::SupervisorKind). Give it to
    /// [`supervise`](Self::supervise) or to a [`SupervisorSpec`](crate::supervision::SupervisorSpec). OTP's
    /// `start_link({local, Name}, …)`.
    ///
    /// The name is taken before the first child starts and visible when all have; it is free when the last of the
    /// whole subtree is gone. Handles by this name ([`dynamic`](Self::dynamic) and the others) find the supervisor at
    /// each use, and so survive its restarts.
    ///
    /// ```
    /// use foundation_kernel::names::{Namespace, ProcessRegistry};
    /// use foundation_kernel::supervision::{ChildSpec, DynamicSupervisor, DynamicSupervisorSpec, SupervisorKey};
    /// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
    /// # struct Auction;
    /// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
    /// # impl Actor for Auction {
    /// #     type Msg = u64; type State = (); type Arguments = ();
    /// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
    /// # }
    /// const AUCTIONS: SupervisorKey<DynamicSupervisor> = SupervisorKey::from_static("auctions");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let registry = ProcessRegistry::start().await?;
    /// let names = registry.namespace(Namespace::test()).await?;
    /// let auctions = names.dynamic(&AUCTIONS);
    ///
    /// names.supervise(names.supervisor_spec(&AUCTIONS, DynamicSupervisorSpec::default())).await?;
    /// let auction = auctions.start_child(ChildSpec::worker("auction", || (Auction, ()))).await?;
    /// assert!(auction.is_some());
    /// # registry.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn supervisor_spec<S: SupervisorKind>(&self, key: &SupervisorKey<S>, spec: S::Spec) -> ChildSpec {
        let (registry, name, incarnations) = (self.clone(), key.name().clone(), Arc::new(Incarnations::default()));
        let (child, value) = S::child(name.as_str(), spec);
        child.wrap_start(move |context, child| {
            let value = value.clone().unwrap_or_else(|| Arc::new(context.place()));
            let holder = Holder::new::<SupervisorMessage<S>>(name.clone(), Origin::Managed, None)
                .leading_to(kind_name::<S>(), value);
            let holder = incarnations.next(holder, &context);
            let (registry, incarnations) = (registry.clone(), Arc::clone(&incarnations));
            async move {
                let start = registry.start_supervisor::<S>(context, holder, &child).await?;
                if let Start::Running(started) = &start {
                    incarnations.started(started.actor());
                }
                Ok(start)
            }
        })
    }

    async fn start_supervisor<S: SupervisorKind>(
        &self,
        context: StartContext,
        holder: Arc<Holder>,
        child: &ChildSpec,
    ) -> Result<Start, StartError> {
        let predecessor = context.replaces().filter(|it| self.has_name(it, holder.name())).cloned();
        let name_guard = match predecessor {
            Some(_) => NameGuard::unclaimed(&self.state.table, holder),
            None => self.claim(holder).await.map_err(|error| self.not_claimed(error))?,
        };
        let start = child.start(context.holding(Arc::clone(&name_guard))).await?;
        if let Start::Running(started) = &start {
            match &predecessor {
                Some(predecessor) => self.succeed::<SupervisorMessage<S>>(&name_guard, predecessor, started.actor())?,
                None => drop(name_guard.publish(started.actor().clone())),
            }
        }
        Ok(start)
    }

    /// A handle on the supervisor of this name, which finds it at each use, and so survives its restarts. The
    /// supervisor need not be there when the handle is made.
    ///
    /// A request that finds none waits for the next incarnation for at most [5 s](crate::names::RegistryLimits::wait),
    /// and is then a [`ChildError::Lookup`](crate::supervision::ChildError::Lookup). A handle may be used in the
    /// `pre_start` of any actor, with one exception: while a supervisor itself starts, its own children cannot use it.
    /// Such a child waits for that time, and gets [`RegistryError::StillStarting`].
    pub fn supervisor(&self, key: &SupervisorKey<Supervisor>) -> Supervisor {
        self.by_name(key)
    }

    /// The same for a dynamic supervisor; see [`supervisor`](Self::supervisor).
    pub fn dynamic(&self, key: &SupervisorKey<DynamicSupervisor>) -> DynamicSupervisor {
        self.by_name(key)
    }

    /// The same for a supervisor of tasks; see [`supervisor`](Self::supervisor).
    pub fn tasks(&self, key: &SupervisorKey<TaskSupervisor>) -> TaskSupervisor {
        self.by_name(key)
    }

    /// The same for a supervisor of partitions; see [`supervisor`](Self::supervisor). A lookup of a partition never
    /// waits.
    pub fn partitions<P: Partition>(&self, key: &SupervisorKey<PartitionSupervisor<P>>) -> PartitionSupervisor<P> {
        self.by_name(key)
    }

    fn by_name<S: SupervisorKind>(&self, key: &SupervisorKey<S>) -> S {
        let table = Arc::clone(&self.state.table);
        S::by_name(Arc::new(ByName::new(table, key.clone(), self.state.limits.wait)))
    }

    async fn start_child<A: Actor>(
        &self,
        context: &StartContext,
        holder: Arc<Holder>,
        (measurement, hand_over_when, spawn_within): (Option<Measurement>, Option<&HandOverCheck>, Option<Duration>),
        start: &(impl Fn() -> (A, A::Arguments) + Sync),
    ) -> Result<Started, StartError> {
        let predecessor = context.replaces().filter(|it| self.has_name(it, holder.name()));
        let name_guard = match predecessor {
            Some(_) => NameGuard::unclaimed(&self.state.table, holder),
            None => self.claim(holder).await.map_err(|error| self.not_claimed(error))?,
        };
        let (actor, args) = start();
        let meter = Meter::new(&self.state.measures, name_guard.holder(), measurement);
        let spawning = context.spawn_holding(actor, args, Arc::clone(&name_guard), meter);
        let started = match spawn_within {
            Some(limit) => timeout(limit, spawning).await.map_err(|_| StartError::TimedOut(limit))??,
            None => spawning.await?,
        };
        if let (Some(_), Some(check)) = (predecessor, hand_over_when) {
            // If it fails, the successor is stopped with what is dropped here, and the name stays where it is.
            self.pass(name_guard.holder().name(), check, started.actor()).await?;
        }
        match predecessor {
            Some(predecessor) => self.succeed::<A::Msg>(&name_guard, predecessor, started.actor())?,
            None => drop(name_guard.publish(started.actor().clone())),
        }
        Ok(started)
    }

    /// Returns when a successor has passed its check, or has ended before that.
    async fn pass(&self, name: &ServiceName, check: &HandOverCheck, successor: &ActorCell) -> Result<(), StartError> {
        tokio::select! {
            biased;
            _ = waking_contained(successor.wait(None)) => {
                let (name, actor) = (name.clone(), successor.get_id());
                Err(StartError::failed(RegistryError::Dead { name, actor }))
            }
            passed = check(successor.clone()) => passed.map_err(StartError::Failed),
        }
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

    /// Returns when this name may be claimed: never, once the namespace takes no names.
    async fn claimable(self, name: ServiceName) {
        waking_contained(self.state.table.wait_until_free(&name)).await;
        if self.state.table.is_closed() {
            pending().await
        }
    }

    /// Starts a child under the namespace's application supervisor, which restarts it by its rule. `None` if the
    /// child's start said [`Start::Ignore`](crate::supervision::Start::Ignore).
    ///
    /// # Errors
    /// [`RegistryError::Child`] with the supervisor's refusal or the child's own cause; [`RegistryError::NotRunning`].
    pub async fn supervise(&self, spec: ChildSpec) -> Result<Option<ActorCell>, RegistryError> {
        let namespace = self.namespace();
        let application = self.state.application().ok_or_else(|| self.not_running())?;
        application.supervisor.start_child(spec).await.map_err(|error| RegistryError::Child { namespace, error })
    }

    /// Replaces a child of the application, the one that has this specification's id, by a successor; its name is
    /// handed over, so that a lookup always finds one of the two. See [`Supervisor::replace_child`].
    ///
    /// ```
    /// use foundation_kernel::names::{Namespace, ProcessRegistry, ServiceKey};
    /// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
    /// # struct Clerk;
    /// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
    /// # impl Actor for Clerk {
    /// #     type Msg = u64; type State = (); type Arguments = ();
    /// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
    /// # }
    /// const CLERK: ServiceKey<u64> = ServiceKey::from_static("clerk");
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
        supervisor.replace_child(spec).await.map_err(|error| RegistryError::Child { namespace, error })
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
            ClaimError::Leaving(other) => {
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
        self.register_as(key, None, actor).await
    }

    async fn register_as<M: Message>(
        &self,
        key: &ServiceKey<M>,
        metadata: Option<Metadata>,
        actor: &ActorRef<M>,
    ) -> Result<(), RegistryError> {
        let (monitor, name) = (self.state.monitor.upgrade().ok_or_else(|| self.not_running())?, key.name());
        self.check_reference(name, actor)?;
        let name_guard = self.claim(Arc::new(Holder::new::<M>(name.clone(), Origin::Foreign, metadata))).await?;
        let kept = monitor.keep(actor, name_guard, NameGuard::publish);
        kept.map_err(|error| self.explain_keep(name.clone(), actor.get_id(), error))
    }

    fn explain_keep(&self, name: ServiceName, actor: ActorId, error: KeepError) -> RegistryError {
        match error {
            KeepError::ActorEnds => RegistryError::Dead { name, actor },
            KeepError::NotRunning => self.not_running(),
        }
    }

    /// Refuses a reference that does not have the actor's own message type.
    fn check_reference<M: Message>(&self, name: &ServiceName, actor: &ActorRef<M>) -> Result<(), RegistryError> {
        // For an actor on another machine only that machine knows.
        if actor.is_message_type_of::<M>() != Some(false) {
            return Ok(());
        }
        // ractor knows the type, but not its name; the table knows it for actors that have a name here.
        let (name, actor, wanted) = (name.clone(), actor.get_id(), std::any::type_name::<M>());
        let holders = self.state.table.holders();
        let found = holders.iter().find(|holder| holder.actor_id() == Some(actor));
        let found = found.and_then(|holder| holder.registration(None)).map(|registration| registration.message);
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

    fn take_away(&self, holder: &Arc<Holder>) -> bool {
        // A name that is only claimed belongs to a start under way.
        let Some(actor) = holder.actor() else { return false };
        let taken = self.state.table.take_away(holder);
        self.forget(actor, holder);
        taken
    }

    /// Removes a name from this actor, which lives on without it. False if another actor has it: that one keeps it.
    pub fn unregister_from<M>(&self, key: &ServiceKey<M>, actor: ActorId) -> bool {
        let holder = self.state.table.holder(key.name().as_str());
        holder.filter(|holder| holder.actor_id() == Some(actor)).is_some_and(|holder| self.take_away(&holder))
    }

    /// Drops what the registry keeps for this holder.
    fn forget(&self, actor: &ActorCell, holder: &Arc<Holder>) {
        if holder.origin().is_monitored()
            && let Some(monitor) = self.state.monitor.upgrade()
        {
            monitor.forget(actor, holder);
        }
    }

    /// Takes the names away from those that a predicate accepts; the actors live on without them. The names, sorted.
    pub fn unregister_matching(&self, accepts: impl FnMut(&ServiceEntry<'_>) -> bool) -> Vec<ServiceName> {
        let accepted = self.accepted(accepts).into_iter();
        accepted.filter(|holder| self.take_away(holder)).map(|holder| holder.name().clone()).collect()
    }

    /// Gives a name straight from its live holder to another live actor of the same message type.
    ///
    /// A lookup at any time finds one of the two holders, and a [`Via`](crate::names::Via) follows. The metadata is kept. The
    /// old holder lives on without the name, and its end no longer frees it; the new holder's end does, as if it had
    /// been [registered](Self::register). A child that is to be restarted waits until it can have its name back, or as
    /// [`ChildSpec::on_name_taken`](crate::supervision::ChildSpec::on_name_taken) says; to give a child's name to its successor,
    /// [`replace`](Self::replace) it.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] if no live actor has the name; [`RegistryError::WrongType`] or
    /// [`RegistryError::WrongKind`] if it answers to another
    /// message type; [`RegistryError::AlreadyRegistered`] if the actor that is to get the name has it;
    /// [`RegistryError::Dead`] if it has ended, [`RegistryError::WrongReference`] if it answers to another type. In
    /// each case the name stays where it is.
    pub fn hand_over<M: Message>(&self, key: &ServiceKey<M>, to: &ActorRef<M>) -> Result<(), RegistryError> {
        let (table, name) = (&self.state.table, key.name());
        let monitor = self.state.monitor.upgrade().ok_or_else(|| self.not_running())?;
        self.check_reference(name, to)?;
        let name_guard = NameGuard::unclaimed(table, Arc::new(Holder::new::<M>(name.clone(), Origin::Foreign, None)));
        let mut handed = None;
        let kept = monitor.keep(to, name_guard, |name_guard, actor| {
            let handed = handed.insert(name_guard.take_over::<M>(None, actor));
            handed.is_ok() && !table.is_closed()
        });
        let old = handed.transpose().map_err(|error| self.explain_hand_over::<M>(name, to.get_id(), error))?;
        if let Some(old) = old
            && let Some(actor) = old.actor()
        {
            self.forget(actor, &old);
        }
        kept.map_err(|error| self.explain_keep(name.clone(), to.get_id(), error))
    }

    /// Gives a child's name straight to its successor, which holds this name guard.
    fn succeed<M: 'static>(&self, name_guard: &NameGuard, from: &ActorCell, to: &ActorCell) -> Result<(), StartError> {
        let name = name_guard.holder().name();
        let handed = name_guard.take_over::<M>(Some(from.get_id()), to.clone());
        handed.map(drop).map_err(|error| match error {
            HandOverError::Lookup(LookupError::Absent) => StartError::failed(format!(
                "actor {} does not have the name {name} any more, which its successor was to get",
                from.get_id(),
            )),
            error => StartError::failed(self.explain_hand_over::<M>(name, to.get_id(), error)),
        })
    }

    fn explain_hand_over<M>(&self, name: &ServiceName, to: ActorId, error: HandOverError) -> RegistryError {
        match error {
            HandOverError::Lookup(miss) => self.lookup_failed::<M>(name, miss),
            HandOverError::HasIt => {
                RegistryError::AlreadyRegistered { namespace: self.namespace(), name: name.clone(), holder: Some(to) }
            }
            HandOverError::Ends => RegistryError::Dead { name: name.clone(), actor: to },
        }
    }

    // ---- waiting ----

    /// Waits until a live actor has this name; without a limit if that is `None`. Woken by the registration itself.
    ///
    /// # Errors
    /// [`RegistryError::WaitTimedOut`] names the near misses; [`RegistryError::WrongType`]; [`RegistryError::WrongKind`];
    /// [`RegistryError::NotRunning`] when the namespace ends, since no actor can register there any more.
    pub async fn wait_for_service<M: Message>(
        &self,
        key: &ServiceKey<M>,
        limit: impl Into<Option<Duration>>,
    ) -> Result<ActorRef<M>, RegistryError> {
        match within(limit.into(), self.while_open(self.state.table.wait_for_live::<M>(key.name()))).await {
            Ok(found) => found?.map(ActorRef::from).map_err(|miss| self.lookup_failed::<M>(key.name(), miss)),
            Err(waited) => {
                let known = |most| self.state.table.live_names(most);
                Err(RegistryError::wait_timed_out(self.namespace(), key.name(), waited, known))
            }
        }
    }

    /// Waits until this name is free, so that it can be taken over; without a limit if that is `None`. Woken by the end of
    /// the holder itself. Another actor may have taken the name before the caller claims it.
    ///
    /// # Errors
    /// [`RegistryError::StillHeld`] names the holder; [`RegistryError::NotRunning`] when the namespace ends.
    pub async fn wait_until_free<M>(
        &self,
        key: &ServiceKey<M>,
        limit: impl Into<Option<Duration>>,
    ) -> Result<(), RegistryError> {
        match within(limit.into(), self.while_open(self.state.table.wait_until_free(key.name()))).await {
            Ok(free) => free,
            Err(waited) => {
                let holder = self.state.table.holder(key.name().as_str()).and_then(|holder| holder.actor_id());
                Err(RegistryError::StillHeld { namespace: self.namespace(), name: key.name().clone(), holder, waited })
            }
        }
    }

    /// Runs a future while no other caller in this namespace runs one under the same name: mutual exclusion for work on
    /// a name or a group that no actor owns. Elixir's `Registry.lock`.
    ///
    /// Callers are served in order; other names do not wait. The lock is released when the future has ended, has
    /// panicked, or is dropped, be it running or waiting. It is not reentrant: a future that asks for a lock that it
    /// has waits for ever. An unused name costs nothing. Cost: a small lock shared by all callers in this namespace,
    /// for the lookup in a map.
    ///
    /// ```
    /// use foundation_kernel::names::{Namespace, ProcessRegistry, ServiceName};
    ///
    /// const INVOICES: ServiceName = ServiceName::from_static("invoices");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let registry = ProcessRegistry::start().await?;
    /// let mine = registry.namespace(Namespace::test()).await?;
    /// let number = mine.lock(&INVOICES, async { 1_042 }).await?;
    /// assert_eq!(number, 1_042);
    /// registry.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RegistryError::NotRunning`] if the namespace ends before the future's turn; the future has not been polled
    /// then. A running future is not disturbed.
    pub async fn lock<T>(&self, name: &ServiceName, future: impl Future<Output = T>) -> Result<T, RegistryError> {
        let _locked = tokio::select! {
            biased;
            () = self.state.table.closed() => return Err(self.not_running()),
            locked = self.state.locks.lock(name) => locked,
        };
        Ok(future.await)
    }

    // ---- settings and metadata ----

    /// Registers with metadata: the returned builder spawns, registers and describes children as the registry itself
    /// does.
    ///
    /// ```
    /// use foundation_kernel::names::{Metadata, Namespace, ProcessRegistry, ServiceKey};
    /// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
    /// # struct Clerk;
    /// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
    /// # impl Actor for Clerk {
    /// #     type Msg = u64; type State = (); type Arguments = ();
    /// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
    /// # }
    /// const CLERK: ServiceKey<u64> = ServiceKey::from_static("clerk");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let registry = ProcessRegistry::start().await?;
    /// let names = registry.namespace(Namespace::test()).await?;
    /// let desk = Metadata::new(&[("desk", 4)].into_iter().collect::<std::collections::BTreeMap<_, _>>())?;
    /// let clerk = names.with_metadata(desk).spawn(&CLERK, Clerk, ()).await?;
    /// assert_eq!(names.metadata(&CLERK)?.unwrap().get("desk").unwrap(), 4);
    ///
    /// // Only its owner may change it.
    /// names.update_metadata(&CLERK, &clerk, |_| Metadata::new("on holiday").ok())?;
    /// assert_eq!(names.metadata(&CLERK)?.unwrap().value(), "on holiday");
    /// # registry.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_metadata(&self, metadata: Metadata) -> RegistrationBuilder {
        self.registration_builder().with_metadata(metadata)
    }

    /// Sets how much is measured of what is registered: the returned builder spawns and describes children as the
    /// registry itself does. See [`Measurement`], also for its cost.
    pub fn measured(&self, measurement: Measurement) -> RegistrationBuilder {
        self.registration_builder().measured(measurement)
    }

    fn registration_builder(&self) -> RegistrationBuilder {
        RegistrationBuilder {
            registry: self.clone(),
            metadata: None,
            measurement: None,
            hand_over_when: None,
            spawn_within: None,
        }
    }

    /// Changes the metadata of a name. Only its owner may: the actor that has the name passes its own reference.
    /// Elixir's `update_value`.
    ///
    /// `update` gets the current metadata and returns the new; `None` leaves it as it is. It may run more than once, if
    /// two updates race. Returns the metadata in force. A hand-over of the name keeps the metadata; a restarted child
    /// begins with the metadata of its child spec, as with its arguments, and so does one that is
    /// [replaced](ServiceRegistry::replace) by a specification with metadata.
    ///
    /// # Errors
    /// [`RegistryError::NotOwner`] names the owner; [`RegistryError::NotFound`].
    pub fn update_metadata<M>(
        &self,
        key: &ServiceKey<M>,
        owner: &ActorCell,
        mut update: impl FnMut(Option<&Metadata>) -> Option<Metadata>,
    ) -> Result<Option<Metadata>, RegistryError> {
        let (table, name) = (&self.state.table, key.name());
        loop {
            let holder = table
                .live_holder(name.as_str())
                .ok_or_else(|| self.lookup_failed::<M>(key.name(), LookupError::Absent))?;
            if let Some(actor) = holder.actor_id().filter(|actor| *actor != owner.get_id()) {
                let (namespace, name, by) = (self.namespace(), name.clone(), owner.get_id());
                return Err(RegistryError::NotOwner { namespace, name, owner: actor, by });
            }
            let (version, before) = holder.metadata().unzip();
            let Some(after) = update(before.as_ref()) else { return Ok(before) };
            if table.describe(&holder, version, after.clone()) {
                return Ok(Some(after));
            }
        }
    }
}

/// Awaits a future for this time, or for as long as it takes; the time if it takes longer.
async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Result<T, Duration> {
    match limit {
        Some(limit) => waking_contained(timeout(limit, future)).await.map_err(|_| limit),
        None => Ok(waking_contained(future).await),
    }
}

/// The incarnations of a self-registering child so far.
#[derive(Default)]
struct Incarnations(Mutex<(u32, Option<ActorId>)>);

impl Incarnations {
    /// The holder of the next one: it says how often there was one before, and which it follows.
    fn next(&self, holder: Holder, context: &StartContext) -> Arc<Holder> {
        let (restarts, latest) = *self.0.lock();
        Arc::new(holder.restarted(restarts, context.replaces().map(ActorCell::get_id).or(latest)))
    }

    /// Starts of one name do not overlap, so that this is the one that was next.
    fn started(&self, actor: &ActorCell) {
        let (restarts, latest) = &mut *self.0.lock();
        (*restarts, *latest) = (*restarts + 1, Some(actor.get_id()));
    }
}

/// A registry with settings for a registration: its metadata, see [`ServiceRegistry::with_metadata`], and how much is
/// measured, see [`ServiceRegistry::measured`].
#[must_use = "it does nothing until something is registered with it"]
#[derive(Clone)]
pub struct RegistrationBuilder {
    registry: ServiceRegistry,
    metadata: Option<Metadata>,
    measurement: Option<Measurement>,
    hand_over_when: Option<Arc<HandOverCheck>>,
    /// How long the actor of a child may take to start.
    spawn_within: Option<Duration>,
}

/// What a successor has to pass before it gets the name of its predecessor.
type HandOverCheck = dyn Fn(ActorCell) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync;

impl fmt::Debug for RegistrationBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrationBuilder")
            .field("registry", &self.registry)
            .field("metadata", &self.metadata)
            .field("measurement", &self.measurement)
            .finish_non_exhaustive()
    }
}

impl RegistrationBuilder {
    /// With this metadata.
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata: Some(metadata), ..self }
    }

    /// With this measurement.
    pub fn measured(self, measurement: Measurement) -> Self {
        Self { measurement: Some(measurement), ..self }
    }

    /// With a check of a successor: a child that [replaces](Supervisor::replace_child) another one gets the name when this
    /// has returned `Ok` for its actor. Until then the predecessor keeps the name. With an error, or a panic, the
    /// replacement fails and the successor is stopped; it fails, too, if the successor ends before the check has returned.
    /// The check counts toward the start time-out; [`spawn_within`](Self::spawn_within) limits the start without it.
    ///
    /// Starts that replace no actor, and registrations, do not use it.
    pub fn hand_over_when<F, Fut>(self, check: F) -> Self
    where
        F: Fn(ActorCell) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self { hand_over_when: Some(Arc::new(move |actor| check(actor).boxed())), ..self }
    }

    /// With a limit of the start of a child's actor alone, its `pre_start`, beside the
    /// [start time-out](ChildSpec::start_timeout) of the child: for one whose successor is checked for long.
    pub fn spawn_within(self, limit: Duration) -> Self {
        Self { spawn_within: Some(limit), ..self }
    }

    /// As [`ServiceRegistry::spawn`].
    ///
    /// # Errors
    /// As there.
    pub async fn spawn<A: Actor>(
        self,
        key: &ServiceKey<A::Msg>,
        actor: A,
        args: A::Arguments,
    ) -> Result<ActorRef<A::Msg>, RegistryError> {
        self.registry.spawn_as(key, self.metadata, self.measurement, actor, args).await
    }

    /// As [`ServiceRegistry::child_spec`]; the child begins each incarnation with this metadata and is measured so
    /// much.
    pub fn child_spec<A: Actor>(
        self,
        key: &ServiceKey<A::Msg>,
        start: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> ChildSpec {
        ServiceRegistry::child_spec_as(self, key, start)
    }

    /// As [`ServiceRegistry::register`]; an actor that was started elsewhere is not measured.
    ///
    /// # Errors
    /// As there.
    pub async fn register<M: Message>(self, key: &ServiceKey<M>, actor: &ActorRef<M>) -> Result<(), RegistryError> {
        self.registry.register_as(key, self.metadata, actor).await
    }
}
