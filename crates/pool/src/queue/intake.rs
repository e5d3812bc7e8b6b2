//! Jobs that come in while all workers are busy: they need not wait for the lock of the queue.
//!
//! 1. It takes jobs only while it is open. It is opened, emptied and closed under the lock of the queue only.
//! 2. It is open only while no task waits for the queue, so that no job in it has a task to wake. A task that is about to
//!    wait closes it first, and looks at what has come in until then.
//! 3. The numbers of its jobs follow those that the queue has given before, and the queue gives none while it is open.
//! 4. Jobs about which the queue has to decide more than whether there is room for them do not come in here.

use std::mem;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::new_job::NewJob;
use crate::job::id::JobId;
use crate::job::record::JobRecord;

/// Jobs that were taken, and that the queue has not seen yet.
pub(super) struct Intake<J, T>(Mutex<Inner<J, T>>);

struct Inner<J, T> {
    jobs: Vec<JobRecord<J, T>>,
    /// For how many jobs there is room; zero while it is closed.
    room: usize,
    /// The number of the job that was accepted last.
    accepted: u64,
}

impl<J, T> Default for Intake<J, T> {
    fn default() -> Self {
        Self(Mutex::new(Inner { jobs: Vec::new(), room: 0, accepted: 0 }))
    }
}

impl<J, T> Intake<J, T> {
    /// Takes a job, if it is open and has room; otherwise the queue decides.
    #[allow(clippy::result_large_err, reason = "a refused job goes back as it came, of any size")]
    pub(super) fn put(&self, new: NewJob<J, T>, now: Instant) -> Result<JobId, NewJob<J, T>> {
        if !new.needs_only_room() {
            return Err(new);
        }
        let mut inner = self.0.lock();
        if inner.jobs.len() >= inner.room {
            return Err(new);
        }
        inner.accepted += 1;
        let id = JobId::new(inner.accepted);
        inner.jobs.push(new.accepted(id, now));
        Ok(id)
    }

    /// Takes jobs from now on, at most this many; the last that was accepted has this number.
    pub(super) fn open(&self, room: usize, accepted: u64) {
        let mut inner = self.0.lock();
        (inner.room, inner.accepted) = (room, accepted);
    }

    /// Exchanges its jobs for none, and has room for so many less: they still wait.
    pub(super) fn empty_into(&self, jobs: &mut Vec<JobRecord<J, T>>) {
        let mut inner = self.0.lock();
        mem::swap(&mut inner.jobs, jobs);
        inner.room = inner.room.saturating_sub(jobs.len());
    }

    /// Takes no jobs from now on; its jobs are exchanged for none.
    pub(super) fn close_into(&self, jobs: &mut Vec<JobRecord<J, T>>) {
        let mut inner = self.0.lock();
        mem::swap(&mut inner.jobs, jobs);
        inner.room = 0;
    }
}
