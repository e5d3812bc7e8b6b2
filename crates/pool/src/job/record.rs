//! A job as the pool keeps it.

use std::time::Duration;

use foundation_kernel::containment::{catch_panic, drop_contained, report};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ending::Ending;
use super::id::JobId;
use super::key::JobKey;
use super::options::JobOptions;
use crate::dead_letters::{DeadLetter, DeadLetters};
use crate::error::JobError;

/// The way back to the caller that waits for the outcome of a job.
pub(crate) type Reply<J, T> = oneshot::Sender<Result<T, JobError<J>>>;

/// A job as the pool keeps it: in the queue, in a claim, or on its way to its owner.
pub(crate) struct JobRecord<J, T> {
    pub(crate) id: JobId,
    /// How often it has been begun.
    pub(crate) attempts: u32,
    pub(crate) level: u8,
    pub(crate) accepted: Instant,
    pub(crate) job: J,
    pub(crate) reply: Option<Reply<J, T>>,
    pub(crate) options: Option<Box<JobOptions>>,
}

impl<J, T> JobRecord<J, T> {
    pub(crate) fn unique(&self) -> Option<&JobKey> {
        self.options.as_ref()?.unique.as_ref()
    }

    /// For how long after its acceptance it may wait for its first attempt, if this is the pool's rule. A delay comes on
    /// top.
    pub(crate) fn deadline(&self, rule: Option<Duration>) -> Option<Duration> {
        let Some(options) = &self.options else { return rule };
        let deadline = options.deadline.or(rule)?;
        Some(deadline.saturating_add(options.delay.unwrap_or_default()))
    }

    /// How long it has waited, if that is longer than it may.
    pub(crate) fn expired(&self, rule: Option<Duration>, now: Instant) -> Option<Duration> {
        let deadline = self.deadline(rule).filter(|_| self.attempts == 0)?;
        let waited = now.saturating_duration_since(self.accepted);
        (waited >= deadline).then_some(waited)
    }

    /// Answers with the output. The job itself ends here.
    pub(crate) fn done(self, output: T) {
        drop_contained("a job", self.job);
        match self.reply {
            Some(reply) => answer(reply, Ok(output)),
            None => drop_contained("the output of a job", output),
        }
    }

    /// Takes the job to its owner: the caller that waits, or the dead letters.
    pub(crate) fn ended(self, ending: Ending, dead_letters: &DeadLetters<J>) {
        let id = self.id;
        let error = ending.error(id, self.attempts, self.job);
        match self.reply {
            Some(reply) if !reply.is_closed() => answer(reply, Err(error)),
            _ => dead_letters.deliver(DeadLetter { id, error }),
        }
    }
}

/// Wakes the caller, by a waker that may be any code; what no caller waits for is dropped here.
fn answer<J, T>(reply: Reply<J, T>, outcome: Result<T, JobError<J>>) {
    match catch_panic(|| reply.send(outcome)) {
        Ok(Ok(())) => {}
        Ok(Err(unwanted)) => drop_contained("the outcome of a job", unwanted),
        Err(panic) => report(|| tracing::warn!(%panic, "the waker of a caller panicked")),
    }
}
