//! What is to be done when the lock of a queue has been released: all that may run code of users.

use std::task::Waker;

use foundation_kernel::containment::wake;

use crate::dead_letters::DeadLetters;
use crate::job::ending::Ending;
use crate::job::record::JobRecord;

/// What is to be done when the lock has been released. Allocates nothing if there is nothing to do.
pub(super) struct After<J, T> {
    pub(super) wakes: Vec<Waker>,
    pub(super) ended: Vec<(JobRecord<J, T>, Ending)>,
}

impl<J, T> After<J, T> {
    pub(super) fn new() -> Self {
        Self { wakes: Vec::new(), ended: Vec::new() }
    }

    /// Wakes the tasks, and takes the jobs to their owners.
    pub(super) fn run(self, dead_letters: &DeadLetters<J>) {
        self.wakes.into_iter().for_each(wake);
        self.ended.into_iter().for_each(|(record, ending)| record.ended(ending, dead_letters));
    }
}
