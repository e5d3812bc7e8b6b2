//! Jobs that a worker performs at once.

use std::fmt;

use foundation_kernel::supervision::TaskStop;
use tokio::time::Instant;

use super::failure::JobFailure;
use super::id::JobId;
use super::key::JobKey;
use super::record::JobRecord;

/// The jobs that a worker has claimed, for one that gains from performing them at once: see
/// [`Worker::perform_batch`](crate::Worker::perform_batch).
pub struct Batch<'a, J, T> {
    source: &'a mut (dyn BatchSource<J, T> + Send),
    stop: &'a TaskStop,
}

/// Where the jobs of a batch are until they are begun, and are kept from then on.
pub(crate) trait BatchSource<J, T> {
    /// How many jobs there are.
    fn len(&self) -> usize;

    /// Begins them, the first time, and shows them.
    fn begin(&mut self) -> &mut [BatchJob<J, T>];

    /// Notes that the worker gets on.
    fn progress(&self);
}

impl<J, T> fmt::Debug for Batch<'_, J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<'a, J, T> Batch<'a, J, T> {
    pub(crate) fn new(source: &'a mut (dyn BatchSource<J, T> + Send), stop: &'a TaskStop) -> Self {
        Self { source, stop }
    }

    /// How many jobs it has.
    pub fn len(&self) -> usize {
        self.source.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins all jobs of the batch, and lends them: from now on each has been attempted. A second call shows the same jobs.
    pub fn begin(&mut self) -> &mut [BatchJob<J, T>] {
        self.source.begin()
    }

    /// As [`JobContext::progress`](crate::JobContext::progress), for all of them.
    pub fn progress(&self) {
        self.source.progress();
    }

    /// As [`JobContext::stop`](crate::JobContext::stop).
    pub fn stop(&self) -> &TaskStop {
        self.stop
    }
}

/// One job of a [`Batch`], and its outcome once that is known.
pub struct BatchJob<J, T> {
    pub(crate) record: JobRecord<J, T>,
    pub(crate) outcome: Option<Result<T, JobFailure>>,
}

impl<J, T> fmt::Debug for BatchJob<J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchJob").field("id", &self.id()).field("has_ended", &self.has_ended()).finish_non_exhaustive()
    }
}

impl<J, T> BatchJob<J, T> {
    /// The job, which is lent: what is left of it is tried again or given back.
    pub fn job(&mut self) -> &mut J {
        &mut self.record.job
    }

    /// The number of the job.
    pub fn id(&self) -> JobId {
        self.record.id
    }

    /// When the pool took the job.
    pub fn accepted(&self) -> Instant {
        self.record.accepted
    }

    /// The key of the job, if it has one.
    pub fn key(&self) -> Option<&str> {
        self.record.options.as_ref()?.key.as_ref().map(JobKey::as_str)
    }

    /// Ends the job, with its output or its error. Its caller gets it when the worker returns the batch. Returns an outcome
    /// that the job had before, which this one replaces.
    pub fn end(&mut self, outcome: Result<T, JobFailure>) -> Option<Result<T, JobFailure>> {
        self.outcome.replace(outcome)
    }

    /// Whether it has an outcome.
    pub fn has_ended(&self) -> bool {
        self.outcome.is_some()
    }
}
