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
    /// A pool without workers, or with more than a pool may have.
    #[error("a pool cannot have {asked} workers; give it 1 to {max}")]
    Workers {
        /// The number asked for.
        asked: usize,
        /// The highest number.
        max: usize,
    },
    /// A queue without room.
    #[error("a queue without room takes no job; give it room for 1 or more")]
    NoRoom,
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
}

impl<J> PoolError<J> {
    /// The job itself.
    pub fn into_job(self) -> J {
        match self {
            Self::Full { job, .. } | Self::Draining { job } | Self::NotRunning { job } => job,
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
    #[error("the job failed at attempt {attempts}: {}", error_text(&**.source))]
    Failed {
        /// How often it was begun.
        attempts: u32,
        /// What the worker reported.
        source: BoxError,
        /// The job, as the worker left it.
        job: J,
    },
    /// Its worker panicked.
    #[error("the worker panicked in attempt {attempts} of the job: {text}")]
    Panicked {
        /// How often it was begun.
        attempts: u32,
        /// The text of the panic.
        text: String,
        /// The job, as the worker left it.
        job: J,
    },
    /// The caller stopped waiting. The job goes on, and its outcome is dropped.
    #[error("job {id} took longer than {limit:?}; it goes on")]
    TimedOut {
        /// The number of the job.
        id: JobId,
        /// How long the caller waited.
        limit: Duration,
    },
    /// The pool ended before the job was done, and gives it back.
    #[error("the pool ended before it performed the job")]
    Returned {
        /// The job.
        job: J,
    },
    /// The pool ended with the job, without a word: its runtime is gone.
    #[error("the pool is gone, and the job with it")]
    Gone,
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
