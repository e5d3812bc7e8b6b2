//! How a job can end.

use std::time::Duration;

use foundation_kernel::supervision::BoxError;

use super::id::JobId;
use crate::error::JobError;
use crate::overflow::WhenFull;

/// Why a job has no output.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Its worker reported an error.
    Failed(BoxError),
    /// Its worker panicked.
    Panicked(String),
    /// It was in work for longer than it may be.
    OutOfTime(Duration),
    /// Its worker was ended while it had the job.
    Interrupted,
    /// It waited for longer than it may.
    Expired(Duration),
    /// It gave way in a full queue.
    Dropped(WhenFull),
    /// The pool has ended.
    Returned,
}

impl Ending {
    /// The error with which the job goes to its owner.
    pub(crate) fn error<J>(self, id: JobId, attempts: u32, job: J) -> JobError<J> {
        match self {
            Self::Failed(source) => JobError::Failed { id, attempts, source, job },
            Self::Panicked(text) => JobError::Panicked { id, attempts, text, job },
            Self::OutOfTime(limit) => JobError::OutOfTime { id, attempts, limit, job },
            Self::Interrupted => JobError::Interrupted { id, attempts, job },
            Self::Expired(waited) => JobError::Expired { id, waited, job },
            Self::Dropped(by) => JobError::Dropped { id, by, job },
            Self::Returned => JobError::Returned { id, job },
        }
    }
}
