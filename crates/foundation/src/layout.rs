//! The contents of a namespace's tree: the one place that knows all services.

use std::sync::Arc;
use std::time::SystemTime;

use foundation_kernel::names::{Measurement, Namespace, ProcessRegistry, ProcessRegistryBuilder, ServiceRegistry};
use foundation_kernel::supervision::{Backoff, ChildSpec, Reporter, RestartIntensity, Strategy, SupervisorSpec};
use serde_json::json;

use super::limits::Limits;
use super::recording::Recording;
use super::reporter::EventReporter;
use super::services::Services;
use foundation_config_server::{ConfigOutcome, ConfigServer, ConfigTree};
use foundation_events::{EventStorage, EventStore, RetentionReport};
use foundation_telemetry::{EarlyTelemetry, Telemetry, TelemetryOptions};

pub(super) type MakeChild = Arc<dyn Fn(&Services) -> ChildSpec + Send + Sync>;

/// The services and the application of every namespace of one foundation.
#[derive(Clone)]
pub(super) struct Layout {
    pub(super) config: Arc<ConfigTree>,
    pub(super) clock: Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>,
    /// Of production, and of tests' namespaces.
    pub(super) events: EventStorage,
    pub(super) test_events: EventStorage,
    pub(super) telemetry: TelemetryOptions,
    /// Production's, if there were any before it.
    pub(super) early: Option<EarlyTelemetry>,
    pub(super) children: Vec<MakeChild>,
    pub(super) strategy: Strategy,
    pub(super) intensity: RestartIntensity,
    pub(super) measurement: Measurement,
    pub(super) limits: Limits,
    pub(super) recording: Recording,
    /// Of each of the foundation's own services; the backoff also of production as a whole.
    pub(super) service_intensity: RestartIntensity,
    pub(super) service_backoff: Backoff,
}

impl Layout {
    /// A registry whose namespaces are laid out like this.
    pub(super) fn registry(self: Arc<Self>) -> ProcessRegistryBuilder {
        let (prepared, application, reporting) = (Arc::clone(&self), Arc::clone(&self), Arc::clone(&self));
        ProcessRegistry::builder()
            .measurement(self.measurement)
            .limits(self.limits.registry.clone())
            .backoff(self.service_backoff)
            .prepare(move |registry| prepared.prepare(registry))
            .services(move |registry| self.services(registry))
            .application(move |registry| application.application(registry))
            .reporters(move |registry| reporting.reporter(registry))
    }

    /// Prepares a namespace before any of its services is made.
    fn prepare(&self, registry: &ServiceRegistry) {
        self.limits.install(registry);
        if let (Namespace::Production, Some(early)) = (registry.namespace(), &self.early) {
            Telemetry::begin_with(registry, early);
        }
    }

    /// In the order in which they need each other: a config server replays its events before it serves.
    fn services(&self, registry: &ServiceRegistry) -> Vec<ChildSpec> {
        let telemetry = Telemetry::of(registry);
        let counted = telemetry.clone();
        let config = ConfigServer::child_spec_with(registry, &self.config, move |outcome| count(&counted, outcome));
        vec![
            self.service(Telemetry::child_spec(registry, &self.telemetry)),
            self.service(self.event_store(registry, telemetry)),
            self.service(config),
        ]
    }

    /// A service that fails again and again is restarted after longer and longer delays, and ends no other service.
    fn service(&self, spec: ChildSpec) -> ChildSpec {
        spec.intensity(self.service_intensity).backoff(self.service_backoff)
    }

    fn storage(&self, namespace: Namespace) -> &EventStorage {
        match namespace {
            Namespace::Production => &self.events,
            Namespace::Test(_) => &self.test_events,
        }
    }

    fn reporter(&self, registry: &ServiceRegistry) -> Arc<dyn Reporter> {
        let (events, limits) = (EventStore::of(registry), self.storage(registry.namespace()).limits().clone());
        Arc::new(EventReporter::new(events, self.recording, limits, self.limits.kept_reports))
    }

    fn event_store(&self, registry: &ServiceRegistry, telemetry: Telemetry) -> ChildSpec {
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

/// The config server uses no telemetry either.
fn count(telemetry: &Telemetry, outcome: ConfigOutcome) {
    match outcome {
        ConfigOutcome::Made => telemetry.count("config.updates"),
        ConfigOutcome::Unrecorded => telemetry.count("config.updates_unrecorded"),
        ConfigOutcome::Refused => telemetry.count("config.updates_refused"),
        ConfigOutcome::CheckpointFailed => telemetry.count("config.checkpoints_failed"),
        _ => {}
    }
}

/// The event store uses no telemetry, so that telemetry could use it: its retention is reported here instead.
fn report_retention(telemetry: &Telemetry, report: &RetentionReport) {
    let RetentionReport { by_age, by_count, by_bytes, clock_ahead, took, failure, .. } = report;
    if let Some(failure) = failure {
        tracing::warn!(%failure, "the retention of events was not carried through");
    }
    let measurements = [("pruned", report.pruned() as f64), ("duration_ms", took.as_secs_f64() * 1e3)];
    let metadata = json!({ "by_age": by_age, "by_count": by_count, "by_bytes": by_bytes,
        "clock_ahead_ms": clock_ahead.as_secs_f64() * 1e3, "failure": failure });
    telemetry.execute("event_store.retention", &measurements, &metadata);
}
