//! What belongs to the specification of a pool and outlives every life of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::control::Control;
use crate::queue::job_queue::JobQueue;
use crate::stats::pool_stats::PoolStats;
use crate::stats::worker_stats::WorkerState;
use crate::worker::crew::Crew;

/// What belongs to the specification of a pool: its queue, and the way to its workers.
pub(crate) struct Shared<J, T> {
    pub(crate) queue: Arc<JobQueue<J, T>>,
    pub(crate) crew: Crew,
    /// How many [attachments](crate::attachment::Attachment) there are.
    pub(crate) attachments: AtomicUsize,
    /// Its rules, slots and events.
    pub(crate) control: Arc<Control>,
}

impl<J, T> Shared<J, T> {
    /// Takes jobs and gives them out again.
    pub(crate) fn open(&self) {
        self.queue.open();
        self.control.opened.notify_waiters();
    }

    /// What the pool does, and what it has done so far.
    pub(crate) fn stats(&self) -> PoolStats {
        let (queue, workers) = (self.queue.figures(), self.control.workers(&[]));
        let live = workers.iter().filter(|worker| worker.state != WorkerState::Down);
        let is_stuck = |state| matches!(state, WorkerState::Slow { .. } | WorkerState::Blocking { .. });
        let accounts = queue.accounts;
        PoolStats {
            workers: live.count(),
            wanted: self.control.wanted(),
            stuck: workers.iter().filter(|worker| is_stuck(worker.state)).count(),
            busy_share: workers.iter().map(|worker| worker.busy_share).sum::<f64>() / workers.len().max(1) as f64,
            per_second: workers.iter().map(|worker| worker.per_second).sum(),
            paused: queue.paused,
            queued_by_priority: queue.queued_by_priority,
            delayed: queue.delayed,
            in_work: queue.claimed,
            oldest_wait: queue.oldest.map(|accepted| accepted.elapsed()),
            wait_ns: self.control.histograms().wait_ns.snapshot(),
            job_ns: self.control.histograms().job_ns.snapshot(),
            accepted: accounts.accepted,
            refused: accounts.refused,
            done: accounts.done,
            failed: accounts.failed,
            retried: accounts.retried,
            died: accounts.died,
            expired: accounts.expired,
            dropped: accounts.dropped,
            returned: accounts.returned,
        }
    }
}

impl<J, T> fmt::Debug for Shared<J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("crew", &self.crew).finish_non_exhaustive()
    }
}
