//! The state shared by the handles on one set of partitions.

use std::num::NonZeroUsize;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::Mutex;

use super::slots::{Partition, PartitionSlots};
use crate::containment::drop_contained;
use crate::supervisor::Supervisor;

/// The state shared by the handles on one set of partitions.
pub(super) struct Partitions<P> {
    pub(super) slots: Arc<PartitionSlots<P>>,
    /// The supervisor that runs them now, or did last.
    pub(super) supervisor: RwLock<Option<Supervisor>>,
    /// Held during a resize.
    pub(super) resizing: Mutex<()>,
}

impl<P: Partition> Partitions<P> {
    pub(super) fn new(partitions: NonZeroUsize) -> Self {
        Self {
            slots: Arc::new(PartitionSlots::new(partitions)),
            supervisor: RwLock::default(),
            resizing: Mutex::default(),
        }
    }

    /// Notes a supervisor that has started all of them.
    pub(super) fn supervised_by(&self, supervisor: Supervisor) {
        self.slots.set_open(self.slots.len());
        let before = self.supervisor.write().replace(supervisor);
        // Not under the lock: the last reference to a supervisor drops its unread requests.
        drop_contained("a former supervisor of partitions", before);
    }
}
