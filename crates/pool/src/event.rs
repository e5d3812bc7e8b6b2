//! What happens to a pool.

use std::fmt;
use std::time::Duration;

use crate::job::id::JobId;
use crate::worker::slot::Slot;

/// What happens to a pool, as a [`PoolWatch`](crate::PoolWatch) shows it and a [`PoolObserver`](crate::PoolObserver) is notified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolEvent {
    /// The pool has another number of workers, by its rules of scaling or by request.
    Resized {
        /// The number before.
        from: usize,
        /// The number now.
        to: usize,
    },
    /// A worker has begun: one of the first, one more, or one that is restarted by its supervisor.
    WorkerStarted {
        /// Its place.
        slot: Slot,
    },
    /// A worker could not begin; it is tried again after the pool's [backoff](crate::PoolSpec::backoff).
    WorkerFailedToStart {
        /// Its place.
        slot: Slot,
        /// The error.
        error: String,
    },
    /// A worker has ended.
    WorkerEnded {
        /// Its place.
        slot: Slot,
    },
    /// A worker does not get on with its job.
    WorkerStuck {
        /// Its place.
        slot: Slot,
        /// The job.
        job: JobId,
        /// For how long it has had the job.
        lasts: Duration,
        /// It computes without an await, or blocks its thread: it cannot be stopped.
        blocking: bool,
    },
    /// A stuck worker has got on, or has ended.
    WorkerRecovered {
        /// Its place.
        slot: Slot,
    },
    /// A stuck worker is replaced: killed if it is slow, left to itself if it blocks its thread.
    WorkerReplaced {
        /// Its place.
        slot: Slot,
    },
    /// The queue is full from now on.
    OverflowBegan,
    /// The queue has room again.
    OverflowEnded,
    /// A job has failed for good.
    JobDied {
        /// Its number.
        id: JobId,
        /// How often it was begun.
        attempts: u32,
        /// Why.
        error: String,
    },
    /// The pool has been drained.
    Drained {
        /// Jobs that no worker had begun, and that went back to their owners.
        returned: usize,
        /// Jobs that workers still had.
        under_way: usize,
    },
}

impl fmt::Display for PoolEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resized { from, to } => write!(f, "resized from {from} to {to} workers"),
            Self::WorkerStarted { slot } => write!(f, "{slot} has begun"),
            Self::WorkerFailedToStart { slot, error } => write!(f, "{slot} could not begin: {error}"),
            Self::WorkerEnded { slot } => write!(f, "{slot} has ended"),
            Self::WorkerStuck { slot, job, lasts, blocking: false } => {
                write!(f, "{slot} is slow: it has had job {job} for {lasts:.1?}")
            }
            Self::WorkerStuck { slot, job, lasts, .. } => {
                write!(f, "{slot} blocks its thread: it has had job {job} for {lasts:.1?}")
            }
            Self::WorkerRecovered { slot } => write!(f, "{slot} is no longer stuck"),
            Self::WorkerReplaced { slot } => write!(f, "{slot} is stuck and is replaced"),
            Self::OverflowBegan => f.write_str("the queue is full"),
            Self::OverflowEnded => f.write_str("the queue has room again"),
            Self::JobDied { id, attempts, error } => write!(f, "job {id} died at attempt {attempts}: {error}"),
            Self::Drained { returned, under_way } => {
                write!(f, "drained: {returned} jobs returned, {under_way} still under way")
            }
        }
    }
}
