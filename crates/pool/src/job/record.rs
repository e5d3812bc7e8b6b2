//! A job as the pool keeps it.

use foundation_kernel::containment::{catch_panic, drop_contained, report};
use tokio::sync::oneshot;

use super::id::JobId;
use crate::error::JobError;

/// Where the outcome of a job goes.
pub(crate) enum Reply<J, T> {
    /// To the caller that waits for it.
    Caller(oneshot::Sender<Result<T, JobError<J>>>),
    /// To a part of this crate that acts on it, as durable jobs do.
    Settle(Box<dyn Settle<J, T>>),
}

/// Acts on the outcome of a job. Dropped without one, it knows that the job was dropped.
pub(crate) trait Settle<J, T>: Send {
    fn settle(self: Box<Self>, outcome: Result<T, JobError<J>>);
}

/// A job as the pool keeps it: in the queue, in a claim, or on its way to its owner.
pub(crate) struct JobRecord<J, T> {
    pub(crate) id: JobId,
    /// How often it has been begun.
    pub(crate) attempts: u32,
    pub(crate) job: J,
    pub(crate) reply: Option<Reply<J, T>>,
}

impl<J, T> JobRecord<J, T> {
    /// Answers with the output. The job itself ends here.
    pub(crate) fn done(self, output: T) {
        drop_contained("a job", self.job);
        answer(self.reply, Ok(output));
    }

    /// Answers with an error, which takes the job to its owner.
    pub(crate) fn failed(self, error: impl FnOnce(u32, J) -> JobError<J>) {
        answer(self.reply, Err(error(self.attempts, self.job)));
    }
}

/// Wakes the caller, by a waker that may be any code; what no caller waits for is dropped here.
fn answer<J, T>(reply: Option<Reply<J, T>>, outcome: Result<T, JobError<J>>) {
    let Some(reply) = reply else { return drop_contained("the outcome of a job", outcome) };
    let caller = match reply {
        Reply::Caller(caller) => caller,
        Reply::Settle(settle) => return settle.settle(outcome),
    };
    match catch_panic(|| caller.send(outcome)) {
        Ok(Ok(())) => {}
        Ok(Err(unwanted)) => drop_contained("the outcome of a job", unwanted),
        Err(panic) => report(|| tracing::warn!(%panic, "the waker of a caller panicked")),
    }
}
