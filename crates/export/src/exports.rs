//! The client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_events::EventStore;
use foundation_kernel::catalog::CatalogStats;
use foundation_kernel::names::{Service, ServiceName, ServiceRegistry};
use foundation_kernel::supervision::{
    Backoff, ChildError, ChildKind, ChildSpec, DynamicSupervisor, DynamicSupervisorSpec, ExponentialBackoff, Health,
    Restart, RestartIntensity, Shutdown, StartContext, StartError, Started,
};
use foundation_telemetry::Telemetry;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout};

use crate::encoded::Encoded;
use crate::entry::Entry;
use crate::error::ExportError;
use crate::event::ExportEvent;
use crate::exporter::Exported;
use crate::format::Format;
use crate::shared::Shared;
use crate::spec::ExporterSpec;
use crate::stats::ExporterStats;
use crate::task::run;

/// How long an exporter may take to end: its last batch, and a little more.
const STOP: Duration = Duration::from_secs(6);
/// How long the beginning of a task is waited for.
const BEGIN: Duration = Duration::from_secs(1);
/// From so many failures in a row on the health is degraded.
const UNHEALTHY: u64 = 3;

/// The exporters of a namespace: registered, listed, paused, asked and removed while the program runs.
///
/// Each exporter is a task below the supervisor `exports`: one that is slow, panics or never ends delays no other. A clone is
/// an atomic increment.
#[derive(Clone)]
pub struct Exports(Arc<Shared>);

impl Exports {
    /// The name of the service, and of the supervisor of the exporters in each namespace.
    pub const NAME: ServiceName = ServiceName::from_static("exports");

    /// The exporters of a namespace.
    pub fn of(names: &ServiceRegistry) -> Self {
        Self(names.extension(|| Held(Arc::new(Shared::new(names)))).0.clone())
    }

    /// The service for a registry's [namespaces](foundation_kernel::names::ProcessRegistryBuilder::service). It needs telemetry and
    /// the event store. No namespace begins with an exporter, so tests export nothing unless they ask for it.
    pub fn service() -> Service {
        Service::new(Self::NAME, Self::child_spec).needs(Telemetry::NAME).needs(EventStore::NAME)
    }

    /// How to start the exporters of a namespace.
    pub fn child_spec(names: &ServiceRegistry) -> ChildSpec {
        let exports = Self::of(names);
        let starting = exports.clone();
        let spec = ChildSpec::from_fn(Self::NAME.as_str(), ChildKind::Supervisor, move |context| {
            let exports = starting.clone();
            async move { exports.start(context).await }
        });
        spec.health_check(move |_| {
            let health = exports.health();
            async move { health }
        })
    }

    /// Starts the supervisor, with all exporters that are registered.
    async fn start(&self, context: StartContext) -> Result<Started, StartError> {
        let backoff = ExponentialBackoff::new(Duration::from_secs(1), 2.0, Duration::from_secs(300));
        let backoff = backoff.map_or(Backoff::None, Backoff::from);
        let rules = DynamicSupervisorSpec::default().intensity(RestartIntensity::UNLIMITED).backoff(backoff);
        let (started, supervisor) = context.spawn_dynamic_supervisor(rules).await?;
        // Before the exporters are listed: one that is registered from now on is started here or by its caller, once.
        self.0.supervised_by(supervisor.clone());
        for (_, entry) in self.0.exporters.all() {
            self.start_below(&supervisor, entry).await.map_err(StartError::failed)?;
        }
        Ok(started)
    }

    /// Starts the task of an exporter below a supervisor, unless that has been done.
    async fn start_below(&self, supervisor: &DynamicSupervisor, entry: Arc<Entry>) -> Result<(), ChildError> {
        if entry.is_to_be_started_by(supervisor.actor()?.get_id()) {
            supervisor.start_child(self.task(Arc::clone(&entry))).await?;
            // A task that the supervisor stops before its first step never begins.
            drop(timeout(BEGIN, entry.begun()).await);
        }
        Ok(())
    }

    fn task(&self, entry: Arc<Entry>) -> ChildSpec {
        let (shared, id) = (Arc::clone(&self.0), entry.child_id());
        let work = move |stop| {
            let (shared, entry) = (Arc::clone(&shared), Arc::clone(&entry));
            async move { run(shared, entry, stop).await }
        };
        ChildSpec::task(id, work).restart(Restart::Transient).shutdown(Shutdown::Timeout(STOP))
    }

    // ---- formats ----

    /// Registers a format.
    ///
    /// # Errors
    /// [`ExportError::Catalog`] for a name that is not valid or is taken.
    pub fn register_format<F: Format>(&self) -> Result<(), ExportError> {
        Ok(self.0.register_format::<F>()?)
    }

    /// The names of the formats that are registered, sorted, with what HTTP calls them.
    pub fn formats(&self) -> Vec<(&'static str, &'static str)> {
        self.0.formats.all().iter().map(|(_, format)| (format.name, format.content_type)).collect()
    }

    /// The numbers of now, in a format. No exporter is asked.
    ///
    /// # Errors
    /// [`ExportError::Catalog`] for a format that is not registered, [`ExportError::Encode`] for numbers that it cannot write.
    pub fn encode(&self, format: &str) -> Result<Encoded, ExportError> {
        let format = self.0.formats.get(format)?;
        Ok(format.encode(&self.0.batch(Instant::now()))?)
    }

    /// How many series a batch may have from now on; 20,000 at first. Those beyond, of the last families by name, are left out,
    /// which is counted for each exporter in `export.series_dropped` and in its
    /// [statistics](crate::ExporterStats::series_dropped).
    pub fn set_max_series(&self, series: usize) {
        self.0.set_max_series(series);
    }

    // ---- exporters ----

    /// Registers an exporter under a name, and starts it.
    ///
    /// Before the namespace runs it is only registered, and starts with it. Dropped before it returns, it may have registered
    /// the exporter.
    ///
    /// # Errors
    /// [`ExportError::Catalog`] for a name that is not valid or is taken, and for a format that is not registered;
    /// [`ExportError::NoTime`] for a time-out of zero; [`ExportError::Start`], after which the exporter is not registered.
    pub async fn register(&self, name: &str, spec: ExporterSpec) -> Result<(), ExportError> {
        self.0.formats.get(spec.format)?;
        let format = spec.format;
        let exporter = self.0.exporters.checked(name)?;
        if spec.timeout.is_zero() {
            return Err(ExportError::NoTime { exporter });
        }
        let entry = self.0.exporters.insert(name, Entry::new(exporter.clone(), spec))?;
        if let Some(supervisor) = self.0.supervisor()
            && let Err(error) = self.start_below(&supervisor, entry).await
        {
            drop(self.0.exporters.remove(name));
            return Err(ExportError::Start { exporter, cause: error.to_string().into() });
        }
        self.0.record(ExportEvent::Registered { exporter, format }).await;
        Ok(())
    }

    /// Removes an exporter: its task exports the last numbers and ends. Dropped before it returns, it has removed the exporter, or
    /// left it as it is.
    ///
    /// # Errors
    /// [`ExportError::Catalog`] for a name that is not registered.
    pub async fn unregister(&self, name: &str) -> Result<(), ExportError> {
        let entry = self.0.exporters.remove(name)?;
        // One that waits for its restart ends as soon as it is started.
        entry.remove();
        // One that blocks its thread ends later.
        drop(timeout(STOP, entry.ended()).await);
        self.0.record(ExportEvent::Unregistered { exporter: entry.name.clone() }).await;
        Ok(())
    }

    /// Exports the numbers of now, whether the exporter is paused or not, and waits for the outcome for as long as this.
    /// Callers that ask at the same time share one export.
    ///
    /// # Errors
    /// [`ExportError::Catalog`], [`ExportError::NotRunning`], [`ExportError::Failed`], [`ExportError::TimedOut`].
    pub async fn now(&self, name: &str, limit: Duration) -> Result<Exported, ExportError> {
        let entry = self.0.exporters.get(name)?;
        let exporter = || entry.name.clone();
        let Some(outcome) = entry.request() else { return Err(ExportError::NotRunning { exporter: exporter() }) };
        match timeout(limit, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ExportError::NotRunning { exporter: exporter() }),
            Err(_) => Err(ExportError::TimedOut { exporter: exporter(), limit }),
        }
    }

    /// Lets an exporter export no more by its schedule, until it is [resumed](Self::resume).
    ///
    /// # Errors
    /// [`ExportError::Catalog`] for a name that is not registered.
    pub fn pause(&self, name: &str) -> Result<(), ExportError> {
        self.0.exporters.get(name)?.set_paused(true);
        Ok(())
    }

    /// Lets an exporter go on by its schedule.
    ///
    /// # Errors
    /// [`ExportError::Catalog`] for a name that is not registered.
    pub fn resume(&self, name: &str) -> Result<(), ExportError> {
        self.0.exporters.get(name)?.set_paused(false);
        Ok(())
    }

    // ---- to see ----

    /// All exporters, sorted by their names.
    pub fn list(&self) -> Vec<ExporterStats> {
        self.0.exporters.all().iter().map(|(_, entry)| entry.stats()).collect()
    }

    /// The exporters of a format, sorted by their names.
    pub fn of_format(&self, format: &str) -> Vec<ExporterStats> {
        self.list().into_iter().filter(|stats| stats.format == format).collect()
    }

    /// What an exporter has done.
    ///
    /// # Errors
    /// [`ExportError::Catalog`] for a name that is not registered.
    pub fn stats(&self, name: &str) -> Result<ExporterStats, ExportError> {
        Ok(self.0.exporters.get(name)?.stats())
    }

    /// How the catalog of exporters has been used.
    pub fn catalog_stats(&self) -> CatalogStats {
        self.0.exporters.stats()
    }

    /// Follows what happens to exporters from now on. A reader that is more than 256 events behind misses the earlier ones.
    pub fn watch(&self) -> broadcast::Receiver<ExportEvent> {
        self.0.watch()
    }

    /// Degraded while an exporter has failed three times in a row or more.
    pub fn health(&self) -> Health {
        let failing: Vec<_> = self
            .0
            .exporters
            .all()
            .into_iter()
            .filter(|(_, it)| it.counts.consecutive_failures() >= UNHEALTHY)
            .collect();
        if failing.is_empty() {
            return Health::Healthy;
        }
        let names: Vec<_> = failing.iter().map(|(name, _)| name.as_str()).collect();
        Health::Degraded(format!("exports fail again and again: {}", names.join(", ")))
    }
}

impl fmt::Debug for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Exports").field(&self.0.exporters).finish()
    }
}

/// What a namespace keeps.
struct Held(Arc<Shared>);
