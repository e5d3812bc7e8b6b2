//! What is reported of all managed services together.

use std::time::Duration;

use foundation_kernel::names::{Namespace, ServiceMeasures, ServiceName};
use foundation_kernel::supervision::Health;
use serde::Serialize;
use std::sync::Arc;

use super::batch_error::LeftBehind;
use super::kinds::KindRecord;
use super::lifecycle::{ServiceState, ServiceStatus};
use super::record::{PendingBatch, Records, ServiceRecord, status_counts};
use foundation_discovery::choice::LoadReading;

/// The figures of the managed services of a namespace.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ManagedStatistics {
    /// How many services have each status, of those that occur.
    pub statuses: Vec<(ServiceStatus, usize)>,
    /// Each service, sorted by name.
    pub services: Vec<ServiceStatistics>,
}

/// The figures of one managed service.
///
/// The messages are those that its actors have handled, as the registry measures them. The calls are those through the
/// [selectors](foundation_discovery::Selector) of discovery; they are of the present actor.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServiceStatistics {
    /// Its name.
    pub name: ServiceName,
    /// Its status.
    pub status: ServiceStatus,
    /// How many messages its actors have handled, how many of these handlings failed, how long they took, and how long ago
    /// the last one was; `None` if there was none.
    pub messages: Option<ServiceMeasures>,
    /// How many calls are in flight.
    pub in_flight: u32,
    /// How long successful calls take; `None` if there was none yet.
    #[serde(rename = "latency_ms", serialize_with = "foundation_kernel::written::some_millis")]
    pub latency: Option<Duration>,
    /// Which share of the calls succeeds, 0 to 1.
    pub success: f64,
}

impl ServiceStatistics {
    pub(super) fn new(record: &ServiceRecord, messages: Option<ServiceMeasures>, load: LoadReading) -> Self {
        let LoadReading { in_flight, latency, success, .. } = load;
        Self { name: record.name.clone(), status: record.status(), messages, in_flight, latency, success }
    }
}

/// How many services have each status, of those that occur.
pub(super) fn count_statuses(records: &Records) -> Vec<(ServiceStatus, usize)> {
    status_counts(records).into_iter().filter(|(_, count)| *count > 0).collect()
}

/// What is wrong with the managed services of a namespace.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ManagedDiagnostics {
    /// Their health together.
    pub health: Health,
    /// How many kinds are registered.
    pub kinds: usize,
    /// How many services are declared.
    pub declared: usize,
    /// The services that are unhealthy, or of which the last request failed.
    pub problems: Vec<ServiceProblem>,
    /// The batch that has not ended yet.
    pub batch: Option<PendingBatch>,
    /// Why what is wanted may be other than what is recorded, or is not known at all; `None` if it is known.
    pub unsettled: Option<String>,
    /// The steps that the last batch could not take back.
    pub left_behind: Vec<LeftBehind>,
}

/// What is wrong with one service.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServiceProblem {
    /// The service.
    pub name: ServiceName,
    /// Its state.
    pub state: ServiceState,
    /// Why its last life ended, or why the last request about it failed.
    pub last_error: Option<String>,
}

impl ServiceProblem {
    /// `None` if nothing is wrong.
    pub(super) fn of(record: &ServiceRecord) -> Option<Self> {
        let is_problem = record.status() == ServiceStatus::Unhealthy || record.last_error.is_some();
        let (name, state, last_error) = (record.name.clone(), record.state.clone(), record.last_error.clone());
        is_problem.then_some(Self { name, state, last_error })
    }
}

/// All of it as one value, to be written as JSON. It has no secrets: a configuration that is recorded has none, and a
/// section is named only.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ManagedExport {
    /// The namespace.
    #[serde(serialize_with = "foundation_kernel::written::text")]
    pub namespace: Namespace,
    /// The kinds.
    pub kinds: Vec<KindRecord>,
    /// The services.
    #[serde(serialize_with = "records")]
    pub services: Vec<Arc<ServiceRecord>>,
    /// The steps that the last batch could not take back.
    pub left_behind: Vec<LeftBehind>,
}

fn records<S: serde::Serializer>(records: &[Arc<ServiceRecord>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(records.iter().map(Arc::as_ref))
}

/// How a shutdown of the managed services ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ManagedShutdown {
    /// The services that stopped in time.
    pub stopped: Vec<ServiceName>,
    /// The services that did not, and were killed.
    pub killed: Vec<ServiceName>,
}
