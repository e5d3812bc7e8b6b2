//! Managed services in each namespace of a foundation, and what happens to them as events of the log and as measurements.
//!
//! Managed services know no telemetry: they meet here.

use std::sync::{Arc, OnceLock};

use foundation_events::{EventLimits, EventStore};
use foundation_kernel::instruments::{Counter, Gauge};
use foundation_kernel::names::ServiceRegistry;
use foundation_managed::{KindError, KindSet, ManagedObserver, ServiceChange, ServiceKind, ServiceStatus};
use foundation_telemetry::{Family, Telemetry, TelemetryError, built_in};

use super::recording::ManagedRecording;
use crate::record_queue::RecordQueue;

/// Managed services in each namespace of a foundation.
#[derive(Clone, Debug, Default)]
pub(crate) struct ManagedLayout {
    pub(crate) kinds: KindSet,
    /// Whether namespaces have managed services although there is no kind.
    pub(crate) without_kinds: bool,
    /// The first kind that was refused.
    refused: Option<KindError>,
    pub(crate) recording: ManagedRecording,
}

impl ManagedLayout {
    pub(crate) fn add_kind<K: ServiceKind>(&mut self, kind: K) {
        if let Err(error) = self.kinds.insert(kind) {
            self.refused.get_or_insert(error);
        }
    }

    /// Whether each namespace has managed services: one that needs none has no part of them.
    pub(crate) fn is_used(&self) -> bool {
        self.without_kinds || !self.kinds.is_empty()
    }

    pub(crate) fn check(&self) -> Result<(), KindError> {
        self.refused.clone().map_or(Ok(()), Err)
    }

    /// Records and counts what happens to the managed services of a namespace, within these limits of its log.
    pub(crate) fn observer(
        &self,
        names: &ServiceRegistry,
        limits: &EventLimits,
        kept: usize,
    ) -> Arc<dyn ManagedObserver> {
        let records = RecordQueue::new(EventStore::of(names), ManagedRecording::MANAGED_EVENTS_LOST, kept);
        let (recording, limits, measures) = (self.recording, limits.clone(), OnceLock::new());
        Arc::new(Records { recording, limits, records, measures })
    }
}

/// Records and counts what happens to the managed services of one namespace.
struct Records {
    recording: ManagedRecording,
    limits: EventLimits,
    records: Arc<RecordQueue>,
    /// Made with the first call: a namespace may never have a service.
    measures: OnceLock<Option<Measures>>,
}

struct Measures {
    services: Family<Gauge>,
    transitions: Family<Counter>,
}

impl ManagedObserver for Records {
    fn on_changes(&self, names: &ServiceRegistry, changes: &[ServiceChange], statuses: &[(ServiceStatus, usize)]) {
        for event in changes.iter().filter_map(|change| self.recording.event(change, &self.limits)) {
            self.records.record(Some(event));
        }
        if let Some(measures) = self.measures.get_or_init(|| Measures::new(&Telemetry::of(names)).ok()) {
            measures.measure(changes, statuses);
        }
    }
}

impl Measures {
    fn new(telemetry: &Telemetry) -> Result<Self, TelemetryError> {
        let series = ServiceStatus::ALL.len();
        Ok(Self {
            services: telemetry.family(built_in::MANAGED_SERVICES, series)?,
            transitions: telemetry.family(built_in::MANAGED_TRANSITIONS, series)?,
        })
    }

    fn measure(&self, changes: &[ServiceChange], statuses: &[(ServiceStatus, usize)]) {
        for (status, count) in statuses {
            self.services.update([("status", status.as_str())], |gauge| gauge.set(*count as f64));
        }
        for change in changes {
            self.transitions.update([("to", change.change.to.status().as_str())], Counter::increment);
        }
    }
}
