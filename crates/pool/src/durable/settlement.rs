//! What becomes of a durable job in the pool: its outcome is noted, and goes to its caller.

use std::sync::Arc;

use foundation_kernel::containment::{catch_panic, drop_contained, error_text, report};
use foundation_kernel::text::shortened_to;

use super::error::DurableJobError;
use super::job::{DurableJob, MAX_ERROR};
use super::shared::{Caller, Shared};
use crate::JobError;
use crate::job::failure::JobFailure;
use crate::job::id::JobId;
use crate::job::record::Settle;

/// The owner of a durable job while the pool has it. Dropped without an outcome, it leaves the job to the next pool.
pub(crate) struct Settlement<T: Send + 'static> {
    shared: Arc<Shared<T>>,
    id: u64,
    caller: Option<Caller<T>>,
}

impl<T: Send + 'static> Settlement<T> {
    /// The job is in the pool from now on.
    pub(crate) fn new(shared: &Arc<Shared<T>>, id: u64, caller: Option<Caller<T>>) -> Self {
        shared.ledger.put_in(id);
        Self { shared: Arc::clone(shared), id, caller }
    }

    fn die(&self, error: String) -> DurableJobError {
        self.shared.ledger.died(self.id, error.clone());
        DurableJobError::Died { id: JobId::new(self.id), error }
    }
}

impl<J: Send + 'static, T: Send + 'static> Settle<DurableJob<J>, T> for Settlement<T> {
    fn settle(mut self: Box<Self>, outcome: Result<T, JobError<DurableJob<J>>>) {
        let outcome = match outcome {
            Ok(output) => {
                self.shared.ledger.done(self.id);
                Ok(output)
            }
            // It stays unfinished: see the drop.
            Err(error @ (JobError::Returned { .. } | JobError::NotAccepted(_) | JobError::Gone { .. })) => {
                drop_contained("a job", error);
                return;
            }
            Err(error) => {
                let text = shortened_to(&error_text(&error), MAX_ERROR);
                drop_contained("a job", error);
                Err(self.die(text))
            }
        };
        answer(self.caller.take(), outcome);
    }
}

impl<T: Send + 'static> Drop for Settlement<T> {
    fn drop(&mut self) {
        // Without effect on a job that has ended.
        self.shared.ledger.came_back(self.id);
        if self.caller.is_some() {
            answer(self.caller.take(), Err(DurableJobError::Deferred { id: JobId::new(self.id) }));
        }
    }
}

/// Notes the failure of an attempt; after the last one there is no other.
pub(crate) fn noted<R, T: Send + 'static>(
    shared: &Shared<T>,
    id: u64,
    attempt: u32,
    outcome: Result<R, JobFailure>,
) -> Result<R, JobFailure> {
    let outcome = outcome.inspect_err(|failure| {
        let error = shortened_to(&error_text(failure.error()), MAX_ERROR);
        shared.ledger.failed(id, attempt, error);
    });
    if attempt >= shared.tries { outcome.map_err(JobFailure::never_again) } else { outcome }
}

/// Wakes a caller, by a waker that may be any code.
pub(crate) fn answer<T>(caller: Option<Caller<T>>, outcome: Result<T, DurableJobError>) {
    let Some(caller) = caller else { return drop_contained("the output of a job", outcome) };
    match catch_panic(|| caller.send(outcome)) {
        Ok(Ok(())) => {}
        Ok(Err(unwanted)) => drop_contained("the output of a job", unwanted),
        Err(panic) => report(|| tracing::warn!(%panic, "the waker of a caller panicked")),
    }
}
