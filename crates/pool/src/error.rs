//! The errors of a pool: of its specification, of what is put in, and of a job.

use std::fmt;
use std::time::Duration;

use foundation_kernel::containment::error_text;
use foundation_kernel::supervision::BoxError;

use crate::job::id::JobId;

/// A specification of a pool that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// No workers, more than a pool may have, or a lower limit above the upper one.
    #[error("a pool cannot have {least} to {most} workers; give it 1 to {max}, the lower limit first")]
    Workers {
        /// The lower limit.
        least: usize,
        /// The upper limit.
        most: usize,
        /// The highest number.
        max: usize,
    },
    /// A queue without room.
    #[error("a queue without room takes no job; give it room for 1 or more")]
    NoRoom,
    /// A durable pool whose full queue drops jobs, or whose jobs expire.
    #[error("a durable pool performs each job; let its full queue wait or refuse, and give it no deadline")]
    LosesJobs,
}

/// Why a pool did not take a job, which it gives back.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum PoolError<J> {
    /// The queue has no room for another job.
    #[error("the queue of the pool is full: {queued} jobs wait")]
    Full {
        /// The job.
        job: J,
        /// How many jobs wait.
        queued: usize,
    },
    /// The pool finishes what it has, and takes nothing more.
    #[error("the pool is draining: it finishes the jobs that it has, and takes no more")]
    Draining {
        /// The job.
        job: J,
    },
    /// The pool has been drained, and has not been started again.
    #[error("the pool is not running: it has been drained")]
    NotRunning {
        /// The job.
        job: J,
    },
    /// The rate of the pool takes no more jobs at the moment.
    #[error("the pool takes no more jobs at the moment than its rate; another one in {free_in:?}")]
    OverRate {
        /// The job.
        job: J,
        /// How long until another job is taken.
        free_in: Duration,
    },
    /// A key is too long.
    #[error("a key of {length} bytes is too long; it may have {max}")]
    KeyTooLong {
        /// The job.
        job: J,
        /// The length of the key, in bytes.
        length: usize,
        /// The highest length, in bytes.
        max: usize,
    },
    /// A job with the same idempotency key is in the pool.
    #[error("the pool has a job with this idempotency key: job {id}")]
    Duplicate {
        /// The job.
        job: J,
        /// The number of the job that the pool has.
        id: JobId,
    },
}

impl<J> PoolError<J> {
    /// The job itself.
    pub fn into_job(self) -> J {
        match self {
            Self::Full { job, .. }
            | Self::Draining { job }
            | Self::NotRunning { job }
            | Self::KeyTooLong { job, .. }
            | Self::OverRate { job, .. }
            | Self::Duplicate { job, .. } => job,
        }
    }
}

// By hand, as below: a job need not be `Debug` for its error to be.
impl<J> fmt::Debug for PoolError<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolError({self})")
    }
}

/// Why a job has no output.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum JobError<J> {
    /// It was not taken in the first place.
    #[error(transparent)]
    NotAccepted(PoolError<J>),
    /// Its worker reported an error.
    #[error("job {id} failed at attempt {attempts}: {}", error_text(&**.source))]
    Failed {
        /// Its number.
        id: JobId,
        /// How often it was begun.
        attempts: u32,
        /// What the worker reported.
        source: BoxError,
        /// The job, as the worker left it.
        job: J,
    },
    /// Its worker panicked.
    #[error("the worker panicked in attempt {attempts} of job {id}: {text}")]
    Panicked {
        /// Its number.
        id: JobId,
        /// How often it was begun.
        attempts: u32,
        /// The text of the panic.
        text: String,
        /// The job, as the worker left it.
        job: J,
    },
    /// It was in work for longer than it may be.
    #[error("job {id} was not done within {limit:?} at attempt {attempts}")]
    OutOfTime {
        /// Its number.
        id: JobId,
        /// How often it was begun.
        attempts: u32,
        /// How long an attempt may take.
        limit: Duration,
        /// The job, as the worker left it.
        job: J,
    },
    /// Its worker was ended while it performed the job, again and again.
    #[error("the worker was ended in attempt {attempts} of job {id}")]
    Interrupted {
        /// Its number.
        id: JobId,
        /// How often it was begun.
        attempts: u32,
        /// The job, as the worker left it.
        job: J,
    },
    /// It waited for longer than it may.
    #[error("job {id} was not begun in time: it waited for {waited:?}")]
    Expired {
        /// Its number.
        id: JobId,
        /// How long it waited.
        waited: Duration,
        /// The job.
        job: J,
    },
    /// It gave way in a full queue.
    #[error("job {id} gave way to another one in a full queue")]
    Dropped {
        /// Its number.
        id: JobId,
        /// The job.
        job: J,
    },
    /// The caller stopped waiting. The job goes on; what becomes of it goes to the dead letters, if it fails.
    #[error("job {id} took longer than {limit:?}; it goes on")]
    TimedOut {
        /// Its number.
        id: JobId,
        /// How long the caller waited.
        limit: Duration,
    },
    /// The pool ended before it was done.
    #[error("the pool ended before job {id} was done")]
    Returned {
        /// Its number.
        id: JobId,
        /// The job.
        job: J,
    },
    /// The runtime of the pool is gone, and the job with it.
    #[error("the pool is gone, and job {id} with it")]
    Gone {
        /// Its number.
        id: JobId,
    },
}

impl<J> JobError<J> {
    /// The job itself, if it came back.
    pub fn into_job(self) -> Option<J> {
        match self {
            Self::NotAccepted(error) => Some(error.into_job()),
            Self::Failed { job, .. }
            | Self::Panicked { job, .. }
            | Self::OutOfTime { job, .. }
            | Self::Interrupted { job, .. }
            | Self::Expired { job, .. }
            | Self::Dropped { job, .. }
            | Self::Returned { job, .. } => Some(job),
            Self::TimedOut { .. } | Self::Gone { .. } => None,
        }
    }
}

impl<J> fmt::Debug for JobError<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobError({self})")
    }
}

impl<J> From<PoolError<J>> for JobError<J> {
    fn from(error: PoolError<J>) -> Self {
        Self::NotAccepted(error)
    }
}
