//! What happens to instances, as events of the log and as measurements.
//!
//! Discovery knows neither the event store nor telemetry: they meet here.

use std::sync::{Arc, OnceLock};

use foundation_discovery::{Discovery, DiscoveryEvent, DiscoveryObserver, DiscoveryOptions};
use foundation_events::{EventLimits, EventStore};
use foundation_kernel::instruments::{Counter, Gauge};
use foundation_kernel::names::{ServiceName, ServiceRegistry};
use foundation_telemetry::{Family, Labels, Telemetry, TelemetryError, built_in};
use parking_lot::Mutex;

use super::instance_counts::{CountChange, InstanceCounts, MAX_SERVICES, STATUSES};
use super::meter::TelemetryMeter;
use super::recording::DiscoveryRecording;
use crate::record_queue::RecordQueue;

/// Discovery in each namespace of a foundation.
#[derive(Clone, Debug)]
pub(crate) struct DiscoveryLayout {
    options: DiscoveryOptions,
    pub(crate) recording: DiscoveryRecording,
}

impl Default for DiscoveryLayout {
    fn default() -> Self {
        Self::new(DiscoveryOptions::new(), DiscoveryRecording::default())
    }
}

impl DiscoveryLayout {
    pub(crate) fn new(options: DiscoveryOptions, recording: DiscoveryRecording) -> Self {
        Self { options: options.measured_by(TelemetryMeter), recording }
    }

    pub(crate) fn options(&self) -> &DiscoveryOptions {
        &self.options
    }

    /// Begins the discovery of a namespace, before any of its parts is made.
    pub(crate) fn prepare(&self, names: &ServiceRegistry) {
        Discovery::with_options(names, self.options.clone());
    }

    /// Records and counts what happens to the instances of a namespace, within these limits of its log.
    pub(crate) fn observer(
        &self,
        names: &ServiceRegistry,
        limits: &EventLimits,
        kept: usize,
    ) -> Arc<dyn DiscoveryObserver> {
        let records = RecordQueue::new(EventStore::of(names), DiscoveryRecording::DISCOVERY_EVENTS_LOST, kept);
        let (recording, limits, measures) = (self.recording, limits.clone(), OnceLock::new());
        Arc::new(Records { recording, limits, records, measures })
    }
}

/// Records and counts what happens to the instances of one namespace.
struct Records {
    recording: DiscoveryRecording,
    limits: EventLimits,
    records: Arc<RecordQueue>,
    /// Made with the first event: most namespaces have no instances. After a failure, with the next one.
    measures: OnceLock<Measures>,
}

struct Measures {
    instances: Family<Gauge>,
    counts: Mutex<InstanceCounts>,
    ejections: Family<Counter>,
}

impl DiscoveryObserver for Records {
    fn on_event(&self, names: &ServiceRegistry, event: &DiscoveryEvent) {
        if let Some(event) = self.recording.event(event, &self.limits) {
            self.records.record(Some(event));
        }
        if let (Some(measures), Some(service)) = (self.measures(names), event.service()) {
            measures.measure(service, event);
        }
    }
}

impl Records {
    fn measures(&self, names: &ServiceRegistry) -> Option<&Measures> {
        if let Some(measures) = self.measures.get() {
            return Some(measures);
        }
        let namespace = names.namespace();
        let made = Measures::new(&Telemetry::of(names));
        let made = made.inspect_err(|error| tracing::warn!(%namespace, %error, "instances are not measured"));
        made.ok().map(|made| self.measures.get_or_init(|| made))
    }
}

impl Measures {
    fn new(telemetry: &Telemetry) -> Result<Self, TelemetryError> {
        Ok(Self {
            instances: telemetry.family(built_in::DISCOVERY_INSTANCES, MAX_SERVICES * STATUSES.len())?,
            counts: Mutex::new(InstanceCounts::new(MAX_SERVICES)),
            ejections: telemetry.family(built_in::DISCOVERY_EJECTIONS, MAX_SERVICES)?,
        })
    }

    fn measure(&self, service: &ServiceName, event: &DiscoveryEvent) {
        if let DiscoveryEvent::InstanceEjected { .. } = event {
            self.ejections.update([("service", service.as_str())], Counter::increment);
        }
        let change = self.counts.lock().apply(event);
        let labels = |status| [("service", service.as_str()), ("status", status)];
        match change {
            Some(CountChange::Set(counts)) => {
                for ((_, status), count) in STATUSES.iter().zip(counts) {
                    self.instances.update(labels(status), |gauge| gauge.set(count as f64));
                }
            }
            Some(CountChange::Gone) => {
                for labels in STATUSES.iter().filter_map(|(_, status)| Labels::new(labels(status)).ok()) {
                    self.instances.remove(&labels);
                }
            }
            None => {}
        }
    }
}
