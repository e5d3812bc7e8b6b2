//! Durable jobs that a worker performs at once.
//!
//! 1. A job that is lent is put back, with its outcome, however the worker's future ends.
//! 2. Jobs whose begin has to be recorded first are not lent: each is performed by itself.

use super::job::DurableJob;
use super::settlement::noted;
use super::shared::Shared;
use crate::job::batch::{Batch, BatchJob, BatchSource};
use crate::job::failure::JobFailure;
use crate::job::id::JobId;
use crate::job::record::{JobOptions, JobRecord};

/// The jobs of a batch, lent to the worker of the user from when that begins them.
pub(super) struct LentJobs<'b, 'a, J, T: Send + 'static> {
    batch: &'b mut Batch<'a, DurableJob<J>, T>,
    shared: &'b Shared<T>,
    lent: Vec<BatchJob<J, T>>,
    progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Offered,
    Begun,
    /// The worker has returned, and had begun them.
    Returned,
    /// The worker has returned, and had not.
    Declined,
}

impl<'b, 'a, J, T: Send + 'static> LentJobs<'b, 'a, J, T> {
    pub(super) fn new(batch: &'b mut Batch<'a, DurableJob<J>, T>, shared: &'b Shared<T>) -> Self {
        Self { batch, shared, lent: Vec::new(), progress: Progress::Offered }
    }

    /// Ends those that have no outcome with this failure.
    pub(super) fn end_all(&mut self, failure: impl Fn() -> JobFailure) {
        for job in self.lent.iter_mut().filter(|job| !job.has_ended()) {
            job.end(Err(failure()));
        }
    }

    /// The worker has returned: those without an outcome are performed within the same attempt.
    pub(super) fn has_returned(mut self) {
        self.progress = if self.progress == Progress::Begun { Progress::Returned } else { Progress::Declined };
    }
}

impl<J: Send, T: Send + 'static> BatchSource<J, T> for LentJobs<'_, '_, J, T> {
    fn len(&self) -> usize {
        if self.progress == Progress::Offered { self.batch.len() } else { self.lent.len() }
    }

    fn begin(&mut self) -> &mut [BatchJob<J, T>] {
        if self.progress == Progress::Offered {
            self.progress = Progress::Begun;
            let ledger = &self.shared.ledger;
            for BatchJob { record, .. } in self.batch.begin().iter_mut().filter(|job| !job.record.job.strict) {
                let Some(job) = record.job.job.take() else { continue };
                let (id, attempts) = (record.job.id, record.job.attempt(record.attempts));
                ledger.begun(id, attempts);
                let key = record.options.as_ref().and_then(|options| options.key.clone());
                let options = JobOptions::of_key(key);
                let (level, accepted) = (record.level, record.accepted);
                let record = JobRecord { id: JobId::new(id), attempts, level, accepted, job, reply: None, options };
                self.lent.push(BatchJob { record, outcome: None });
            }
        }
        &mut self.lent
    }

    fn progress(&self) {
        self.batch.progress();
    }
}

impl<J, T: Send + 'static> Drop for LentJobs<'_, '_, J, T> {
    fn drop(&mut self) {
        if self.progress == Progress::Declined {
            return;
        }
        for job in self.batch.begin() {
            let durable = &mut job.record.job;
            if durable.job.is_some() {
                // The pool counts an attempt at each job of a batch that is interrupted.
                match self.progress {
                    // It may be the one that ended the worker: it is performed by itself the next time.
                    Progress::Offered => durable.not_begun += 1,
                    Progress::Begun => job.record.attempts = job.record.attempts.saturating_sub(1),
                    Progress::Returned | Progress::Declined => {}
                }
                continue;
            }
            // The worker may have changed their order.
            let Some(at) = self.lent.iter().position(|lent| lent.record.id.number() == durable.id) else { continue };
            let BatchJob { record, outcome } = self.lent.swap_remove(at);
            durable.job = Some(record.job);
            if let Some(outcome) = outcome {
                let outcome = noted(self.shared, durable.id, record.attempts, outcome);
                job.end(outcome);
            }
        }
    }
}
