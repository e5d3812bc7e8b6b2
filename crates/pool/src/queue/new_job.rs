//! A job that is not taken yet, and why it may not be.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::PoolError;
use crate::job::id::JobId;
use crate::job::key::JobKey;
use crate::job::record::{JobOptions, JobRecord, Reply};

/// A job that is not taken yet.
pub(crate) struct NewJob<J, T> {
    pub(crate) job: J,
    pub(crate) reply: Option<Reply<J, T>>,
    /// Its priority: the most urgent is 0; beyond the last it is the last.
    pub(crate) level: u8,
    pub(crate) options: Option<Box<JobOptions>>,
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
    /// Of the jobs with the same one, the pool has at most one.
    pub(super) fn unique(&self) -> Option<&JobKey> {
        self.options.as_ref()?.unique.as_ref()
    }

    /// The time before which it is not begun.
    pub(super) fn delay(&self) -> Option<Duration> {
        self.options.as_ref()?.delay
    }

    /// Whether all that it needs is room: it waits for no time, for none too long, and is alike to no other.
    pub(super) fn needs_only_room(&self) -> bool {
        self.options
            .as_ref()
            .is_none_or(|options| options.unique.is_none() && options.delay.is_none() && options.deadline.is_none())
    }

    /// The job as it is kept from its acceptance on.
    pub(super) fn accepted(self, id: JobId, now: Instant) -> JobRecord<J, T> {
        let Self { job, reply, level, options } = self;
        JobRecord { id, attempts: 0, level, accepted: now, job, reply, options }
    }

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
