//! What is shown of managed services: a record of each, and the changes of their lifecycles.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use foundation_kernel::containment::waking_contained;
use foundation_kernel::names::{ServiceName, ServiceRegistry};
use foundation_kernel::ractor::ActorId;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::change::ServiceChange;
use super::fact::{DesiredState, ServiceConfig};
use super::lifecycle::{ServiceState, ServiceStatus};
use super::needs::Need;
use super::observer::Observer;

/// How many changes a watch may be behind.
const MAX_UNREAD: usize = 1_024;

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

/// The records of all managed services, by name.
pub(super) type Records = BTreeMap<ServiceName, Arc<ServiceRecord>>;

/// How many services have each status.
pub(super) fn status_counts(records: &Records) -> [(ServiceStatus, usize); 6] {
    ServiceStatus::ALL.map(|status| (status, records.values().filter(|record| record.status() == status).count()))
}

/// An item of a [`LifecycleWatch`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LifecycleWatched {
    /// All services; the first item.
    Snapshot(Vec<Arc<ServiceRecord>>),
    /// The reader was too slow: some changes are missed, and this is what there is now.
    Lagged {
        /// How many changes are missed.
        missed: u64,
        /// All services.
        snapshot: Vec<Arc<ServiceRecord>>,
    },
    /// A service has changed.
    Change(ServiceChange),
}

/// What the readers of a namespace read: the records as of the last change, and the changes.
pub(super) struct Published {
    records: watch::Sender<Arc<Records>>,
    changes: broadcast::Sender<ServiceChange>,
    observer: OnceLock<Observer>,
}

impl Published {
    pub(super) fn new() -> Self {
        let (records, changes) = (watch::Sender::new(Arc::default()), broadcast::Sender::new(MAX_UNREAD));
        Self { records, changes, observer: OnceLock::new() }
    }

    /// Notifies this observer of the changes from now on; the first one stays.
    pub(super) fn observe(&self, observer: Observer) {
        let _ = self.observer.set(observer);
    }

    /// The records as they are.
    pub(super) fn records(&self) -> Arc<Records> {
        Arc::clone(&self.records.borrow())
    }

    /// Shows these records, and then the changes that led to them.
    pub(super) fn show(&self, records: Records, changes: Vec<ServiceChange>) {
        if let Some(observer) = self.observer.get() {
            observer.notify(&changes, &status_counts(&records));
        }
        self.records.send_replace(Arc::new(records));
        // A watch need not exist.
        changes.into_iter().for_each(|change| drop(self.changes.send(change)));
    }

    pub(super) fn watch(self: &Arc<Self>, names: &ServiceRegistry) -> LifecycleWatch {
        // Subscribe before reading: a change between the two is in both, and a reader sees it twice rather than never.
        let changes = self.changes.subscribe();
        LifecycleWatch { names: names.clone(), published: Arc::clone(self), changes, has_begun: false }
    }
}

/// The managed services, and then each change of a lifecycle.
///
/// A slow reader does not slow the manager: one that is more than 1,024 changes behind gets what there is now.
#[must_use = "a watch that is dropped sees nothing"]
pub struct LifecycleWatch {
    names: ServiceRegistry,
    published: Arc<Published>,
    changes: broadcast::Receiver<ServiceChange>,
    has_begun: bool,
}

impl LifecycleWatch {
    /// The next item; it waits for one. `None` after the last one, when the namespace has ended. This method is cancel safe.
    pub async fn next(&mut self) -> Option<LifecycleWatched> {
        if !self.has_begun {
            self.has_begun = true;
            return Some(LifecycleWatched::Snapshot(self.snapshot()));
        }
        let received = tokio::select! {
            biased;
            received = waking_contained(self.changes.recv()) => received,
            () = waking_contained(self.names.ended()) => return None,
        };
        match received {
            Ok(change) => Some(LifecycleWatched::Change(change)),
            Err(RecvError::Lagged(missed)) => Some(LifecycleWatched::Lagged { missed, snapshot: self.snapshot() }),
            Err(RecvError::Closed) => None,
        }
    }

    fn snapshot(&self) -> Vec<Arc<ServiceRecord>> {
        self.published.records().values().cloned().collect()
    }
}

impl fmt::Debug for LifecycleWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LifecycleWatch({})", self.names.namespace())
    }
}
