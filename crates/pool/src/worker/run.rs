//! The loop of a worker: claim, perform, answer, give back.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;

use foundation_kernel::containment::{CaughtPanic, catch_panic, discard_pinned};
use foundation_kernel::supervision::{BoxError, TaskStop};
use futures::future::FutureExt;
use tokio::task::coop::consume_budget;

use super::slot::Slot;
use super::worker::Worker;
use crate::error::JobError;
use crate::job::context::JobContext;
use crate::job::failure::JobFailure;
use crate::job::record::JobRecord;
use crate::queue::claim::Claim;
use crate::queue::job_queue::JobQueue;

/// How many jobs a worker claims at once, if there are enough for all workers.
const BATCH: usize = 16;

/// Runs a worker until it is asked to stop or the queue is closed. Unfinished jobs are back in the queue before it returns.
///
/// # Errors
/// The worker panicked: its value is no longer to be trusted.
pub(crate) async fn run<W: Worker>(
    mut worker: W,
    slot: Slot,
    queue: Arc<JobQueue<W::Job, W::Output>>,
    stop: TaskStop,
) -> Result<(), BoxError> {
    let mut claim = Claim::new(queue);
    let mut asked = pin!(stop.requested());
    'claims: loop {
        let more = tokio::select! {
            biased;
            () = &mut asked => false,
            more = claim.renew(BATCH) => more,
        };
        if !more {
            break;
        }
        while let Some(record) = claim.begin() {
            let outcome = perform(&mut worker, record, &stop).await;
            let Some(record) = claim.finish() else { break };
            if let Err(panic) = answer(record, outcome) {
                return Err(format!("{slot} panicked: {panic}").into());
            }
            consume_budget().await;
            if stop.is_requested() {
                break 'claims;
            }
        }
    }
    drop(claim);
    worker.stop().await;
    Ok(())
}

type Outcome<T> = Result<Result<T, JobFailure>, CaughtPanic>;

/// Lends the worker a job. Neither a panic nor the destructors of its future leave this function.
async fn perform<W: Worker>(
    worker: &mut W,
    record: &mut JobRecord<W::Job, W::Output>,
    stop: &TaskStop,
) -> Outcome<W::Output> {
    let context = JobContext { id: record.id, attempt: record.attempts, stop };
    let performing = catch_panic(|| worker.perform(&mut record.job, &context))?;
    let mut performing = pin!(Some(AssertUnwindSafe(performing).catch_unwind()));
    let outcome = match performing.as_mut().as_pin_mut() {
        Some(performing) => performing.await,
        None => return Err(CaughtPanic::of(Box::new("a job that is over was polled"))),
    };
    discard(performing);
    outcome.map_err(CaughtPanic::of)
}

fn discard<F>(performing: Pin<&mut Option<F>>) {
    discard_pinned("the future of a job", performing);
}

/// Answers the owner of a job.
fn answer<J, T>(record: JobRecord<J, T>, outcome: Outcome<T>) -> Result<(), String> {
    match outcome {
        Ok(Ok(output)) => record.done(output),
        Ok(Err(failure)) => {
            let source = failure.into_error();
            record.failed(|attempts, job| JobError::Failed { attempts, source, job });
        }
        Err(panic) => {
            let text = panic.text().to_owned();
            record.failed(|attempts, job| JobError::Panicked { attempts, text, job });
            return Err(panic.into_text());
        }
    }
    Ok(())
}
