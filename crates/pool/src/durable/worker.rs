//! The worker of a durable pool: that of the user, and notes of what it begins.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_events::EventStoreError;
use foundation_kernel::containment::report;
use tokio::time::timeout;

use super::batch::LentJobs;
use super::event::{JobFact, JobsBegun};
use super::job::DurableJob;
use super::settlement::noted;
use super::shared::Shared;
use crate::job::context::JobContext;
use crate::job::id::JobId;
use crate::{Batch, JobFailure, Worker};

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
        let Self { worker, shared } = self;
        let (attempt, tries) = (job.attempt(context.attempt()), shared.tries);
        // By panics, or by ends of its workers, which are not counted by the worker.
        if attempt > tries {
            return Err(JobFailure::from(format!("it was begun {tries} times and not finished")).never_again());
        }
        begin(shared, job.id, attempt, job.strict).await?;
        let context = JobContext { id: JobId::new(job.id), attempt, ..*context };
        let Some(lent) = &mut job.job else { return Err("its worker has not given it back".into()) };
        // The limit of the pool is that of the user's worker: the wait for the store does not count.
        let performing = worker.perform(lent, &context);
        let outcome = match shared.limit() {
            None => performing.await,
            Some(limit) => timeout(limit, performing).await.unwrap_or_else(|_| Err(out_of_time(limit))),
        };
        noted(shared, job.id, attempt, outcome)
    }

    async fn perform_batch(&mut self, jobs: &mut Batch<'_, DurableJob<W::Job>, W::Output>) {
        let Self { worker, shared } = self;
        let stop = jobs.stop().clone();
        let mut lent = LentJobs::new(jobs, shared);
        let performing = async { worker.perform_batch(&mut Batch::new(&mut lent, &stop)).await };
        match shared.limit() {
            None => performing.await,
            Some(limit) => {
                if timeout(limit, performing).await.is_err() {
                    lent.end_all(|| out_of_time(limit));
                }
            }
        }
        lent.has_returned();
    }

    async fn stop(self) {
        self.worker.stop().await;
    }
}

fn out_of_time(limit: Duration) -> JobFailure {
    format!("it was not done within {limit:?}").into()
}

/// Notes that an attempt at a job begins; a strict one is recorded first, however long the store is away.
///
/// # Errors
/// [`EventStoreError::Log`], never for this payload; [`EventStoreError::NotDelivered`] when the namespace ends.
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
    // Twice the same attempt counts as one. A store that fails does not make the job fail.
    while let Err(error) = shared.events.append(begun.to_event(&shared.queue)?).await {
        if let EventStoreError::Log(_) = error {
            return Err(error);
        }
        report(
            || tracing::warn!(queue = %shared.queue, job = id, %error, "the begin of a durable job is not recorded"),
        );
        if shared.settled().await.is_err() {
            return Err(error);
        }
    }
    shared.ledger.begun_recorded(id, attempt);
    Ok(())
}
