//! The client of the managed services of a namespace.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_config_server::{ConfigSection, ConfigServer};
use foundation_events::EventStore;
use foundation_kernel::names::{CallError, NearMisses, Service, ServiceKey, ServiceName, ServiceRegistry, Via};
use foundation_kernel::supervision::{ChildSpec, Health};
use serde::Serialize;

use super::batch::Batch;
use super::batch_error::{BatchError, BatchReport};
use super::error::ManagedError;
use super::fact::ServiceConfig;
use super::kinds::{KindError, KindRecord, KindSet, ServiceKind, instance_name, written};
use super::lifecycle::{ServiceState, ServiceStatus};
use super::lifecycle_watch::LifecycleWatch;
use super::observer::{ManagedObserver, Observer};
use super::record::ServiceRecord;
use super::report::{
    ManagedDiagnostics, ManagedExport, ManagedShutdown, ManagedStatistics, ServiceProblem, ServiceStatistics,
    count_statuses,
};
use super::roster::error::RosterError;
use super::server::{
    BatchRequest, Manager, ManagerMsg, Request, SUPERVISOR, Shared, ShutdownProgress, manager_key, supervisor_spec,
    with_restarts,
};
use foundation_discovery::choice::LoadReading;

/// How long a request waits for a service, unless it says otherwise.
const WITHIN: Duration = Duration::from_secs(30);
/// How long the steps of a batch may take, unless the caller says otherwise.
const BATCH_WITHIN: Duration = Duration::from_secs(300);
/// How long the undo of a batch is waited for.
const UNDO_WITHIN: Duration = Duration::from_secs(3_600);

/// The managed services of a namespace: declared with a kind and a configuration, and started, configured, replaced and
/// stopped by their names.
///
/// What is wanted is recorded as events before it is made, and a new process brings it about again. A managed service
/// `mail` is the service `mail` of [discovery](foundation_discovery::Discovery) with one instance, registered as `mail.main`.
///
/// A handle, cheap to clone. Reading ([`status`](Self::status), [`all`](Self::all)) asks no actor; each change is decided
/// by the manager of the namespace, one after the other. A request that is dropped goes on.
///
/// ```
/// # use std::sync::Arc;
/// # use foundation_config_server::garde::{self, Validate};
/// # use foundation_config_server::{ConfigServer, ConfigSources};
/// # use foundation_managed::{Managed, ServiceContext, ServiceKind, ServiceStatus};
/// # use foundation_events::{EventStorage, EventStore};
/// # use foundation_kernel::names::{Namespace, ProcessRegistry, ServiceName};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # use foundation_kernel::supervision::{BoxError, ChildSpec};
/// # use serde::{Deserialize, Serialize};
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = u64; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// # #[derive(Serialize, Deserialize, Validate)]
/// # struct Desk { #[garde(range(min = 1))] number: u16 }
/// # struct Clerks;
/// # impl ServiceKind for Clerks {
/// #     type Config = Desk;
/// #     const NAME: &'static str = "clerks";
/// #     fn child(&self, context: &ServiceContext, _: Arc<Desk>) -> Result<ChildSpec, BoxError> {
/// #         context.child_spec(|| (Clerk, ()))
/// #     }
/// # }
/// const DESK: ServiceName = ServiceName::from_static("desk");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let base = Arc::new(ConfigSources::new().load()?);
/// let registry = ProcessRegistry::builder()
///     .service(EventStore::service(EventStorage::memory()))
///     .service(ConfigServer::service(base))
///     .service(Managed::service())
///     .start()
///     .await?;
/// let managed = Managed::of(&registry.namespace(Namespace::Production).await?);
/// managed.register_kind(Clerks)?;
///
/// managed.declare::<Clerks>(&DESK, &Desk { number: 7 }).await?;
/// managed.start(&DESK).await?;
/// assert_eq!(managed.status(&DESK)?.status(), ServiceStatus::Healthy);
///
/// let error = managed.declare::<Clerks>(&DESK, &Desk { number: 0 }).await.unwrap_err();
/// assert_eq!(error.to_string(), "service desk: its configuration as a clerks is refused: number: lower than 1");
/// registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Managed {
    shared: Arc<Shared>,
    via: Via<ManagerMsg>,
}

impl Managed {
    /// The name of the supervisor of the managed services in each namespace.
    pub const NAME: ServiceName = ServiceName::from_static("managed");

    /// The managed services of a namespace.
    pub fn of(names: &ServiceRegistry) -> Self {
        Self { shared: names.extension(|| Shared::new(names)), via: names.via(&manager_key()) }
    }

    /// The service for a registry's [namespaces](foundation_kernel::names::ProcessRegistryBuilder::service). It needs the
    /// event store and the config server.
    pub fn service() -> Service {
        Self::service_with(KindSet::new())
    }

    /// The same, and each namespace begins with these kinds.
    pub fn service_with(kinds: KindSet) -> Service {
        Self::service_of(move |names| Self::begin(names, &kinds))
    }

    /// The same, and it notifies an observer of what happens to services, one for each namespace.
    pub fn observed_service(
        kinds: KindSet,
        observer: impl Fn(&ServiceRegistry) -> Arc<dyn ManagedObserver> + Send + Sync + 'static,
    ) -> Service {
        Self::service_of(move |names| {
            Self::begin(names, &kinds);
            Self::of(names).shared.published.observe(Observer::new(names, observer(names)));
        })
    }

    fn service_of(begin: impl Fn(&ServiceRegistry) + Send + Sync + 'static) -> Service {
        let child_spec = move |names: &ServiceRegistry| {
            begin(names);
            Self::child_spec(names)
        };
        Service::new(Self::NAME, child_spec).needs(EventStore::NAME).needs(ConfigServer::NAME)
    }

    /// Gives a namespace kinds before its manager starts. Those that it has stay.
    fn begin(names: &ServiceRegistry, kinds: &KindSet) {
        Self::of(names).shared.kinds.extend(kinds);
    }

    /// How to start the manager of a namespace, and the supervisor of its services.
    pub fn child_spec(names: &ServiceRegistry) -> ChildSpec {
        let managed = Self::of(names);
        let manager = Manager::new(Arc::clone(&managed.shared));
        let manager = with_restarts(names.child_spec(&manager_key(), move || (manager.clone(), ())));
        let spec = names.supervisor_spec(&SUPERVISOR, supervisor_spec().child(manager));
        spec.health_check(move |_| {
            let health = managed.health();
            async move { health }
        })
    }

    /// The key under which the actor of a managed service is registered.
    ///
    /// # Errors
    /// [`ManagedError::Kind`] if the name is too long to be that of a managed service.
    pub fn key<M>(name: &ServiceName) -> Result<ServiceKey<M>, ManagedError> {
        let instance =
            instance_name(name).map_err(|error| ManagedError::Kind { name: name.clone(), source: error.into() })?;
        Ok(foundation_discovery::Discovery::key(&instance))
    }

    // ---- kinds ----

    /// Registers a kind. Services of this kind that are wanted, and could not be started without it, are started.
    ///
    /// # Errors
    /// [`KindError::Catalog`] for a name that is not valid or is taken, and for one kind too many.
    pub fn register_kind<K: ServiceKind>(&self, kind: K) -> Result<(), KindError> {
        self.shared.kinds.register(kind)?;
        // A manager that does not run yet finds the kind when it does.
        let _ = self.via.cast(ManagerMsg::KindRegistered);
        Ok(())
    }

    /// The kinds that are registered, sorted by name: those without services, too.
    pub fn kinds(&self) -> Vec<KindRecord> {
        let records = self.shared.published.records();
        let kinds = self.shared.kinds.all().into_iter();
        kinds
            .map(|kind| {
                let kind = kind.record();
                let of_kind: Vec<_> = records.values().filter(|record| record.kind == kind.name).collect();
                let running = of_kind.iter().filter(|record| record.running.is_some()).count();
                KindRecord { declared: of_kind.len(), running, ..kind }
            })
            .collect()
    }

    // ---- requests ----

    /// Declares a service of this kind and with this configuration, which is recorded. It is not started by that.
    ///
    /// # Errors
    /// [`ManagedError`]: nothing is changed, except perhaps after [`Unclear`](ManagedError::Unclear) and
    /// [`NoManager`](ManagedError::NoManager).
    pub async fn declare<K: ServiceKind>(&self, name: &ServiceName, config: &K::Config) -> Result<(), ManagedError> {
        let config = self.written::<K>(name, config)?;
        self.declare_as(name, K::NAME, ServiceConfig::Value(config)).await
    }

    /// Declares a service of this kind whose configuration is a section of the config server. Each change of the section
    /// is given to the service, as its kind [says](ServiceKind::replacement).
    ///
    /// # Errors
    /// As [`declare`](Self::declare).
    pub async fn declare_section<K>(&self, name: &ServiceName) -> Result<(), ManagedError>
    where
        K: ServiceKind<Config: ConfigSection>,
    {
        let path = <K::Config as ConfigSection>::PATH.to_owned();
        self.declare_as(name, K::NAME, ServiceConfig::Section(path)).await
    }

    /// Declares a service by the name of its kind, with a configuration as JSON or a section.
    ///
    /// # Errors
    /// As [`declare`](Self::declare).
    pub async fn declare_as(&self, name: &ServiceName, kind: &str, config: ServiceConfig) -> Result<(), ManagedError> {
        let request = Request::Declare { name: name.clone(), kind: kind.to_owned(), config };
        self.ask(request, WITHIN, "declared").await.map(drop)
    }

    /// Starts a service, and returns when it is healthy. It waits for what it needs.
    ///
    /// The service is wanted from then on: its supervisor restarts it, and so does a next process.
    ///
    /// # Errors
    /// [`ManagedError::Start`] with the reason; [`ManagedError::NotYet`] if it is not healthy within 30 s, and goes on;
    /// [`ManagedError::Superseded`] if it is stopped or configured meanwhile; otherwise nothing is changed.
    pub async fn start(&self, name: &ServiceName) -> Result<Arc<ServiceRecord>, ManagedError> {
        self.start_within(name, WITHIN).await
    }

    /// The same within another time.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_within(&self, name: &ServiceName, within: Duration) -> Result<Arc<ServiceRecord>, ManagedError> {
        let record = self.ask(Request::Start(name.clone()), within, "healthy").await?;
        self.present(name, record)
    }

    /// Stops a service, and returns when it is gone: it is taken out of rotation, handles the messages that it has, and is
    /// killed if that takes longer than `within`, or than its kind allows. A replacement that is under way is given up.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn stop(
        &self,
        name: &ServiceName,
        within: impl Into<Option<Duration>>,
    ) -> Result<Arc<ServiceRecord>, ManagedError> {
        let within = within.into();
        let limit = within.unwrap_or(WITHIN).saturating_add(WITHIN);
        let record = self.ask(Request::Stop { name: name.clone(), within }, limit, "stopped").await?;
        self.present(name, record)
    }

    /// Stops a service and starts it again, with the same configuration.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn restart(&self, name: &ServiceName) -> Result<Arc<ServiceRecord>, ManagedError> {
        let record = self.ask(Request::Restart(name.clone()), WITHIN.saturating_mul(2), "healthy").await?;
        self.present(name, record)
    }

    /// Gives a service another configuration. If it runs, it gets it as its kind [says](ServiceKind::replacement); returns
    /// when it has it and is healthy.
    ///
    /// # Errors
    /// [`ManagedError::Replace`] if it goes on with the configuration that it had; otherwise as [`start`](Self::start).
    pub async fn configure<K: ServiceKind>(
        &self,
        name: &ServiceName,
        config: &K::Config,
    ) -> Result<Arc<ServiceRecord>, ManagedError> {
        let config = self.written::<K>(name, config)?;
        self.configure_as(name, ServiceConfig::Value(config)).await
    }

    /// The same with a configuration as JSON, or with a section.
    ///
    /// # Errors
    /// As [`configure`](Self::configure).
    pub async fn configure_as(
        &self,
        name: &ServiceName,
        config: ServiceConfig,
    ) -> Result<Arc<ServiceRecord>, ManagedError> {
        let request = Request::Configure { name: name.clone(), config };
        let record = self.ask(request, WITHIN.saturating_mul(3), "configured").await?;
        self.present(name, record)
    }

    /// Forgets a service, which is stopped before if it runs. Returns when it is gone.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub async fn remove(&self, name: &ServiceName) -> Result<(), ManagedError> {
        self.ask(Request::Remove(name.clone()), WITHIN.saturating_mul(2), "removed").await.map(drop)
    }

    /// Applies operations together, or not at all: within 5 minutes.
    ///
    /// All of them are checked before anything is done. Services are started and successors prepared first, then names are
    /// handed over, and services are stopped last. If a step fails, those before it are taken back in reverse. The plan is
    /// recorded before its first step, so a next manager finds a batch that was not completed, and takes its steps back.
    /// Other requests wait meanwhile, up to [`MAX_WAITING_REQUESTS`](crate::limits::MAX_WAITING_REQUESTS). A call that is
    /// cancelled does not cancel a batch that has begun; one that waits for its services is not begun.
    ///
    /// # Errors
    /// [`BatchError::Refused`] with all that is wrong; [`BatchError::Undone`] if a step failed and everything is as before,
    /// except for the state of services that were restarted; [`BatchError::UndoFailed`].
    pub async fn apply(&self, batch: Batch) -> Result<BatchReport, BatchError> {
        self.apply_within(batch, BATCH_WITHIN).await
    }

    /// The same within another time. The undo of a batch whose time is over takes its own time: at most 30 s a step, beside the
    /// time that the actors which it starts or stops may take.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub async fn apply_within(&self, batch: Batch, within: Duration) -> Result<BatchReport, BatchError> {
        let request = |reply| ManagerMsg::Batch(BatchRequest { batch, within, reply });
        // The manager answers when the batch has ended, or its undo has.
        let answered = self.via.call(request, within.saturating_add(UNDO_WITHIN)).await;
        answered.unwrap_or_else(|error| {
            let (namespace, reason) = (self.shared.names.namespace(), error.to_string());
            Err(BatchError::Unclear { namespace, reason })
        })
    }

    fn written<K: ServiceKind>(
        &self,
        name: &ServiceName,
        config: &impl Serialize,
    ) -> Result<serde_json::Value, ManagedError> {
        written(config).map_err(|error| ManagedError::Configuration {
            name: name.clone(),
            kind: K::NAME.to_owned(),
            source: Box::new(error),
        })
    }

    async fn ask(
        &self,
        request: Request,
        within: Duration,
        wanted: &'static str,
    ) -> Result<Option<Arc<ServiceRecord>>, ManagedError> {
        let name = request.name().clone();
        match self.via.call(|reply| ManagerMsg::Request(request, reply), within).await {
            Ok(answer) => answer,
            Err(CallError::TimedOut { .. }) => {
                let record = self.shared.published.records().get(&name).cloned();
                let last = record.map_or(ServiceState::Unknown, |record| record.state.clone());
                Err(ManagedError::NotYet { name, wanted, within, last })
            }
            Err(error) => Err(self.no_manager(&error)),
        }
    }

    fn present(
        &self,
        name: &ServiceName,
        record: Option<Arc<ServiceRecord>>,
    ) -> Result<Arc<ServiceRecord>, ManagedError> {
        record.ok_or_else(|| ManagedError::Superseded { name: name.clone() })
    }

    /// Stops all services, each after those that need it, and returns when they are gone. From the beginning on requests are
    /// refused. What is wanted stays recorded: a next process starts it again.
    ///
    /// Services that are not stopped `within` this time are killed. The report names them, and those that are not gone 30 s
    /// later.
    ///
    /// # Errors
    /// [`ManagedError::NoManager`].
    pub async fn shutdown(&self, within: Duration) -> Result<ManagedShutdown, ManagedError> {
        match self.via.call(ManagerMsg::Shutdown, within).await {
            Ok(stopped) => Ok(ManagedShutdown { stopped, ..ManagedShutdown::default() }),
            Err(CallError::TimedOut { .. }) => self.kill_all().await,
            Err(error) => Err(self.no_manager(&error)),
        }
    }

    /// Kills the services that a shutdown has not stopped in its time.
    async fn kill_all(&self) -> Result<ManagedShutdown, ManagedError> {
        let kill = async || self.via.call(ManagerMsg::KillAll, WITHIN).await.map_err(|error| self.no_manager(&error));
        let late = kill().await?.left;
        let ShutdownProgress { to_stop, left } = match self.via.call(ManagerMsg::Shutdown, WITHIN).await {
            Ok(to_stop) => ShutdownProgress { to_stop, left: Vec::new() },
            Err(CallError::TimedOut { .. }) => kill().await?,
            Err(error) => return Err(self.no_manager(&error)),
        };
        let stopped = to_stop.into_iter().filter(|name| !late.contains(name) && !left.contains(name)).collect();
        let killed = late.into_iter().filter(|name| !left.contains(name)).collect();
        Ok(ManagedShutdown { stopped, killed, left })
    }

    fn no_manager(&self, error: &CallError<ManagerMsg>) -> ManagedError {
        ManagedError::NoManager { namespace: self.shared.names.namespace(), reason: error.to_string() }
    }

    // ---- reading ----

    /// A service as it is now.
    ///
    /// # Errors
    /// [`RosterError::UnknownService`] names the near misses.
    pub fn status(&self, name: &ServiceName) -> Result<Arc<ServiceRecord>, RosterError> {
        let records = self.shared.published.records();
        records.get(name).cloned().ok_or_else(|| {
            let near = NearMisses::of(name.as_str(), records.keys().map(ServiceName::as_str));
            RosterError::UnknownService { name: name.clone(), near }
        })
    }

    /// All services, sorted by name.
    pub fn all(&self) -> Vec<Arc<ServiceRecord>> {
        self.shared.published.records().values().cloned().collect()
    }

    /// The services of this status, sorted by name.
    pub fn by_status(&self, status: ServiceStatus) -> Vec<Arc<ServiceRecord>> {
        self.all().into_iter().filter(|record| record.status() == status).collect()
    }

    /// Watches the services: what there is, and then each change of a lifecycle.
    pub fn watch(&self) -> LifecycleWatch {
        self.shared.published.watch(&self.shared.names)
    }

    /// The figures of the services: messages, failures, latency, and when they were last at work. Costs about 1 µs for each
    /// measured name of the namespace.
    pub fn statistics(&self) -> ManagedStatistics {
        let records = self.shared.published.records();
        let measured: BTreeMap<_, _> = self.shared.names.measures().into_iter().collect();
        let of = |record: &ServiceRecord| {
            let instance = instance_name(&record.name).ok()?;
            let load = self.shared.discovery.load(&instance).unwrap_or(LoadReading::IDLE);
            Some(ServiceStatistics::new(record, measured.get(instance.registered()).cloned(), load))
        };
        let services = records.values().filter_map(|record| of(record)).collect();
        ManagedStatistics { statuses: count_statuses(&records), services }
    }

    /// What is wrong with them.
    pub fn diagnostics(&self) -> ManagedDiagnostics {
        let all = self.all();
        let problems = all.iter().filter_map(|record| ServiceProblem::of(record)).collect();
        let (health, kinds) = (self.health(), self.shared.kinds.all().len());
        let (unsettled, batches) = (self.shared.problem.lock().clone(), self.shared.batches.lock());
        let (batch, left_behind) = (batches.pending.clone(), batches.left_behind.clone());
        ManagedDiagnostics { health, kinds, declared: all.len(), problems, batch, unsettled, left_behind }
    }

    /// All of it as one value, to be written as JSON: without secrets.
    pub fn export(&self) -> ManagedExport {
        let (namespace, left_behind) = (self.shared.names.namespace(), self.shared.batches.lock().left_behind.clone());
        ManagedExport { namespace, kinds: self.kinds(), services: self.all(), left_behind }
    }

    /// The health of all of them together: degraded while a service that is wanted is unhealthy, while it is not known
    /// which services are declared since the event store does not show them, or while the manager does not run.
    pub fn health(&self) -> Health {
        let unhealthy = self.by_status(ServiceStatus::Unhealthy);
        let unhealthy = unhealthy.iter().map(|record| format!("{} is {}", record.name, record.state));
        let is_away = !self.shared.names.is_registered(&manager_key::<ManagerMsg>());
        let away = is_away.then(|| "the manager does not run, and is started again after a pause".to_owned());
        let problem = self.shared.problem.lock().clone();
        let texts: Vec<_> = away.into_iter().chain(problem).chain(unhealthy).collect();
        if texts.is_empty() { Health::Healthy } else { Health::Degraded(texts.join("; ")) }
    }
}

impl fmt::Debug for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Managed({})", self.shared.names.namespace())
    }
}
