//! One attempt at a job, or at several at once: the worker is lent them, and no panic leaves.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use foundation_kernel::containment::{CaughtPanic, catch_panic, discard_pinned};
use foundation_kernel::supervision::TaskStop;
use futures::future::FutureExt;
use tokio::time::timeout;

use super::slots::SlotState;
use super::worker::Worker;
use crate::job::batch::{Batch, BatchSource};
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

impl<T> From<Result<T, JobFailure>> for Attempt<T> {
    fn from(outcome: Result<T, JobFailure>) -> Self {
        outcome.map_or_else(Self::Failed, Self::Done)
    }
}

/// What an attempt depends on beside its job.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) limit: Option<Duration>,
    pub(crate) slot: &'a SlotState,
    pub(crate) stop: &'a TaskStop,
}

/// Lends the worker a job, for at most as long as the limit. Neither a panic nor one of the destructors of its future leaves
/// this function.
pub(crate) async fn perform<W: Worker>(
    worker: &mut W,
    record: &mut JobRecord<W::Job, W::Output>,
    terms: Terms<'_>,
) -> Attempt<W::Output> {
    let Terms { limit, slot, stop } = terms;
    let (id, attempt, accepted) = (record.id, record.attempts, record.accepted);
    let JobRecord { job, options, .. } = record;
    let key = options.as_ref().and_then(|options| options.key.as_ref()).map(JobKey::as_str);
    let context = JobContext { id, attempt, accepted, key, stop, cells: &slot.cells };
    let performing = catch_panic(|| worker.perform(job, &context));
    match attempt_within(performing, limit, slot.abandon.given(id.number())).await {
        Attempt::Done(outcome) => outcome.into(),
        Attempt::Failed(failure) => Attempt::Failed(failure),
        Attempt::Panicked(panic) => Attempt::Panicked(panic),
        Attempt::OutOfTime(limit) => Attempt::OutOfTime(limit),
        Attempt::Abandoned => Attempt::Abandoned,
    }
}

/// Lends the worker all jobs at once, in the same way.
pub(crate) async fn perform_batch<W: Worker>(
    worker: &mut W,
    jobs: &mut (dyn BatchSource<W::Job, W::Output> + Send),
    terms: Terms<'_>,
) -> Attempt<()> {
    let Terms { limit, slot, stop } = terms;
    let mut batch = Batch::new(jobs, stop);
    let performing = catch_panic(|| worker.perform_batch(&mut batch));
    let abandoned = slot.abandon.given_of(|job| job == slot.cells.job());
    attempt_within(performing, limit, abandoned).await
}

/// Polls the future of an attempt until it ends, its time is over, or it is to be abandoned.
async fn attempt_within<F: Future>(
    performing: Result<F, CaughtPanic>,
    limit: Option<Duration>,
    abandoned: impl Future<Output = ()>,
) -> Attempt<F::Output> {
    let performing = match performing {
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
        () = abandoned => None,
    };
    discard_pinned("the future of a job", performing);
    match outcome {
        Some(Ok(Ok(output))) => Attempt::Done(output),
        Some(Ok(Err(payload))) => Attempt::Panicked(CaughtPanic::of(payload)),
        Some(Err(limit)) => Attempt::OutOfTime(limit),
        None => Attempt::Abandoned,
    }
}
