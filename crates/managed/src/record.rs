//! What is shown of a managed service.

use std::collections::BTreeMap;
use std::sync::Arc;

use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::ActorId;
use serde::Serialize;

use super::batch_error::LeftBehind;
use super::fact::{DesiredState, ServiceConfig};
use super::lifecycle::{ServiceState, ServiceStatus};
use super::needs::Need;

/// A managed service as it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServiceRecord {
    /// Its name.
    pub name: ServiceName,
    /// Its kind.
    pub kind: String,
    /// Its configuration, which has no secret, or the section that it is.
    pub config: ServiceConfig,
    /// Whether it is to run.
    pub wanted: DesiredState,
    /// Its state.
    pub state: ServiceState,
    /// Which generation of it is to run: each configuration and each restart begins a new one.
    pub generation: u64,
    /// Which generation runs.
    pub running: Option<u64>,
    /// What it needs.
    pub needs: Vec<Need>,
    /// The actor that has its name.
    #[serde(serialize_with = "actor_text")]
    pub actor: Option<ActorId>,
    /// Why the last request about it failed, if it did.
    pub last_error: Option<String>,
}

fn actor_text<S: serde::Serializer>(actor: &Option<ActorId>, serializer: S) -> Result<S::Ok, S::Error> {
    match actor {
        Some(actor) => serializer.collect_str(actor),
        None => serializer.serialize_none(),
    }
}

impl ServiceRecord {
    /// Its status.
    pub fn status(&self) -> ServiceStatus {
        self.state.status()
    }
}

/// How far a batch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BatchPhase {
    /// It waits until its services are not being started, stopped or replaced any more.
    Waiting,
    /// Its steps are being taken, or taken back.
    Running,
}

/// A batch that has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PendingBatch {
    /// How far it has come.
    pub phase: BatchPhase,
    /// The services that it is about, sorted by name.
    pub services: Vec<ServiceName>,
}

/// What is shown of batches.
#[derive(Debug, Default)]
pub(super) struct BatchRecords {
    pub(super) pending: Option<PendingBatch>,
    /// What the last batch could not take back.
    pub(super) left_behind: Vec<LeftBehind>,
}

/// The records of all managed services, by name.
pub(super) type Records = BTreeMap<ServiceName, Arc<ServiceRecord>>;

/// How many services have each status.
pub(super) fn status_counts(records: &Records) -> [(ServiceStatus, usize); 6] {
    ServiceStatus::ALL.map(|status| (status, records.values().filter(|record| record.status() == status).count()))
}
