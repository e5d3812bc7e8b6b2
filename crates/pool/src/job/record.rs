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
use crate::queue::keys::KeySlot;

/// Where the outcome of a job goes.
pub(crate) enum Reply<J, T> {
    /// To the caller that waits for it.
    Caller(oneshot::Sender<Result<T, JobError<J>>>),
    /// To a part of this crate that acts on it, as durable jobs do.
    Settle(Box<dyn Settle<J, T>>),
}

impl<J, T> Reply<J, T> {
    /// Whether the outcome would be dropped.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Caller(caller) => caller.is_closed(),
            Self::Settle(_) => false,
        }
    }
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
    pub(crate) level: u8,
    pub(crate) accepted: Instant,
    pub(crate) job: J,
    pub(crate) reply: Option<Reply<J, T>>,
    pub(crate) options: Option<Box<JobOptions>>,
}

impl<J, T> JobRecord<J, T> {
    /// The key that it has to wait for.
    pub(crate) fn key_to_enter(&self) -> Option<JobKey> {
        let options = self.options.as_ref().filter(|options| options.key_slot.is_none())?;
        options.key.clone()
    }

    /// Whether the queue knows more of it than that it is there.
    pub(crate) fn has_to_be_forgotten(&self) -> bool {
        self.options.as_ref().is_some_and(|options| options.unique.is_some() || options.key_slot.is_some())
    }

    /// The place of its key, if it is the first of it.
    pub(crate) fn key_slot(&self) -> Option<KeySlot> {
        self.options.as_ref()?.key_slot
    }

    /// It is the first of its key.
    pub(crate) fn is_head(mut self, slot: KeySlot) -> Self {
        self.options.iter_mut().for_each(|options| options.key_slot = Some(slot));
        self
    }

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
