//! One attempt at a job: the worker is lent the job, and no panic leaves.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use foundation_kernel::containment::{CaughtPanic, catch_panic, discard_pinned};
use foundation_kernel::supervision::TaskStop;
use futures::future::FutureExt;
use tokio::time::timeout;

use super::signal::Signal;
use super::worker::Worker;
use crate::job::context::JobContext;
use crate::job::failure::JobFailure;
use crate::job::key::JobKey;
use crate::job::record::JobRecord;

/// How an attempt ended.
pub(crate) enum Attempt<T> {
    Done(T),
    Failed(JobFailure),
    Panicked(CaughtPanic),
    OutOfTime(Duration),
    /// It was slow, and the worker was asked to abandon it.
    Abandoned,
}

/// Lends the worker a job, for at most this long. Neither a panic nor one of the destructors of its future leaves this
/// function.
pub(crate) async fn perform<W: Worker>(
    worker: &mut W,
    record: &mut JobRecord<W::Job, W::Output>,
    limit: Option<Duration>,
    abandon: &Signal,
    stop: &TaskStop,
) -> Attempt<W::Output> {
    let (id, attempt, accepted) = (record.id, record.attempts, record.accepted);
    let JobRecord { job, options, .. } = record;
    let key = options.as_ref().and_then(|options| options.key.as_ref()).map(JobKey::as_str);
    let context = JobContext { id, attempt, accepted, key, stop };
    let performing = match catch_panic(|| worker.perform(job, &context)) {
        Ok(performing) => AssertUnwindSafe(performing).catch_unwind(),
        Err(panic) => return Attempt::Panicked(panic),
    };
    let mut performing = pin!(Some(performing));
    let Some(polled) = performing.as_mut().as_pin_mut() else { return Attempt::OutOfTime(Duration::ZERO) };
    let within = async {
        match limit {
            None => Ok(polled.await),
            Some(limit) => timeout(limit, polled).await.map_err(|_| limit),
        }
    };
    let outcome = tokio::select! {
        biased;
        outcome = within => Some(outcome),
        () = abandon.given(id.number()) => None,
    };
    discard_pinned("the future of a job", performing);
    let Some(outcome) = outcome else { return Attempt::Abandoned };
    match outcome {
        Ok(Ok(Ok(output))) => Attempt::Done(output),
        Ok(Ok(Err(failure))) => Attempt::Failed(failure),
        Ok(Err(payload)) => Attempt::Panicked(CaughtPanic::of(payload)),
        Err(limit) => Attempt::OutOfTime(limit),
    }
}
