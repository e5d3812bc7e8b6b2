//! What is shown of all managed services: their records, and the changes of their lifecycles.

use std::fmt;
use std::sync::{Arc, OnceLock};

use foundation_kernel::containment::waking_contained;
use foundation_kernel::names::ServiceRegistry;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::change::ServiceChange;
use super::observer::Observer;
use super::record::{Records, ServiceRecord, status_counts};

/// How many changes a watch may be behind.
const MAX_UNREAD: usize = 1_024;

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
    pub(super) fn show(&self, records: Arc<Records>, changes: Vec<ServiceChange>) {
        if let Some(observer) = self.observer.get() {
            observer.notify(&changes, &status_counts(&records));
        }
        self.records.send_replace(records);
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
