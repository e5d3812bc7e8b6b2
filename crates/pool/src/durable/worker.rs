//! The worker of a durable pool: that of the user, and notes of what it begins.

use std::fmt;
use std::sync::Arc;

use foundation_events::EventStoreError;
use foundation_kernel::containment::error_text;
use foundation_kernel::text::shortened_to;

use super::event::{JobFact, JobsBegun};
use super::job::{DurableJob, MAX_ERROR};
use super::shared::Shared;
use crate::job::context::JobContext;
use crate::job::id::JobId;
use crate::{JobFailure, Worker};

/// A [`Worker`] whose attempts are noted: the worker of a durable pool.
pub struct DurableWorker<W: Worker> {
    pub(crate) worker: W,
    pub(crate) shared: Arc<Shared<W::Output>>,
}

impl<W: Worker> fmt::Debug for DurableWorker<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableWorker").field("queue", &self.shared.queue).finish_non_exhaustive()
    }
}

impl<W: Worker> Worker for DurableWorker<W> {
    type Job = DurableJob<W::Job>;
    type Output = W::Output;

    async fn perform(
        &mut self,
        job: &mut DurableJob<W::Job>,
        context: &JobContext<'_>,
    ) -> Result<W::Output, JobFailure> {
        let attempt = job.attempts.saturating_add(context.attempt());
        begin(&self.shared, job.id, attempt, job.strict).await?;
        let context = JobContext { id: JobId::new(job.id), attempt, ..*context };
        let outcome = self.worker.perform(&mut job.job, &context).await;
        outcome.inspect_err(|failure| {
            let error = shortened_to(&error_text(failure.error()), MAX_ERROR);
            self.shared.ledger.failed(job.id, attempt, error);
        })
    }

    async fn stop(self) {
        self.worker.stop().await;
    }
}

/// Notes that an attempt at a job begins; a strict one is recorded first.
async fn begin<T: Send + 'static>(
    shared: &Shared<T>,
    id: u64,
    attempt: u32,
    is_strict: bool,
) -> Result<(), EventStoreError> {
    if !is_strict {
        shared.ledger.begun(id, attempt);
        return Ok(());
    }
    let begun = JobFact::Begun(JobsBegun { jobs: vec![(id, attempt)] });
    loop {
        match shared.events.append(begun.to_event(&shared.queue)?).await {
            Ok(_) => break,
            // A store that is away does not make the job fail.
            Err(EventStoreError::Unavailable { .. }) => drop(shared.events.wait_until_up(None).await),
            Err(error) => return Err(error),
        }
    }
    shared.ledger.begun_recorded(id, attempt);
    Ok(())
}
