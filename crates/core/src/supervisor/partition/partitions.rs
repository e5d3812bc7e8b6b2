//! What the handles on one set of partitions share.

use std::num::NonZeroUsize;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::Mutex;

use super::seats::{Partition, Seats};
use crate::containment::drop_contained;
use crate::supervisor::Supervisor;

/// What the handles on one set of partitions share.
pub(super) struct Partitions<P> {
    pub(super) seats: Arc<Seats<P>>,
    /// Who supervises them now, or did last.
    pub(super) supervisor: RwLock<Option<Supervisor>>,
    /// Held by whoever resizes.
    pub(super) resizing: Mutex<()>,
}

impl<P: Partition> Partitions<P> {
    pub(super) fn new(partitions: NonZeroUsize) -> Self {
        Self { seats: Arc::new(Seats::new(partitions)), supervisor: RwLock::default(), resizing: Mutex::default() }
    }

    /// Takes note of a supervisor that has started all of them.
    pub(super) fn supervised_by(&self, supervisor: Supervisor) {
        self.seats.set_open(self.seats.len());
        let before = self.supervisor.write().replace(supervisor);
        // Not under the lock: with the last reference to a supervisor go the requests that it has not read.
        drop_contained("a former supervisor of partitions", before);
    }
}
