//! What a worker learns of a job beside the job itself.

use foundation_kernel::supervision::TaskStop;
use tokio::time::Instant;

use super::id::JobId;
use crate::stats::worker_cells::WorkerCells;

/// What a worker learns of a job beside the job itself.
#[derive(Debug)]
pub struct JobContext<'a> {
    pub(crate) id: JobId,
    pub(crate) attempt: u32,
    pub(crate) accepted: Instant,
    pub(crate) key: Option<&'a str>,
    pub(crate) stop: &'a TaskStop,
    pub(crate) cells: &'a WorkerCells,
}

impl JobContext<'_> {
    /// The number of the job.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Which attempt this is, from 1. A worker that panicked or was killed while it had the job was an attempt, too.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the pool took the job.
    pub fn accepted(&self) -> Instant {
        self.accepted
    }

    /// The key of the job, if it has one.
    pub fn key(&self) -> Option<&str> {
        self.key
    }

    /// Notes that the job gets on: a job that lasts counts as [slow](crate::Stuck::slow_after) only when it has noted nothing for
    /// so long. The note is shown in [`CurrentJob::progress`](crate::CurrentJob::progress). Costs a reading of the clock; without
    /// [measurement](crate::Measurement::Off) it is of no effect.
    pub fn progress(&self) {
        self.cells.progress();
    }

    /// The notification that the worker is asked to stop. It then has the time of its
    /// [shutdown rule](crate::PoolSpec::worker_shutdown); a job that it does not finish in it is tried again.
    pub fn stop(&self) -> &TaskStop {
        self.stop
    }
}
