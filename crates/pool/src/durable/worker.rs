//! The worker of a durable pool: that of the user, and notes of what it begins.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_events::EventError;
use foundation_kernel::containment::{error_text, report};
use foundation_kernel::text::shortened_to;

use super::event::{JobFact, JobsBegun};
use super::job::{DurableJob, MAX_ERROR};
use super::shared::Shared;
use crate::job::context::JobContext;
use crate::job::id::JobId;
use crate::{JobFailure, Worker};

/// The pause before a begin that could not be recorded is recorded again.
const AGAIN: Duration = Duration::from_millis(100);

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
        let tries = self.shared.tries;
        // By panics, or by ends of its workers, which are not counted by the worker.
        if attempt > tries {
            return Err(JobFailure::from(format!("it was begun {tries} times and not finished")).never_again());
        }
        begin(&self.shared, job.id, attempt, job.strict).await?;
        let context = JobContext { id: JobId::new(job.id), attempt, ..*context };
        let outcome = self.worker.perform(&mut job.job, &context).await;
        let outcome = outcome.inspect_err(|failure| {
            let error = shortened_to(&error_text(failure.error()), MAX_ERROR);
            self.shared.ledger.failed(job.id, attempt, error);
        });
        if attempt >= tries { outcome.map_err(JobFailure::never_again) } else { outcome }
    }

    async fn stop(self) {
        self.worker.stop().await;
    }
}

/// Notes that an attempt at a job begins; a strict one is recorded first, however long the store is away.
///
/// # Errors
/// [`EventError`], never for this payload.
async fn begin<T: Send + 'static>(
    shared: &Shared<T>,
    id: u64,
    attempt: u32,
    is_strict: bool,
) -> Result<(), EventError> {
    if !is_strict {
        shared.ledger.begun(id, attempt);
        return Ok(());
    }
    let begun = JobFact::Begun(JobsBegun { jobs: vec![(id, attempt)] });
    // Twice the same attempt counts as one. A store that fails does not make the job fail.
    while let Err(error) = shared.events.append(begun.to_event(&shared.queue)?).await {
        report(
            || tracing::warn!(queue = %shared.queue, job = id, %error, "the begin of a durable job is not recorded"),
        );
        #[expect(clippy::disallowed_methods, reason = "the delay is what this is for")]
        tokio::time::sleep(AGAIN).await;
        drop(shared.events.wait_until_up(None).await);
    }
    shared.ledger.begun_recorded(id, attempt);
    Ok(())
}
