//! What a namespace's tree consists of: the one place that knows all services.

use std::sync::Arc;

use foundation_core::{
    ChildSpec, Measurement, ProcessRegistry, ProcessRegistryBuilder, RestartIntensity, ServiceRegistry, Strategy,
    SupervisorSpec,
};

use super::reporter::EventReporter;
use super::services::Services;
use crate::config::ConfigTree;
use crate::events::{Clock, EventStore};

pub(super) type MakeChild = Arc<dyn Fn(&Services) -> ChildSpec + Send + Sync>;

/// The services and the application of every namespace of one foundation.
#[derive(Clone)]
pub(super) struct Layout {
    pub(super) config: Arc<ConfigTree>,
    pub(super) clock: Clock,
    pub(super) children: Vec<MakeChild>,
    pub(super) strategy: Strategy,
    pub(super) intensity: RestartIntensity,
    pub(super) measurement: Measurement,
}

impl Layout {
    /// A registry whose namespaces are laid out like this.
    pub(super) fn registry(self: Arc<Self>) -> ProcessRegistryBuilder {
        let application = Arc::clone(&self);
        ProcessRegistry::builder()
            .measurement(self.measurement)
            .services(move |registry| self.services(registry))
            .application(move |registry| application.application(registry))
            .reporters(|registry| Arc::new(EventReporter::new(EventStore::of(registry))))
    }

    /// In the order in which they need each other: a config server replays its events before it serves.
    fn services(&self, registry: &ServiceRegistry) -> Vec<ChildSpec> {
        let services = Services::of(registry, &self.config);
        vec![
            services.telemetry().child_spec(registry),
            EventStore::child_spec(registry, Arc::clone(&self.clock)),
            services.config().child_spec(registry),
        ]
    }

    fn application(&self, registry: &ServiceRegistry) -> SupervisorSpec {
        let services = Services::of(registry, &self.config);
        let children = self.children.iter().map(|make| make(&services));
        SupervisorSpec::new(self.strategy).intensity(self.intensity).children(children)
    }
}
