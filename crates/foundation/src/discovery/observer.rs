//! What happens to instances, as events of the log and as measurements.
//!
//! Discovery knows neither the event store nor telemetry: they meet here.

use std::sync::{Arc, OnceLock};

use foundation_discovery::health::{InstanceStatus, StatusCounts};
use foundation_discovery::{Discovery, DiscoveryEvent, DiscoveryObserver, DiscoveryOptions};
use foundation_events::{EventLimits, EventStore};
use foundation_kernel::instruments::{Counter, Gauge};
use foundation_kernel::names::{ServiceName, ServiceRegistry};
use foundation_telemetry::{Family, Telemetry, TelemetryError, built_in};

use super::recording::DiscoveryRecording;
use crate::record_queue::RecordQueue;

/// The most services that are measured apart; the others are measured together.
const MAX_SERVICES: usize = 256;

/// Discovery in each namespace of a foundation.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiscoveryLayout {
    pub(crate) options: DiscoveryOptions,
    pub(crate) recording: DiscoveryRecording,
}

impl DiscoveryLayout {
    /// Begins the discovery of a namespace, before any of its services is made.
    pub(crate) fn install(&self, names: &ServiceRegistry, limits: &EventLimits, kept: usize) {
        let records = RecordQueue::new(EventStore::of(names), DiscoveryRecording::DISCOVERY_EVENTS_LOST, kept);
        let (recording, limits, measures) = (self.recording, limits.clone(), OnceLock::new());
        let observer = Records { recording, limits, records, measures };
        Discovery::with_options(names, self.options.clone().observer(Arc::new(observer)));
    }
}

/// Records and counts what happens to the instances of one namespace.
struct Records {
    recording: DiscoveryRecording,
    limits: EventLimits,
    records: Arc<RecordQueue>,
    /// Made with the first event: most namespaces have no instances.
    measures: OnceLock<Option<Measures>>,
}

struct Measures {
    instances: Family<Gauge>,
    ejections: Family<Counter>,
}

impl DiscoveryObserver for Records {
    fn on_event(&self, names: &ServiceRegistry, event: &DiscoveryEvent) {
        if let Some(event) = self.recording.event(event, &self.limits) {
            self.records.record(Some(event));
        }
        let measures = self.measures.get_or_init(|| Measures::new(&Telemetry::of(names)).ok());
        if let (Some(measures), Some(service)) = (measures, event.service()) {
            measures.measure(service, event, &Discovery::of(names).service_health(service).counts);
        }
    }
}

impl Measures {
    fn new(telemetry: &Telemetry) -> Result<Self, TelemetryError> {
        Ok(Self {
            instances: telemetry.family(built_in::DISCOVERY_INSTANCES, MAX_SERVICES * STATUSES.len())?,
            ejections: telemetry.family(built_in::DISCOVERY_EJECTIONS, MAX_SERVICES)?,
        })
    }

    fn measure(&self, service: &ServiceName, event: &DiscoveryEvent, counts: &StatusCounts) {
        if let DiscoveryEvent::InstanceEjected { .. } = event {
            self.ejections.update([("service", service.as_str())], Counter::increment);
            return;
        }
        for (status, name) in STATUSES {
            let labels = [("service", service.as_str()), ("status", name)];
            self.instances.update(labels, |gauge| gauge.set(counts.of(status) as f64));
        }
    }
}

const STATUSES: [(InstanceStatus, &str); 5] = [
    (InstanceStatus::Healthy, "healthy"),
    (InstanceStatus::Unknown, "unknown"),
    (InstanceStatus::Degraded, "degraded"),
    (InstanceStatus::Unhealthy, "unhealthy"),
    (InstanceStatus::Draining, "draining"),
];
