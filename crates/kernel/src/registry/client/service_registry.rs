//! The client of one namespace.
//!
//! How actors come to their names is in [`registration`], since the documentation of all operations is too long for one
//! file: a module below this one, so that the state of a namespace stays private.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use ractor::{ActorCell, ActorId, ActorRef, ActorStatus, Message};
use scc::Guard;
use tokio::time::Instant;

use super::cleanup::{CleanupReport, StoppedService};
use super::error::RegistryError;
use super::extensions::Extensions;
use super::health::HealthCheck;
use super::info::NamespaceInfo;
use super::registered::RegisteredActor;
use super::via::Via;
use crate::containment::drop_contained;
use crate::health::Health;
use crate::limits::{HealthLimits, RegistryLimits};
use crate::namespace::{Namespace, ServiceKey, ServiceName};
use crate::registry::groups::{Group, GroupKey, GroupScope, Member, MemberMonitor};
use crate::registry::measures::{Measurement, Measures, ServiceMeasures};
use crate::registry::names::{
    Counted, Holder, Latch, Locks, LookupError, Metadata, Monitor, Registration, ServiceEntry, Table, Watch,
};
use crate::supervisor::{
    ChildEvent, ChildHealth, ChildKind, ChildSpec, DirectSpawner, InspectingReporter, Report, Reporter,
    RestartIntensity, StartError, Stopped, Strategy, Supervisor, SupervisorSpec, Tree, TreePlace, TreeStatus,
    TreeWatch, stop_unmanaged,
};
use crate::telemetry::Snapshot;

pub(super) mod registration;

/// The supervisor, in each namespace, of the embedder's children.
pub(in crate::registry) const APPLICATION: &str = "application";

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

/// One namespace, shared by all its users: its names, its groups, the measures of its services, its application, and
/// the way to the registry that it belongs to.
struct NamespaceState {
    table: Arc<Table>,
    groups: Arc<GroupScope>,
    locks: Locks,
    measures: Arc<Measures>,
    root: Weak<dyn Root>,
    monitor: Weak<Monitor>,
    limits: RegistryLimits,
    /// The services that count in its health, with what they need; set when its tree is described.
    counting: OnceLock<Vec<(String, Vec<ServiceName>)>>,
    /// Set at each start of the application's supervisor.
    application: Mutex<Option<Arc<Application>>>,
    /// Values of the layers above, one of each type.
    extensions: Extensions,
    /// Set by the end of the namespace.
    ended: Latch,
    /// The pending end of the namespace.
    ending: Mutex<Weak<NamespaceEnd>>,
    /// The actors that were stopped since the shutdown began; kept only while a report will read it.
    stop_log: Mutex<Option<Vec<StoppedService>>>,
}

/// The application's supervisor, with the place to start further actors under it.
struct Application {
    supervisor: Supervisor,
    direct_spawner: DirectSpawner,
}

/// The way from a namespace up to the registry that it belongs to.
pub(crate) trait Root: Send + Sync + 'static {
    /// What a namespace consists of.
    fn tree(self: Arc<Self>, namespace: Namespace) -> BoxFuture<'static, Tree>;

    /// The place of a namespace in the tree; `None` without a root.
    fn place(&self, namespace: Namespace) -> Option<TreePlace>;

    /// The health of the children in a namespace that count, or why it is not known.
    fn health(
        self: Arc<Self>,
        namespace: Namespace,
        limits: HealthLimits,
    ) -> BoxFuture<'static, Result<Vec<ChildHealth>, Health>>;

    /// Stops a namespace.
    fn cleanup(self: Arc<Self>, namespace: Namespace) -> BoxFuture<'static, Result<CleanupReport, RegistryError>>;
}

impl ServiceRegistry {
    pub(crate) fn new(
        namespace: Namespace,
        root: Weak<dyn Root>,
        monitor: Weak<Monitor>,
        measurement: Measurement,
        limits: RegistryLimits,
    ) -> Self {
        let table = Arc::new(Table::new(namespace, monitor.clone()));
        let state = NamespaceState {
            groups: Arc::new(GroupScope::new(Arc::clone(&table), monitor.clone())),
            measures: Arc::new(Measures::new(namespace, measurement)),
            table,
            locks: Locks::default(),
            root,
            monitor,
            limits,
            counting: OnceLock::new(),
            application: Mutex::default(),
            extensions: Extensions::default(),
            ended: Latch::default(),
            ending: Mutex::default(),
            stop_log: Mutex::default(),
        };
        Self { state: Arc::new(state) }
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

    // ---- finding ----

    /// The live actor of this name.
    ///
    /// Costs a hash of the name, a read and one reference count, for which threads that look up the same name contend:
    /// use [`with`](Self::with) or a [`Via`] to borrow instead.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] names the near misses; [`RegistryError::WrongType`] names both types;
    /// [`RegistryError::WrongKind`] if it is the name of a supervisor.
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
        let found = self.state.table.with::<M, R>(key.name().as_str(), |_, actor| read(actor));
        found.map_err(|miss| self.lookup_failed::<M>(key.name(), miss))
    }

    #[cold]
    fn lookup_failed<M>(&self, name: &ServiceName, miss: LookupError) -> RegistryError {
        let known = |most| self.state.table.live_names(most);
        RegistryError::lookup_failed::<M>(self.namespace(), name, miss, known)
    }

    /// The live actor of this name, whatever messages it answers to: for operators and tools. Costs what
    /// [`lookup`](Self::lookup) does.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] names the near misses.
    pub fn lookup_any(&self, name: &ServiceName) -> Result<RegisteredActor, RegistryError> {
        let holder = self.state.table.live_holder(name.as_str());
        let found = holder.and_then(|holder| RegisteredActor::of(self.namespace(), holder));
        found.ok_or_else(|| self.lookup_failed::<()>(name, LookupError::Absent))
    }

    /// A handle that finds the actor at each use, and so survives its restarts.
    pub fn via<M: Message>(&self, key: &ServiceKey<M>) -> Via<M> {
        Via::new(Arc::clone(&self.state.table), key.clone())
    }

    /// Whether a live actor has this name.
    pub fn is_registered<M>(&self, key: &ServiceKey<M>) -> bool {
        self.state.table.live_holder(key.name().as_str()).is_some()
    }

    /// The actor that has this name, with its status: also one that takes no messages any more, until the name is free. It is not
    /// counted as a lookup.
    ///
    /// For those who have to know whether an actor is still there, as one is that handles its last messages.
    /// [`lookup_any`](Self::lookup_any) finds actors to talk to.
    pub fn status_of(&self, name: &ServiceName) -> Option<(ActorId, ActorStatus)> {
        let holder = self.state.table.holder(name.as_str()).filter(|holder| !holder.is_retired())?;
        holder.actor().map(|actor| (actor.get_id(), actor.get_status()))
    }

    /// The names that have a live actor, sorted.
    pub fn list_services(&self) -> Vec<ServiceName> {
        let holders = self.state.table.holders();
        let mut names: Vec<_> = holders.iter().filter(|h| h.live().is_some()).map(|h| h.name().clone()).collect();
        names.sort();
        names
    }

    /// The metadata of a name, if its owner has set any. Costs a lookup and one reference count.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn metadata<M: Message>(&self, key: &ServiceKey<M>) -> Result<Option<Metadata>, RegistryError> {
        let found = self.state.table.with::<M, _>(key.name().as_str(), |holder, _| holder.metadata());
        let found = found.map_err(|miss| self.lookup_failed::<M>(key.name(), miss))?;
        Ok(found.map(|(_, metadata)| metadata))
    }

    // ---- finding by a predicate ----

    /// The live services that a predicate accepts, sorted by name. Elixir's `select`, with a function in the place of a
    /// match specification.
    ///
    /// This and the other operations that take a predicate visit every live service of the namespace once, without a
    /// lock: services that come or go meanwhile may or may not be seen.
    pub fn select(&self, accepts: impl FnMut(&ServiceEntry<'_>) -> bool) -> Vec<Registration> {
        let accepted = self.accepted(accepts);
        accepted
            .iter()
            .filter_map(|holder| holder.registration(holder.metadata().map(|(_, metadata)| metadata)))
            .collect()
    }

    /// The first live service, by name, that a predicate accepts.
    ///
    /// ```
    /// # use foundation_kernel::names::{Namespace, ProcessRegistry};
    /// # async fn example(names: foundation_kernel::names::ServiceRegistry) {
    /// let in_europe = names.find(|service| {
    ///     service.metadata().and_then(|it| it.get("zone")).is_some_and(|zone| zone == "eu")
    /// });
    /// # let _ = in_europe;
    /// # }
    /// ```
    pub fn find(&self, accepts: impl FnMut(&ServiceEntry<'_>) -> bool) -> Option<Registration> {
        self.select(accepts).into_iter().next()
    }

    /// How many live services a predicate accepts.
    pub fn count_matching(&self, accepts: impl FnMut(&ServiceEntry<'_>) -> bool) -> usize {
        self.accepted(accepts).len()
    }

    fn accepted(&self, mut accepts: impl FnMut(&ServiceEntry<'_>) -> bool) -> Vec<Arc<Holder>> {
        let guard = Guard::new();
        let mut accepted = Vec::new();
        self.state.table.each(&guard, |holder| {
            if ServiceEntry::of(holder, &guard).is_some_and(|service| accepts(&service)) {
                accepted.push(Arc::clone(holder));
            }
        });
        accepted.sort_by(|a, b| a.name().cmp(b.name()));
        // A table that grows meanwhile shows some twice.
        accepted.dedup_by(|a, b| a.name() == b.name());
        accepted
    }

    /// Runs a future for as long as this namespace takes names.
    async fn while_open<T>(&self, future: impl Future<Output = T>) -> Result<T, RegistryError> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.state.table.closed() => Err(self.not_running()),
        }
    }

    fn not_running(&self) -> RegistryError {
        RegistryError::NotRunning { namespace: self.namespace() }
    }

    /// Watches all names of this namespace.
    ///
    /// Cost: linear in what the namespace holds.
    pub fn watch(&self) -> Watch {
        Watch::new(Arc::clone(&self.state.table), None)
    }

    /// Watches one name, whether it is taken or not.
    pub fn watch_service<M>(&self, key: &ServiceKey<M>) -> Watch {
        Watch::new(Arc::clone(&self.state.table), Some(key.name().clone()))
    }

    // ---- groups ----

    /// A group of actors in this namespace. It need not have members; making the handle makes nothing else.
    pub fn group<M: Message, V: Send + Sync + 'static>(&self, key: &GroupKey<M, V>) -> Group<M, V> {
        Group::new(Arc::clone(&self.state.groups), key.clone())
    }

    /// The groups that have a live member, sorted. Cost: linear in the groups.
    pub fn groups(&self) -> Vec<ServiceName> {
        let mut groups = self.state.groups.groups().live(usize::MAX);
        groups.sort();
        groups
    }

    /// The groups that this actor is in. Cost: linear in the memberships of the namespace.
    pub fn groups_of(&self, actor: &ActorCell) -> BTreeSet<ServiceName> {
        let is_it = |member: &Member| member.live().is_some_and(|it| it.get_id() == actor.get_id());
        let members = self.state.groups.groups().members().into_iter();
        members.filter(|(_, member)| is_it(member)).map(|(group, _)| group).collect()
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
        let health = match table.with::<M, _>(key.name().as_str(), |_, actor| actor.clone().into()) {
            Ok(actor) => check.run(actor, limit).await,
            Err(LookupError::Absent) => match table.holder(key.name().as_str()) {
                Some(holder) if holder.actor().is_some() => Health::Dead,
                _ => Health::NotFound,
            },
            Err(miss) => Health::Failed(self.lookup_failed::<M>(key.name(), miss).to_string()),
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

    /// The measures of the services of this namespace, sorted by name; those that have no actor now are included.
    ///
    /// Costs about 1 µs for each. The measures of one service are in [`service_info`](Self::service_info), too.
    pub fn measures(&self) -> Vec<(ServiceName, ServiceMeasures)> {
        self.state.measures.all(Instant::now())
    }

    /// A snapshot of this namespace's tree: its services, its application, and the actors spawned under a name. A
    /// supervisor that does not answer [in time](crate::supervision::SupervisorLimits::tree) is shown as silent; a namespace that
    /// has stopped is a tree of one actor that is stopped.
    pub async fn tree(&self) -> Tree {
        match self.state.root.upgrade() {
            Some(root) => root.tree(self.namespace()).await,
            None => stopped(self.namespace()),
        }
    }

    /// Follows this namespace's tree: a snapshot, and then each change. It ends with the namespace, and is one handle on
    /// the namespace until then.
    pub fn watch_tree(&self) -> TreeWatch {
        let place = self.state.root.upgrade().and_then(|root| root.place(self.namespace()));
        let (state, namespace, ended) = (Arc::downgrade(&self.state), self.namespace(), self.clone());
        let take = move || {
            // The future of the end has the handle: it is dropped when the namespace has ended.
            let this = state.upgrade().map(|state| Self { state });
            async move {
                match this {
                    Some(this) => this.tree().await,
                    None => stopped(namespace),
                }
            }
            .boxed()
        };
        TreeWatch::new(place.as_ref(), take, async move { ended.ended().await }.boxed())
    }

    /// The health of the children in this namespace that [count](crate::supervision::ChildSpec::in_health): its services, its
    /// application, and then its descendants, named by their paths from there.
    ///
    /// Each supervisor of the namespace is asked, and each check runs, all together; see [`HealthLimits`] for how long.
    /// If the namespace does not run, or its supervisor does not answer, each of its services and its application says
    /// so, and its descendants are not listed.
    pub async fn health(&self, limits: &HealthLimits) -> Vec<ChildHealth> {
        let answer = match self.state.root.upgrade() {
            Some(root) => root.health(self.namespace(), limits.clone()).await,
            None => Err(Health::Down(self.not_running().to_string())),
        };
        match answer {
            Ok(found) => found.into_iter().map(|child| self.named_from_here(child)).collect(),
            Err(health) => self.state.counting(&health),
        }
    }

    fn named_from_here(&self, mut child: ChildHealth) -> ChildHealth {
        let (top, application) = (format!("registry/{}/", self.namespace()), format!("{APPLICATION}/"));
        let path = child.path.strip_prefix(&top).unwrap_or(&child.path);
        child.path = path.strip_prefix(&application).unwrap_or(path).to_owned();
        child
    }

    // ---- the namespace's tree, for the process registry ----

    /// Ends this namespace when the value is dropped, unless its tree has been described by then.
    pub(crate) fn opening(&self) -> impl Sized + use<> {
        self.state.postpone_end()
    }

    /// The supervisor of this namespace: its services, and then its application.
    pub(crate) fn tree_spec(
        &self,
        intensity: RestartIntensity,
        reporter: Arc<dyn Reporter>,
        services: Vec<ChildSpec>,
        application: SupervisorSpec,
    ) -> SupervisorSpec {
        self.state.set_counting(&services);
        let state = Arc::clone(&self.state);
        SupervisorSpec::new(Strategy::OneForOne)
            .intensity(intensity)
            .holding(self.state.postpone_end())
            .reporter(InspectingReporter::new(move |report: &Report| state.note(report), reporter))
            .children(services)
            .child(self.application_spec(application))
    }

    /// The supervisor of the embedder's children, which makes itself known in its namespace at each start.
    fn application_spec(&self, spec: SupervisorSpec) -> ChildSpec {
        let state = Arc::clone(&self.state);
        ChildSpec::from_fn(APPLICATION, ChildKind::Supervisor, move |context| {
            let (state, spec) = (Arc::clone(&state), spec.clone());
            async move {
                let (started, supervisor, direct_spawner) = context.spawn_with_direct_spawner(spec).await?;
                state.set_application(Some(Arc::new(Application { supervisor, direct_spawner })));
                Ok::<_, StartError>(started)
            }
        })
        .in_health()
    }

    /// The actors that have names, each with its name.
    pub(crate) fn names(&self) -> impl Iterator<Item = (ActorId, String)> {
        let holders = self.state.table.holders().into_iter();
        holders.filter_map(|holder| Some((holder.actor_id()?, holder.name().to_string())))
    }

    /// The live actors by name.
    pub(crate) fn registered(&self) -> BTreeMap<ServiceName, RegisteredActor> {
        let holders = self.state.table.holders().into_iter();
        let actors = holders.filter_map(|holder| RegisteredActor::of(self.namespace(), holder));
        actors.map(|actor| (actor.name().clone(), actor)).collect()
    }

    /// How many names there are, and an estimate of the memory for them in bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.state.table.size()
    }

    // ---- ending ----

    /// Returns when this namespace has ended, whatever the cause: a clean-up, a shutdown, the collapse of its tree or
    /// of the whole registry, or the end of the runtime. The restart of the tree of production, or of a
    /// [named](Namespace::Named) namespace, is no end; the collapse of a test's is. At once if it has ended already.
    ///
    /// By then its actors are gone, its watches have ended, and waiters for a name or a lock have got
    /// [`RegistryError::NotRunning`]. Only if its own supervisor, or the root, has been killed, or the runtime is
    /// dropped, actors may still be about to be dropped. This method is cancel safe.
    ///
    /// ```
    /// use foundation_kernel::names::{Namespace, ProcessRegistry};
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
    /// [`ProcessRegistry::cleanup_namespace`](crate::names::ProcessRegistry::cleanup_namespace).
    ///
    /// # Errors
    /// [`RegistryError::NotATest`] in production; [`RegistryError::NotRunning`] if the registry has ended and no handle
    /// on it is left.
    pub async fn cleanup(&self) -> Result<CleanupReport, RegistryError> {
        match self.state.root.upgrade() {
            Some(root) => root.cleanup(self.namespace()).await,
            None => Err(self.not_running()),
        }
    }

    /// For a look at what is left of this namespace when it has ended.
    #[doc(hidden)]
    pub fn remains(&self) -> NamespaceRemains {
        NamespaceRemains(Arc::downgrade(&self.state))
    }

    /// Returns when it takes no names any more.
    pub(crate) async fn closed(&self) {
        self.state.table.closed().await;
    }

    /// Whether it takes no names any more: a clean-up has begun, or it has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.table.is_closed()
    }

    /// Closes the namespace, and notes from now on which actors are stopped.
    pub(crate) fn begin_to_stop(&self) -> Stopping {
        let end = self.state.postpone_end();
        self.state.table.close();
        // A clean-up during a shutdown continues its notes.
        self.state.stop_log.lock().get_or_insert_default();
        Stopping { state: Arc::clone(&self.state), end }
    }

    /// Stops the unmanaged actors of a namespace whose own children are gone: those that are registered without having
    /// been started here, and then the other members of groups. Returns when they are gone too.
    pub(crate) async fn stop_unmanaged(&self, monitor: &Monitor) {
        self.state.stop_registered(monitor).await;
        self.state.stop_members(monitor).await;
    }
}

/// The tree of a namespace that has stopped.
fn stopped(namespace: Namespace) -> Tree {
    Tree::unknown(format!("registry/{namespace}"), TreeStatus::Stopped)
}

impl NamespaceState {
    fn set_counting(&self, services: &[ChildSpec]) {
        let counting = |spec: &ChildSpec| Some((spec.id().to_string(), spec.health_rule()?.needs.clone()));
        // A namespace's tree is described once.
        let _ = self.counting.set(services.iter().filter_map(counting).collect());
    }

    /// The services that count and the application, each with this health.
    fn counting(&self, health: &Health) -> Vec<ChildHealth> {
        let services = self.counting.get().cloned().unwrap_or_default().into_iter();
        let all = services.chain([(APPLICATION.to_owned(), Vec::new())]);
        all.map(|(path, needs)| ChildHealth { path, health: health.clone(), needs }).collect()
    }

    fn set_application(&self, application: Option<Arc<Application>>) {
        let before = std::mem::replace(&mut *self.application.lock(), application);
        // Dropping the last reference to a supervisor drops its unread requests, which wakes their callers.
        drop_contained("a former application supervisor", before);
    }

    /// `None` if it does not run.
    fn application(&self) -> Option<Arc<Application>> {
        let application = self.application.lock().clone();
        application.filter(|it| it.supervisor.is_live())
    }

    /// Postpones the end of the namespace until the returned reference is dropped.
    fn postpone_end(self: &Arc<Self>) -> Arc<NamespaceEnd> {
        let mut ending = self.ending.lock();
        ending.upgrade().unwrap_or_else(|| {
            let end = Arc::new(NamespaceEnd(Arc::clone(self)));
            *ending = Arc::downgrade(&end);
            end
        })
    }

    /// No name, lock, watch or extension from now on: waiters are notified.
    fn end(&self) {
        self.table.close();
        self.table.watches().close();
        self.set_application(None);
        self.extensions.end();
        self.ended.set();
    }

    async fn stop_registered(&self, monitor: &Monitor) {
        let holders = self.table.holders();
        let apart = holders.iter().filter(|holder| holder.origin().is_stopped_apart());
        let (apart, actors): (Vec<_>, Vec<_>) = apart.filter_map(|it| Some((it, it.actor()?.clone()))).unzip();
        let ends = stop_unmanaged(&actors, self.limits.supervisor.unmanaged_stop).await;
        for ((holder, actor), how) in apart.into_iter().zip(&actors).zip(ends) {
            // The registry would be notified, but perhaps too late to report it.
            self.table.watches().report_reason(holder, &how.reason());
            self.table.release(holder);
            monitor.forget(actor, holder);
            self.note_stopped(|| format!("registered/{}", holder.name()), how);
        }
    }

    /// Stops the members of groups that have not been stopped as children or as registered actors.
    async fn stop_members(&self, monitor: &Monitor) {
        let members = self.groups.groups().members();
        let living =
            members.iter().filter_map(|(group, member)| Some((member.live()?.get_id(), (group, member.actor()))));
        let living: BTreeMap<_, _> = living.collect();
        let (groups, actors): (Vec<_>, Vec<_>) =
            living.into_values().map(|(group, actor)| (group, actor.clone())).unzip();
        for (group, how) in groups.into_iter().zip(stop_unmanaged(&actors, self.limits.supervisor.unmanaged_stop).await)
        {
            self.note_stopped(|| format!("joined/{group}"), how);
        }
        for (group, member) in &members {
            self.groups.groups().take_out(group.as_str(), &[member]);
            monitor.forget_member(member);
        }
    }

    /// Counts what happens in the namespace's tree.
    fn note(&self, report: &Report) {
        let counters = self.table.counters();
        match &report.happened {
            ChildEvent::Started { restarts, .. } => {
                counters.count(Counted::Start);
                if *restarts > 0 {
                    counters.count(Counted::Restart);
                }
            }
            ChildEvent::Exited { .. } => counters.count(Counted::Exit),
            ChildEvent::StartFailed { .. } => counters.count(Counted::FailedStart),
            ChildEvent::GaveUp { .. } => counters.count(Counted::GiveUp),
            ChildEvent::Stopped { how, .. } => {
                self.note_stopped(|| format!("{}/{}", report.supervisor, report.child), *how);
            }
            _ => {}
        }
    }

    fn note_stopped(&self, path: impl FnOnce() -> String, how: Stopped) {
        if let Some(stopped) = &mut *self.stop_log.lock() {
            stopped.push(StoppedService { path: path(), how });
        }
    }
}

/// Postpones the end of a namespace, whatever its cause: it has ended when the last reference is dropped. References are
/// held by
///
/// 1. each incarnation of the namespace's supervisor, in what its actor's task drops last: so a stop, a collapse, a
///    kill, a task that is aborted and a runtime that is dropped all come here;
/// 2. the root, if it starts that supervisor again after its end: the restart of production, or of a named namespace, is
///    no end of it;
/// 3. a clean-up or a shutdown under way: a namespace ends after the foreign actors that are stopped with it.
struct NamespaceEnd(Arc<NamespaceState>);

impl Drop for NamespaceEnd {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A namespace that is being stopped, for the process registry.
pub(crate) struct Stopping {
    state: Arc<NamespaceState>,
    end: Arc<NamespaceEnd>,
}

impl Stopping {
    /// Ends the namespace, unless another clone postpones that; returns the actors that were stopped.
    pub(crate) fn finish(self) -> Vec<StoppedService> {
        drop(self.end);
        self.state.stop_log.lock().take().unwrap_or_default()
    }
}

/// Sees whether a namespace is still held after its end, without holding it: for the leak check of a test.
#[doc(hidden)]
pub struct NamespaceRemains(Weak<NamespaceState>);

impl fmt::Debug for NamespaceRemains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamespaceRemains").field("handles", &self.handles()).finish_non_exhaustive()
    }
}

impl NamespaceRemains {
    /// How many handles there are on it, those in services and their clones included.
    pub fn handles(&self) -> usize {
        self.0.strong_count()
    }

    /// The types of its extensions that it has let go of and that others hold.
    pub fn extensions(&self) -> Vec<&'static str> {
        self.0.upgrade().map(|state| state.extensions.remains()).unwrap_or_default()
    }
}

impl fmt::Debug for ServiceRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceRegistry({})", self.namespace())
    }
}
