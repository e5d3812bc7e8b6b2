//! A job that is not taken yet, and why it may not be.

use std::time::Duration;

use crate::error::PoolError;
use crate::job::id::JobId;
use crate::job::record::{JobOptions, Reply};

/// A job that is not taken yet.
pub(crate) struct NewJob<J, T> {
    pub(crate) job: J,
    pub(crate) reply: Option<Reply<J, T>>,
    pub(crate) options: JobOptions,
}

/// Why a job is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Full { queued: usize },
    Draining,
    Closed,
    Duplicate(JobId),
    OverRate { free_in: Duration },
}

/// Which room a job is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Room that is neither taken nor reserved.
    Free,
    /// The room that is reserved for its sender.
    Reserved,
}

impl<J, T> NewJob<J, T> {
    pub(super) fn refused(self, refusal: Refusal) -> PoolError<J> {
        let job = self.job;
        match refusal {
            Refusal::Full { queued } => PoolError::Full { job, queued },
            Refusal::Draining => PoolError::Draining { job },
            Refusal::Closed => PoolError::NotRunning { job },
            Refusal::Duplicate(id) => PoolError::Duplicate { job, id },
            Refusal::OverRate { free_in } => PoolError::OverRate { job, free_in },
        }
    }
}
