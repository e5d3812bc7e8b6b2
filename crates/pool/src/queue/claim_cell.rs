//! What the queue sees of a claim.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::job::record::JobRecord;

/// The jobs of a claim that have not been begun, and the number of the one that has been.
pub(super) struct ClaimCell<J, T> {
    /// The number of the slot of its worker.
    pub(super) slot: usize,
    pub(super) begun: AtomicU64,
    /// The numbers of the jobs that have been begun at once, in order. Locked after the rest.
    pub(super) batch: Mutex<Vec<u64>>,
    /// Locked after the queue, by the worker alone while the queue is not locked.
    pub(super) rest: Mutex<VecDeque<JobRecord<J, T>>>,
}

impl<J, T> ClaimCell<J, T> {
    pub(super) fn new(slot: usize) -> Self {
        Self { slot, begun: AtomicU64::new(0), batch: Mutex::default(), rest: Mutex::new(VecDeque::new()) }
    }

    /// A job that was begun at once with others is none of them any more.
    pub(super) fn forget_of_batch(&self, number: u64) {
        self.batch.lock().retain(|other| *other != number);
    }

    /// How many jobs it has.
    pub(super) fn held(&self) -> usize {
        let waiting = self.rest.lock().len();
        waiting + self.batch.lock().len() + usize::from(self.begun.load(Ordering::Relaxed) > 0)
    }
}

/// The jobs of a claim that have gone to their owners since the queue was locked last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) done: u64,
}
