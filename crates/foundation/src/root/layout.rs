//! What a namespace's tree consists of: the one place that knows all services.

use std::sync::Arc;

use foundation_core::{
    ChildSpec, Measurement, Namespace, ProcessRegistry, ProcessRegistryBuilder, RestartIntensity, ServiceRegistry,
    Strategy, SupervisorSpec,
};
use serde_json::json;

use super::limits::Limits;
use super::reporter::EventReporter;
use super::services::Services;
use crate::config::ConfigTree;
use crate::events::{Clock, EventStorage, EventStore, RetentionReport};
use crate::telemetry::{EarlyTelemetry, Telemetry, TelemetryOptions};

pub(super) type MakeChild = Arc<dyn Fn(&Services) -> ChildSpec + Send + Sync>;

/// The services and the application of every namespace of one foundation.
#[derive(Clone)]
pub(super) struct Layout {
    pub(super) config: Arc<ConfigTree>,
    pub(super) clock: Clock,
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
}

impl Layout {
    /// A registry whose namespaces are laid out like this.
    pub(super) fn registry(self: Arc<Self>) -> ProcessRegistryBuilder {
        let (prepared, application) = (Arc::clone(&self), Arc::clone(&self));
        ProcessRegistry::builder()
            .measurement(self.measurement)
            .limits(self.limits.registry.clone())
            .prepare(move |registry| prepared.prepare(registry))
            .services(move |registry| self.services(registry))
            .application(move |registry| application.application(registry))
            .reporters(|registry| Arc::new(EventReporter::new(EventStore::of(registry))))
    }

    /// What a namespace has before any of its services is made.
    fn prepare(&self, registry: &ServiceRegistry) {
        self.limits.install(registry);
        if let (Namespace::Production, Some(early)) = (registry.namespace(), &self.early) {
            Telemetry::begin_with(registry, early);
        }
    }

    /// In the order in which they need each other: a config server replays its events before it serves.
    fn services(&self, registry: &ServiceRegistry) -> Vec<ChildSpec> {
        let services = Services::of(registry, &self.config);
        vec![
            services.telemetry().child_spec_with(registry, self.telemetry.clone()),
            self.event_store(registry, services.telemetry().clone()),
            services.config().child_spec(registry),
        ]
    }

    fn event_store(&self, registry: &ServiceRegistry, telemetry: Telemetry) -> ChildSpec {
        let storage = match registry.namespace() {
            Namespace::Production => &self.events,
            Namespace::Test(_) => &self.test_events,
        };
        let told = move |report: &RetentionReport| report_retention(&telemetry, report);
        EventStore::child_spec(registry, storage, Arc::clone(&self.clock), told)
    }

    fn application(&self, registry: &ServiceRegistry) -> SupervisorSpec {
        let services = Services::of(registry, &self.config);
        let children = self.children.iter().map(|make| make(&services));
        SupervisorSpec::new(self.strategy).intensity(self.intensity).children(children)
    }
}

/// The event store uses no telemetry, so that telemetry could use it: what it has to tell is told here.
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
