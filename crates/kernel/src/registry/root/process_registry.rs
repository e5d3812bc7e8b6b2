//! The root of the tree and the map of its namespaces, with the builder of both.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use parking_lot::Mutex;
use ractor::{ActorId, ActorStatus};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::collapse::{Collapse, GiveUpNote};
use super::detached::Detached;
use super::service::{LayoutError, Service, made, start_order};
use crate::exit::ExitReason;
use crate::health::Health;
use crate::limits::{HealthLimits, RegistryLimits};
use crate::namespace::{Namespace, ServiceName};
use crate::registry::client::{CleanupReport, RegisteredActor, RegistryError, Root, ServiceRegistry, StoppedService};
use crate::registry::measures::Measurement;
use crate::registry::names::Monitor;
use crate::supervisor::{
    Backoff, ChildError, ChildHealth, ChildId, ChildSpec, Reporter, Restart, RestartIntensity, StartError, Strategy,
    Supervisor, SupervisorSpec, TracingReporter, Tree, TreePlace, TreeStatus, TreeWatch, UnmanagedExits,
};

/// The delay before a named namespace is started again, in a registry without a backoff.
const NAMED_BACKOFF: Duration = Duration::from_secs(1);

type Prepare = Arc<dyn Fn(&ServiceRegistry) + Send + Sync>;
type Reporters = Arc<dyn Fn(&ServiceRegistry) -> Arc<dyn Reporter> + Send + Sync>;
type Application = Arc<dyn Fn(&ServiceRegistry) -> SupervisorSpec + Send + Sync>;

/// How to put a [`ProcessRegistry`](crate::names::ProcessRegistry) together: the parts of each namespace's tree.
#[derive(Clone)]
pub struct ProcessRegistryBuilder {
    prepare: Prepare,
    services: Vec<Service>,
    application: Application,
    reporters: Reporters,
    intensity: RestartIntensity,
    root_intensity: RestartIntensity,
    backoff: Backoff,
    measurement: Measurement,
    limits: RegistryLimits,
}

impl fmt::Debug for ProcessRegistryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessRegistryBuilder")
            .field("services", &self.services)
            .field("intensity", &self.intensity)
            .field("root_intensity", &self.root_intensity)
            .field("backoff", &self.backoff)
            .field("measurement", &self.measurement)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl ProcessRegistryBuilder {
    /// Prepares each namespace before anything in it is made, for values that its services find there: its
    /// [extensions](ServiceRegistry::extension).
    pub fn prepare(mut self, prepare: impl Fn(&ServiceRegistry) + Send + Sync + 'static) -> Self {
        self.prepare = Arc::new(prepare);
        self
    }

    /// Adds a service to each namespace. Services start before the application, each after those that it
    /// [needs](Service::needs), otherwise in the order in which they were added.
    pub fn service(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// The application supervisor of each namespace: its strategy and first children. Default: none, one-for-one.
    pub fn application(
        mut self,
        application: impl Fn(&ServiceRegistry) -> SupervisorSpec + Send + Sync + 'static,
    ) -> Self {
        self.application = Arc::new(application);
        self
    }

    /// The reporter that is notified of what happens to the children in all namespaces. Default: [`TracingReporter`].
    pub fn reporter(mut self, reporter: impl Reporter) -> Self {
        let reporter: Arc<dyn Reporter> = Arc::new(reporter);
        self.reporters = Arc::new(move |_| Arc::clone(&reporter));
        self
    }

    /// The same, with a reporter for each namespace, made when the namespace starts.
    pub fn reporters(mut self, make: impl Fn(&ServiceRegistry) -> Arc<dyn Reporter> + Send + Sync + 'static) -> Self {
        self.reporters = Arc::new(make);
        self
    }

    /// How many restarts of its services, or of its application supervisor, a namespace survives. Default: that of
    /// [`RestartIntensity`].
    pub fn intensity(mut self, intensity: RestartIntensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// How many restarts of production the registry survives; one more is its [collapse](ProcessRegistry::collapse). The
    /// restarts of [named](Namespace::Named) namespaces do not count, and tests' are not restarted. Default: that of
    /// [`RestartIntensity`].
    pub fn root_intensity(mut self, intensity: RestartIntensity) -> Self {
        self.root_intensity = intensity;
        self
    }

    /// The delay before production or a [named](Namespace::Named) namespace is started again after its end, for example
    /// because its services or its application could not be kept running. It grows as the delay of any child does; see
    /// [`Backoff`]. Default: no delay for production, 1 s for a named one.
    pub fn backoff(mut self, backoff: impl Into<Backoff>) -> Self {
        self.backoff = backoff.into();
        self
    }

    /// How much is measured of services without a setting of their own, those of each namespace included: see
    /// [`ServiceRegistry::measured`]. Default: [`Measurement::Sampled`].
    pub fn measurement(mut self, measurement: Measurement) -> Self {
        self.measurement = measurement;
        self
    }

    /// How long the steps of the registry, and of all supervisors in its tree, may take.
    pub fn limits(mut self, limits: RegistryLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Starts the root. Namespaces are started when they are first asked for.
    ///
    /// # Errors
    /// [`StartError::NoRuntime`] and [`StartError::NoTimers`] if the runtime is not one to start on;
    /// [`StartError::Spec`] for an invalid [`root_intensity`](Self::root_intensity); [`StartError::Failed`] with a
    /// [`LayoutError`](crate::names::LayoutError) if the services cannot be started in any order; other errors if the
    /// runtime is shutting down.
    pub async fn start(mut self) -> Result<ProcessRegistry, StartError> {
        self.services = start_order(self.services).map_err(StartError::failed)?;
        let (intensity, limits) = (self.root_intensity, self.limits.supervisor.clone());
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let (root, entries, monitor) = (OnceLock::new(), Mutex::default(), Arc::default());
        let (gave_up, collapse) = (GiveUpNote::default(), OnceLock::new());
        let reporter = gave_up.reporter();
        let shared = Shared { root, entries, monitor, gave_up, collapse, layout: self, runtime, end: Detached::new() };
        let shared = Arc::new(shared);
        // The root's actor has a share, so that a namespace can be used for as long as the root runs, handle or no
        // handle.
        let unmanaged = Arc::clone(&shared) as Arc<dyn UnmanagedExits>;
        // Namespaces do not depend on each other, so they stop together.
        let spec = SupervisorSpec::new(Strategy::OneForOne)
            .intensity(intensity)
            .limits(limits)
            .reporter(reporter)
            .unmanaged_exits(unmanaged)
            .all_at_once();
        let root = Supervisor::start("registry", spec).await?;
        shared.monitor.begin(root.actor().map_err(StartError::failed)?);
        let _ = shared.root.set(root);
        Ok(ProcessRegistry { shared })
    }

    /// How a namespace is restarted. The end of a test's affects no other, nor is it started again; a named one is
    /// started again and again, each time after a delay, so that it does not end production by its failures.
    fn namespace_rules(&self, namespace: Namespace, tree: ChildSpec) -> ChildSpec {
        match namespace {
            Namespace::Production => tree.restart(Restart::Permanent).backoff(self.backoff),
            Namespace::Named(_) => {
                // Without a delay it would fail as fast as it can, under the root that production depends on.
                let is_immediate = self.backoff.delay(0, 0.0).is_zero();
                let backoff = if is_immediate { Backoff::Constant(NAMED_BACKOFF) } else { self.backoff };
                tree.restart(Restart::Permanent).intensity(RestartIntensity::UNLIMITED).backoff(backoff)
            }
            Namespace::Test(_) => tree.restart(Restart::Temporary),
        }
    }

    /// The specification of a namespace's supervisor, made anew for each start of the namespace.
    fn tree(&self, registry: &ServiceRegistry) -> Result<SupervisorSpec, LayoutError> {
        // Those parts that a failed description drops have foreign destructors.
        made("the destructor of a part of the namespace", || self.describe(registry))?
    }

    fn describe(&self, registry: &ServiceRegistry) -> Result<SupervisorSpec, LayoutError> {
        let _opening = registry.opening();
        made("the preparation of the namespace", || (self.prepare)(registry))?;
        let reporter = made("the function that makes the reporter", || (self.reporters)(registry))?;
        let services = &self.services;
        // What is needed counts in the health: otherwise whatever needs it would be degraded for ever.
        let is_needed = |name: &ServiceName| services.iter().any(|service| service.needed().contains(name));
        let spec = |service: &Service| {
            let spec = service.child_spec(registry)?;
            Ok(if is_needed(service.name()) { spec.in_health() } else { spec })
        };
        let services = services.iter().map(spec).collect::<Result<_, _>>()?;
        let application = made("the function that makes the application", || (self.application)(registry))?;
        Ok(registry.tree_spec(self.intensity, reporter, services, application))
    }
}

impl Default for ProcessRegistryBuilder {
    fn default() -> Self {
        Self {
            prepare: Arc::new(|_| ()),
            services: Vec::new(),
            application: Arc::new(|_| SupervisorSpec::new(Strategy::OneForOne)),
            reporters: Arc::new(|_| Arc::new(TracingReporter)),
            intensity: RestartIntensity::default(),
            root_intensity: RestartIntensity::default(),
            backoff: Backoff::None,
            measurement: Measurement::default(),
            limits: RegistryLimits::default(),
        }
    }
}

/// The process registry: an actor at the root of a tree of namespaces, and the map from each to its table.
///
/// It supervises each namespace's supervisor and monitors the foreign actors that are registered. A handle on it is cheap
/// to clone; there are no statics, so two registries in one process do not know of each other.
///
/// | | after a collapse of its tree | restarts | cleaned up | its foreign actors at the end |
/// |---|---|---|---|---|
/// | [production](Namespace::Production) | is started again, by default at once | count for the registry, which [ends](Self::collapse) if they are too many | only by a [`shutdown`](Self::shutdown) | live on |
/// | a [named](Namespace::Named) one | is started again, by default after 1 s | affect no other namespace | on request, and by a shutdown | are stopped |
/// | a [test's](Namespace::Test) | has ended | none | on request, and by a shutdown | are stopped |
///
/// A namespace that is started again keeps its handles, its names' watches and its extensions: it has not
/// [ended](ServiceRegistry::ended).
///
/// ```
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let registry = ProcessRegistry::start().await?;
/// let (ours, theirs) = (Namespace::test(), Namespace::test());
/// registry.namespace(ours).await?;
/// registry.namespace(theirs).await?;
/// assert_eq!(registry.stats().test_namespaces, 2);
///
/// registry.cleanup_namespace(ours).await?;
/// assert_eq!(registry.stats().test_namespaces, 1);
/// registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ProcessRegistry {
    shared: Arc<Shared>,
}

impl fmt::Debug for ProcessRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessRegistry").field("namespaces", &self.namespaces()).finish_non_exhaustive()
    }
}

struct Shared {
    root: OnceLock<Supervisor>,
    entries: Mutex<HashMap<Namespace, Arc<NamespaceEntry>>>,
    monitor: Arc<Monitor>,
    gave_up: GiveUpNote,
    /// The cause as it was first looked at: later, the runtime may be gone as well.
    collapse: OnceLock<Collapse>,
    layout: ProcessRegistryBuilder,
    /// Work that is started here goes on even if its caller stops waiting.
    runtime: Handle,
    end: Detached<Vec<CleanupReport>>,
}

/// A namespace in the map: its tree is up once `up` has succeeded, and gone once `down` has finished.
///
/// 1. A start that finds the table closed takes its own tree down; a clean-up waits for it, and takes down a tree that is
///    up.
/// 2. An entry is removed by the clean-up, as the last thing that it does, or by a start that has failed before any clean-up
///    began. Only then the namespace gets another entry, so neither of them meets the tree of the next one, which has the
///    same id. A clean-up of a tree that has never been requested does not wait for the start, which then requests none.
/// 3. Whether a clean-up has begun is decided under the lock of the map, so an entry that is not in it gets none.
struct NamespaceEntry {
    registry: ServiceRegistry,
    /// Whether its tree is, or was, about to be requested. Under this lock a start checks that the table is open.
    is_requested: Mutex<bool>,
    up: Detached<Result<(), SharedStartError>>,
    down: Detached<Vec<StoppedService>>,
}

/// Why a tree did not start, for the first caller that asks.
type SharedStartError = Arc<Mutex<Option<ChildError>>>;

impl NamespaceEntry {
    /// Notes that the tree is about to be requested; false if a clean-up has come before.
    fn request(&self) -> bool {
        let mut is_requested = self.is_requested.lock();
        *is_requested = !self.registry.is_closed();
        *is_requested
    }

    /// Whether it is the current entry of its namespace.
    fn is_in(self: &Arc<Self>, entries: &HashMap<Namespace, Arc<Self>>) -> bool {
        entries.get(&self.registry.namespace()).is_some_and(|current| Arc::ptr_eq(current, self))
    }

    fn is_up(&self) -> bool {
        matches!(self.up.known(), Some(Ok(()))) && !self.registry.has_ended()
    }

    /// Whether it takes names: no clean-up has begun, and it has not ended.
    fn is_open(&self) -> bool {
        self.is_up() && !self.registry.is_closed()
    }
}

/// How much a registry holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RegistryStats {
    /// Names in all namespaces.
    pub total: usize,
    /// Names in production.
    pub production: usize,
    /// Names in [named](Namespace::Named) namespaces.
    pub named: usize,
    /// Names in test namespaces.
    pub tests: usize,
    /// Test namespaces that are up.
    pub test_namespaces: usize,
    /// An estimate of the memory for names, in bytes, without the actors themselves.
    pub bytes: usize,
}

impl ProcessRegistry {
    /// A builder for a registry whose namespaces have services and an application.
    pub fn builder() -> ProcessRegistryBuilder {
        ProcessRegistryBuilder::default()
    }

    /// Starts a registry whose namespaces are empty.
    ///
    /// # Errors
    /// As [`ProcessRegistryBuilder::start`].
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    // ---- namespaces ----

    /// The facade of a namespace, whose tree is started if it is not up yet.
    ///
    /// A start goes on even if no caller waits for it any more, and the next caller waits for the same start. A
    /// namespace that has collapsed is started afresh, after the actors left in it have been stopped; handles on the
    /// old one stay with the old one.
    ///
    /// # Errors
    /// [`RegistryError::Child`] with the cause of the child that did not start; everything before it is stopped again. The
    /// cause is a [`LayoutError`](crate::names::LayoutError) if a service or a function of the builder is at fault, for
    /// example by a panic. [`RegistryError::NotRunning`] while the namespace is being cleaned up, and if the whole registry has ended or is
    /// about to.
    pub async fn namespace(&self, namespace: Namespace) -> Result<ServiceRegistry, RegistryError> {
        let not_running = || RegistryError::NotRunning { namespace };
        loop {
            if self.is_ending() {
                return Err(not_running());
            }
            let entry = self.entry(namespace);
            self.begin_to_open(&entry);
            match entry.up.outcome().await {
                Some(Ok(())) if entry.is_open() => return Ok(entry.registry.clone()),
                Some(Ok(())) if entry.down.is_begun() => return Err(not_running()),
                Some(Ok(())) => {
                    let cleaned_up = self.clean_up(&entry).await;
                    cleaned_up.ok_or_else(not_running)?;
                }
                Some(Err(error)) => {
                    let error = error.lock().take();
                    match error {
                        // A clean-up, or the end of the whole registry, has overtaken the start.
                        Some(ChildError::Terminated | ChildError::NotRunning { .. }) => return Err(not_running()),
                        Some(error) => return Err(RegistryError::Child { namespace, error }),
                        None if entry.down.is_begun() => return Err(not_running()),
                        // Another caller has taken the cause, and the entry is removed: this one tries again.
                        None => {}
                    }
                }
                None => {
                    self.close_failed(&entry);
                    return Err(not_running());
                }
            }
        }
    }

    fn entry(&self, namespace: Namespace) -> Arc<NamespaceEntry> {
        let make = || {
            let (root, monitor) = (Arc::downgrade(&self.shared), Arc::downgrade(&self.shared.monitor));
            let (measurement, limits) = (self.shared.layout.measurement, self.limits().clone());
            let registry = ServiceRegistry::new(namespace, root, monitor, measurement, limits);
            Arc::new(NamespaceEntry {
                registry,
                is_requested: Mutex::default(),
                up: Detached::new(),
                down: Detached::new(),
            })
        };
        Arc::clone(self.shared.entries.lock().entry(namespace).or_insert_with(make))
    }

    /// Removes the entry of a start that has failed, unless a clean-up has begun, which removes it at its end.
    fn close_failed(&self, entry: &Arc<NamespaceEntry>) {
        let mut entries = self.shared.entries.lock();
        if !entry.down.is_begun() && entry.is_in(&entries) {
            entries.remove(&entry.registry.namespace());
        }
    }

    /// Removes the entry of a clean-up that is over.
    fn close(&self, entry: &Arc<NamespaceEntry>) {
        let mut entries = self.shared.entries.lock();
        if entry.is_in(&entries) {
            entries.remove(&entry.registry.namespace());
        }
    }

    fn begin_to_open(&self, entry: &Arc<NamespaceEntry>) {
        entry.up.begin(&self.shared.runtime, || {
            let (this, entry) = (self.clone(), Arc::clone(entry));
            let tree = self.shared.layout.tree(&entry.registry);
            async move {
                let opened = this.open(&entry, tree).await;
                opened.map_err(|error| {
                    this.close_failed(&entry);
                    Arc::new(Mutex::new(Some(error)))
                })
            }
        });
    }

    async fn open(&self, entry: &NamespaceEntry, tree: Result<SupervisorSpec, LayoutError>) -> Result<(), ChildError> {
        let (registry, namespace) = (&entry.registry, entry.registry.namespace());
        let refused = |error| ChildError::Start { id: namespace.to_string().into(), error: StartError::failed(error) };
        let tree = ChildSpec::supervisor(namespace.to_string(), tree.map_err(refused)?);
        // Kept until the outcome is known: the last share of a specification ends the namespace, and closes the table.
        let tree = self.shared.layout.namespace_rules(namespace, tree);
        let root = self.root()?;
        if !entry.request() {
            return Err(ChildError::Terminated);
        }
        let started = tokio::select! {
            biased;
            () = registry.closed() => Err(ChildError::Terminated),
            started = root.start_child(tree.clone()) => started,
        };
        if registry.is_closed() {
            self.take_down(namespace).await;
            return Err(ChildError::Terminated);
        }
        started.map(drop)
    }

    /// Returns when the tree of a namespace is gone, whatever state it was in.
    async fn take_down(&self, namespace: Namespace) {
        let Ok(root) = self.root() else { return };
        if let Err(ChildError::NotRunning { .. }) = root.terminate_child(namespace.to_string()).await {
            // The root answers no more, but its post_stop may still be stopping the tree.
            root.wait_until_gone().await;
        }
        if !namespace.is_test() {
            // A temporary child is forgotten already; a permanent one keeps its place.
            let _ = root.delete_child(namespace.to_string()).await;
        }
    }

    fn limits(&self) -> &RegistryLimits {
        &self.shared.layout.limits
    }

    fn root(&self) -> Result<&Supervisor, ChildError> {
        let not_running = || ChildError::NotRunning { supervisor: "registry".to_owned() };
        self.shared.root.get().ok_or_else(not_running)
    }

    /// Whether the root has ended, or is about to.
    fn is_ending(&self) -> bool {
        self.shared.end.is_begun() || self.has_root_ended()
    }

    fn has_root_ended(&self) -> bool {
        self.root().and_then(Supervisor::actor).is_ok_and(|root| root.get_status() >= ActorStatus::Stopping)
    }

    /// Whether the root has ended, or is about to, without having been [asked](Self::shutdown): its restarts were too
    /// many, it was killed, or its runtime is gone.
    pub fn has_collapsed(&self) -> bool {
        self.has_root_ended() && !self.shared.end.is_begun()
    }

    /// Why the root has ended without having been asked to; `None` unless it [has](Self::has_collapsed). It is determined at the
    /// first call, or by a [`shutdown`](Self::shutdown) that comes after the collapse, and stays.
    ///
    /// ```
    /// # use foundation_kernel::names::ProcessRegistry;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let registry = ProcessRegistry::start().await?;
    /// assert_eq!(registry.collapse(), None);
    /// registry.shutdown().await;
    /// assert_eq!(registry.collapse(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn collapse(&self) -> Option<Collapse> {
        if self.has_collapsed() {
            self.shared.collapse.get_or_init(|| self.shared.gave_up.collapse(&self.shared.runtime));
        }
        self.shared.collapse.get().cloned()
    }

    fn open_registry(&self, namespace: Namespace) -> Option<ServiceRegistry> {
        let entries = self.shared.entries.lock();
        let entry = entries.get(&namespace)?;
        entry.is_up().then(|| entry.registry.clone())
    }

    fn open_registries(&self) -> Vec<ServiceRegistry> {
        let entries = self.shared.entries.lock();
        entries.values().filter(|entry| entry.is_up()).map(|entry| entry.registry.clone()).collect()
    }

    /// The namespaces that are up, production first.
    pub fn namespaces(&self) -> Vec<Namespace> {
        let mut namespaces: Vec<_> = self.open_registries().iter().map(ServiceRegistry::namespace).collect();
        namespaces.sort();
        namespaces
    }

    // ---- queries ----

    /// How much the registry holds; cost: linear in the namespaces.
    pub fn stats(&self) -> RegistryStats {
        let mut stats = RegistryStats::default();
        for registry in self.open_registries() {
            let (names, bytes) = registry.size();
            stats.total += names;
            stats.bytes += bytes;
            match registry.namespace() {
                Namespace::Production => stats.production += names,
                Namespace::Named(_) => stats.named += names,
                Namespace::Test(_) => {
                    stats.tests += names;
                    stats.test_namespaces += 1;
                }
            }
        }
        stats
    }

    /// A snapshot of the whole tree: the root, every namespace with its services and its application, and the actors
    /// spawned under a name. Foreign actors have no supervisor here and are not in it. A supervisor that does not
    /// answer [in time](crate::supervision::SupervisorLimits::tree) is shown as silent.
    ///
    /// ```
    /// use foundation_kernel::names::{Namespace, ProcessRegistry};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let registry = ProcessRegistry::start().await?;
    /// registry.namespace(Namespace::Production).await?;
    /// let tree = registry.tree().await;
    /// assert!(tree.child("production").and_then(|production| production.child("application")).is_some());
    /// println!("{tree}");
    /// # registry.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn tree(&self) -> Tree {
        match self.root() {
            Ok(root) => root.snapshot().await.named(&self.names()),
            Err(_) => Tree::unknown("registry".to_owned(), TreeStatus::Starting),
        }
    }

    /// Follows the whole tree: a snapshot, and then each change. It ends with the root.
    pub fn watch_tree(&self) -> TreeWatch {
        let place = self.root().ok().and_then(Supervisor::place);
        let (this, gone) = (self.clone(), self.clone());
        let take = move || {
            let this = this.clone();
            async move { this.tree().await }.boxed()
        };
        TreeWatch::new(place.as_ref(), take, async move { gone.wait_until_gone().await }.boxed())
    }

    async fn namespace_tree(&self, namespace: Namespace) -> Tree {
        let unknown = |status| Tree::unknown(format!("registry/{namespace}"), status);
        let Ok(root) = self.root() else { return unknown(TreeStatus::Starting) };
        match timeout(self.limits().supervisor.tree, root.supervisor(namespace.to_string())).await {
            Ok(Ok(Some(supervisor))) => supervisor.snapshot().await.named(&self.names()),
            // Between two incarnations, or before the first.
            Ok(Ok(None)) => unknown(TreeStatus::Restarting),
            Ok(Err(_)) => unknown(TreeStatus::Stopped),
            Err(_) => unknown(TreeStatus::Silent),
        }
    }

    /// The health of the children in a namespace that count, or why it is not known.
    async fn namespace_health(&self, namespace: Namespace, limits: &HealthLimits) -> Result<Vec<ChildHealth>, Health> {
        let down = || Health::Down(RegistryError::NotRunning { namespace }.to_string());
        let root = self.root().map_err(|_| down())?;
        match timeout(limits.answer, root.supervisor(namespace.to_string())).await {
            Ok(Ok(Some(supervisor))) => {
                let found = supervisor.health(limits).await.ok_or_else(down)?;
                // What a supervisor that does not answer has below it is unknown.
                let is_silent = |child: &ChildHealth| child.path == format!("registry/{namespace}");
                found.iter().find(|child| is_silent(child)).map_or(Ok(()), |child| Err(child.health.clone()))?;
                Ok(found)
            }
            Ok(Ok(None)) => Err(Health::Down(format!("namespace {namespace} is restarting"))),
            Ok(Err(_)) => Err(down()),
            Err(_) => Err(Health::TimedOut(limits.answer)),
        }
    }

    fn names(&self) -> HashMap<ActorId, String> {
        self.open_registries().iter().flat_map(ServiceRegistry::names).collect()
    }

    /// The live actors of a namespace by name; none if it is not up.
    pub fn get_all_services(&self, namespace: Namespace) -> BTreeMap<ServiceName, RegisteredActor> {
        self.open_registry(namespace).map(|registry| registry.registered()).unwrap_or_default()
    }

    // ---- the end ----

    /// Stops a namespace beside production: its tree in reverse start order, each child by its own rule, then, together, whatever
    /// else is registered in it, and then, together, the other members of its groups. Returns when the last actor is
    /// gone. Does nothing if the namespace is not up; after a collapse it stops the actors that are left.
    ///
    /// Once started it runs to its end, even if the caller stops waiting. A service that it stops may await it: that
    /// service is killed when its time to stop is over. Without the runtime that the registry was started on no actor
    /// is left to stop, and the report is empty.
    ///
    /// # Errors
    /// [`RegistryError::NotATest`] for production.
    pub async fn cleanup_namespace(&self, namespace: Namespace) -> Result<CleanupReport, RegistryError> {
        let begun = Instant::now();
        if namespace == Namespace::Production {
            return Err(RegistryError::NotATest { namespace });
        }
        let entry = self.shared.entries.lock().get(&namespace).cloned();
        let stopped = match entry {
            // Concurrent callers wait for the same end and get the same report.
            Some(entry) => self.clean_up(&entry).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let report = CleanupReport { namespace, stopped, took: begun.elapsed() };
        tracing::debug!(%report, "namespace cleaned up");
        Ok(report)
    }

    async fn clean_up(&self, entry: &Arc<NamespaceEntry>) -> Option<Vec<StoppedService>> {
        let claim = {
            let entries = self.shared.entries.lock();
            if !entry.down.is_begun() && !entry.is_in(&entries) {
                // Its start has failed since it was read from the map, and has left nothing.
                return Some(Vec::new());
            }
            entry.down.claim()
        };
        if let Some(claim) = claim {
            let (this, entry) = (self.clone(), Arc::clone(entry));
            claim.begin(&self.shared.runtime, async move { this.bring_down(&entry).await });
        }
        entry.down.outcome().await
    }

    async fn bring_down(&self, entry: &Arc<NamespaceEntry>) -> Vec<StoppedService> {
        let stopping = entry.registry.begin_to_stop();
        let is_requested = *entry.is_requested.lock();
        if is_requested && matches!(entry.up.outcome().await, Some(Ok(()))) {
            self.take_down(entry.registry.namespace()).await;
        }
        entry.registry.stop_unmanaged(&self.shared.monitor).await;
        self.close(entry);
        stopping.finish()
    }

    /// Stops every namespace, production included, and then the root; returns when all actors are gone, with a report
    /// for each namespace. Foreign actors in production are not stopped.
    ///
    /// Once started it runs to its end, even if the caller stops waiting; later callers wait for the same end and get
    /// the same reports. A service may await it: that service is killed when its time to stop is over. Without the
    /// runtime that the registry was started on no actor is left to stop, and there are no reports.
    pub async fn shutdown(&self) -> Vec<CleanupReport> {
        self.collapse();
        self.shared.end.begin(&self.shared.runtime, || {
            let this = self.clone();
            async move { this.shut_down().await }
        });
        self.shared.end.outcome().await.unwrap_or_default()
    }

    async fn shut_down(&self) -> Vec<CleanupReport> {
        let begun = Instant::now();
        let registries = self.open_registries();
        let stopping: Vec<_> = registries.iter().map(ServiceRegistry::begin_to_stop).collect();
        if let Ok(root) = self.root() {
            root.shutdown().await;
        }
        let entries = std::mem::take(&mut *self.shared.entries.lock());
        // Namespaces that have collapsed before may have left actors, too.
        let others = entries.values().map(|entry| &entry.registry);
        let others = others.filter(|registry| registry.namespace() != Namespace::Production);
        join_all(others.map(|registry| registry.stop_unmanaged(&self.shared.monitor))).await;
        let stopped = registries.iter().zip(stopping);
        stopped
            .map(|(registry, stopping)| CleanupReport {
                namespace: registry.namespace(),
                stopped: stopping.finish(),
                took: begun.elapsed(),
            })
            .collect()
    }

    /// Returns when the root is gone, for whatever reason: after a shutdown, or because it gave up.
    pub async fn wait_until_gone(&self) {
        if let Ok(root) = self.root() {
            root.wait_until_gone().await;
        }
    }
}

impl Root for Shared {
    fn tree(self: Arc<Self>, namespace: Namespace) -> BoxFuture<'static, Tree> {
        async move { ProcessRegistry { shared: self }.namespace_tree(namespace).await }.boxed()
    }

    fn place(&self, namespace: Namespace) -> Option<TreePlace> {
        Some(self.root.get()?.place()?.below(&ChildId::from(namespace.to_string())))
    }

    fn health(
        self: Arc<Self>,
        namespace: Namespace,
        limits: HealthLimits,
    ) -> BoxFuture<'static, Result<Vec<ChildHealth>, Health>> {
        async move { ProcessRegistry { shared: self }.namespace_health(namespace, &limits).await }.boxed()
    }

    fn cleanup(self: Arc<Self>, namespace: Namespace) -> BoxFuture<'static, Result<CleanupReport, RegistryError>> {
        async move { ProcessRegistry { shared: self }.cleanup_namespace(namespace).await }.boxed()
    }
}

impl UnmanagedExits for Shared {
    fn ended(&self, actor: ActorId, reason: &ExitReason) {
        self.monitor.ended(actor, reason);
    }
}
