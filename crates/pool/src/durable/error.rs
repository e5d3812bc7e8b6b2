//! The errors of durable jobs.

use std::fmt;
use std::time::Duration;

use foundation_events::EventStoreError;
use foundation_kernel::names::ServiceName;

use crate::JobId;

/// Why a durable job was not accepted. It gives the job back.
#[derive(thiserror::Error)]
#[error("the job is not recorded: {source}")]
#[non_exhaustive]
pub struct NotRecordedError<J> {
    /// The job.
    pub job: J,
    /// What the event store says. After [`EventStoreError::NoAnswer`] the job may be recorded all the same, and is performed
    /// then; with an [idempotency key](super::DurableRequest::idempotency_key) it can be put in again without harm.
    pub source: EventStoreError,
}

// By hand: a job need not be `Debug` for its error to be.
impl<J> fmt::Debug for NotRecordedError<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotRecordedError").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Why a call of a durable job has no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DurableJobError {
    /// It was not recorded, and is not performed.
    #[error("the job is not recorded: {0}")]
    NotRecorded(#[from] EventStoreError),
    /// It was accepted before: this is the id of that job, whose outcome goes to its own caller.
    #[error("the job repeats job {id}, which was accepted before")]
    Repeats {
        /// The id of the first one.
        id: JobId,
    },
    /// It has failed too often, and is not tried again.
    #[error("job {id} died: {error}")]
    Died {
        /// Its id.
        id: JobId,
        /// Why its last attempt failed.
        error: String,
    },
    /// It took longer than the caller waits. It goes on.
    #[error("job {id} took longer than {limit:?}; it goes on")]
    TimedOut {
        /// Its id.
        id: JobId,
        /// How long the caller waited.
        limit: Duration,
    },
    /// The pool ended before it performed the job. It is recorded, and is performed by the next one.
    #[error("the pool ended before it performed job {id}; the next one does")]
    Deferred {
        /// Its id.
        id: JobId,
    },
}

/// A second pool was started for the jobs of a queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the durable queue {queue} of namespace {namespace} has a pool already; a queue has one at a time")]
pub(crate) struct QueueTakenError {
    pub(crate) queue: ServiceName,
    pub(crate) namespace: String,
}
