//! The contents of a namespace's tree: the one place that knows all services.
//!
//! The builder, which fills a layout in, is a module below this one, so that the fields of a layout stay private.

use std::sync::Arc;
use std::time::SystemTime;

use foundation_kernel::names::{
    Measurement, Namespace, ProcessRegistry, ProcessRegistryBuilder, Service, ServiceRegistry,
};
use foundation_kernel::supervision::{Backoff, ChildSpec, Reporter, RestartIntensity, Strategy, SupervisorSpec};
use serde_json::json;

use super::limits::Limits;
use super::recording::Recording;
use super::reporter::EventReporter;
use super::services::Services;
use foundation_config_server::{ConfigOutcome, ConfigServer, ConfigTree};
#[cfg(feature = "discovery")]
use foundation_discovery::Discovery;
use foundation_events::{EventStorage, EventStore, RetentionReport};
#[cfg(feature = "managed")]
use foundation_managed::Managed;
use foundation_telemetry::{EarlyTelemetry, Telemetry, TelemetryOptions, built_in};

pub(super) mod builder;

type MakeChild = Arc<dyn Fn(&Services) -> ChildSpec + Send + Sync>;

/// The services and the application of every namespace of one foundation.
#[derive(Clone)]
struct Layout {
    config: Arc<ConfigTree>,
    clock: Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>,
    /// Of production and of named namespaces.
    events: EventStorage,
    /// Of tests' namespaces.
    test_events: EventStorage,
    telemetry: TelemetryOptions,
    /// Production's, if there were any before it.
    early: Option<EarlyTelemetry>,
    /// The embedder's.
    services: Vec<Service>,
    children: Vec<MakeChild>,
    strategy: Strategy,
    intensity: RestartIntensity,
    root_intensity: RestartIntensity,
    measurement: Measurement,
    limits: Limits,
    recording: Recording,
    #[cfg(feature = "discovery")]
    discovery: crate::discovery::observer::DiscoveryLayout,
    #[cfg(feature = "managed")]
    managed: crate::managed::layout::ManagedLayout,
    #[cfg(feature = "pool")]
    pools: crate::pool::PoolRecording,
    /// Of each service without a rule of its own; the backoff also of production as a whole.
    service_intensity: RestartIntensity,
    service_backoff: Backoff,
}

impl Layout {
    /// A registry whose namespaces are laid out like this.
    fn registry(self: Arc<Self>) -> ProcessRegistryBuilder {
        let (prepared, application, reporting) = (Arc::clone(&self), Arc::clone(&self), Arc::clone(&self));
        let builder = ProcessRegistry::builder()
            .measurement(self.measurement)
            .limits(self.limits.registry.clone())
            .backoff(self.service_backoff)
            .root_intensity(self.root_intensity)
            .prepare(move |registry| prepared.prepare(registry))
            .application(move |registry| application.application(registry))
            .reporters(move |registry| reporting.reporter(registry));
        self.services().into_iter().fold(builder, ProcessRegistryBuilder::service)
    }

    /// Prepares a namespace before any of its services is made.
    fn prepare(&self, registry: &ServiceRegistry) {
        self.limits.install(registry);
        if let (Namespace::Production, Some(early)) = (registry.namespace(), &self.early) {
            Telemetry::begin_with(registry, early);
        }
        #[cfg(feature = "discovery")]
        self.discovery.prepare(registry);
        #[cfg(feature = "pool")]
        registry.extension(|| crate::pool::observer::PoolRecords {
            recording: self.pools,
            limits: self.storage(registry.namespace()).limits().clone(),
            kept: self.limits.kept_reports,
        });
    }

    /// The services of each namespace. The config server replays its events before it serves, so it needs the store.
    fn services(self: Arc<Self>) -> Vec<Service> {
        let (events, config) = (Arc::clone(&self), Arc::clone(&self));
        let events = Service::new(EventStore::NAME, move |registry| events.event_store(registry));
        let config = Service::new(ConfigServer::NAME, move |registry| config.config_server(registry));
        let own = [Telemetry::service(self.telemetry.clone()), events, config.needs(EventStore::NAME)];
        // After those that it reports to, and without need of them: instances are found and chosen while they are away.
        #[cfg(feature = "discovery")]
        let own = own.into_iter().chain([Arc::clone(&self).discovery_service()]);
        #[cfg(feature = "managed")]
        let own = own.chain(self.managed.is_used().then(|| Arc::clone(&self).managed_service()));
        let all = own.into_iter().chain(self.services.iter().cloned());
        let (intensity, backoff) = (self.service_intensity, self.service_backoff);
        all.map(|service| service.with_child_spec(move |spec| with_restarts(spec, intensity, backoff))).collect()
    }

    #[cfg(feature = "discovery")]
    fn discovery_service(self: Arc<Self>) -> Service {
        Discovery::observed_service(self.discovery.options().clone(), move |names| {
            let limits = self.storage(names.namespace()).limits();
            self.discovery.observer(names, limits, self.limits.kept_reports)
        })
    }

    #[cfg(feature = "managed")]
    fn managed_service(self: Arc<Self>) -> Service {
        Managed::observed_service(self.managed.kinds.clone(), move |names| {
            let limits = self.storage(names.namespace()).limits();
            self.managed.observer(names, limits, self.limits.kept_reports)
        })
    }

    fn storage(&self, namespace: Namespace) -> &EventStorage {
        match namespace {
            Namespace::Production | Namespace::Named(_) => &self.events,
            Namespace::Test(_) => &self.test_events,
        }
    }

    fn reporter(&self, registry: &ServiceRegistry) -> Arc<dyn Reporter> {
        let (events, limits) = (EventStore::of(registry), self.storage(registry.namespace()).limits().clone());
        Arc::new(EventReporter::new(events, self.recording, limits, self.limits.kept_reports))
    }

    fn config_server(&self, registry: &ServiceRegistry) -> ChildSpec {
        let telemetry = Telemetry::of(registry);
        ConfigServer::child_spec_with(registry, &self.config, move |outcome| count(&telemetry, outcome))
    }

    fn event_store(&self, registry: &ServiceRegistry) -> ChildSpec {
        let telemetry = Telemetry::of(registry);
        let storage = self.storage(registry.namespace()).clone();
        let storage = storage.on_retention(move |report| report_retention(&telemetry, report));
        let storage = match self.clock.clone() {
            Some(clock) => storage.clock(move || clock()),
            None => storage,
        };
        EventStore::child_spec(registry, &storage)
    }

    fn application(&self, registry: &ServiceRegistry) -> SupervisorSpec {
        let services = Services::of(registry, &self.config);
        let children = self.children.iter().map(|make| make(&services));
        SupervisorSpec::new(self.strategy).intensity(self.intensity).children(children)
    }
}

/// A service that fails again and again is restarted after longer and longer delays, and ends no other service.
fn with_restarts(spec: ChildSpec, intensity: RestartIntensity, backoff: Backoff) -> ChildSpec {
    let spec = if spec.intensity_rule().is_none() { spec.intensity(intensity) } else { spec };
    if spec.backoff_rule().is_none() { spec.backoff(backoff) } else { spec }
}

/// The config server uses no telemetry either.
fn count(telemetry: &Telemetry, outcome: ConfigOutcome) {
    match outcome {
        ConfigOutcome::Applied => telemetry.count(built_in::CONFIG_UPDATES),
        ConfigOutcome::Unrecorded => telemetry.count(built_in::CONFIG_UPDATES_UNRECORDED),
        ConfigOutcome::Refused => telemetry.count(built_in::CONFIG_UPDATES_REFUSED),
        ConfigOutcome::Unanswered => telemetry.count(built_in::CONFIG_UPDATES_UNANSWERED),
        ConfigOutcome::CheckpointFailed => telemetry.count(built_in::CONFIG_CHECKPOINTS_FAILED),
        _ => {}
    }
}

/// The event store uses no telemetry, so that telemetry could use it: its retention is reported here instead.
fn report_retention(telemetry: &Telemetry, report: &RetentionReport) {
    let RetentionReport { by_age, by_count, by_bytes, clock_ahead, took, error, .. } = report;
    if let Some(error) = error {
        tracing::warn!(%error, "the retention of events was not carried through");
    }
    let measurements = [("pruned", report.pruned() as f64), ("duration_ms", took.as_secs_f64() * 1e3)];
    let metadata = json!({ "by_age": by_age, "by_count": by_count, "by_bytes": by_bytes,
        "clock_ahead_ms": clock_ahead.as_secs_f64() * 1e3, "error": error });
    telemetry.execute(built_in::EVENT_STORE_RETENTION, &measurements, &metadata);
}
