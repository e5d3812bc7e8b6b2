//! A job as the pool keeps it, and what is special about it.

use std::fmt;
use std::time::Duration;

use foundation_kernel::containment::{catch_panic, drop_contained, error_text, report};
use foundation_kernel::supervision::BoxError;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::id::JobId;
use super::key::{JobKey, KeySlot};
use crate::error::JobError;

/// What is special about a job. Most jobs have nothing special, so a record keeps it in a box.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobOptions {
    pub(crate) key: Option<JobKey>,
    /// What its worker is chosen by, instead of the key.
    pub(crate) label: Option<JobKey>,
    /// The place of its key, once it has entered that.
    pub(crate) key_slot: Option<KeySlot>,
    /// Of the jobs with the same one, the pool has at most one.
    pub(crate) unique: Option<JobKey>,
    /// The longest time that it may wait, instead of the pool's.
    pub(crate) deadline: Option<Duration>,
    /// The time before which it is not begun.
    pub(crate) delay: Option<Duration>,
}

impl JobOptions {
    /// Those of a job with this key, if it has one, and nothing else.
    pub(crate) fn of_key(key: Option<JobKey>) -> Option<Box<Self>> {
        key.map(|key| Box::new(Self { key: Some(key), ..Self::default() }))
    }
}

/// Where the outcome of a job goes.
pub(crate) enum Reply<J, T> {
    /// To the caller that waits for it.
    Caller(oneshot::Sender<Result<T, JobError<J>>>),
    /// To a part of this crate that acts on it, as durable jobs do. In two boxes, so that each job that waits is eight bytes
    /// smaller.
    Settle(Box<Box<dyn Settle<J, T>>>),
}

impl<J, T> Reply<J, T> {
    /// To a part of this crate that acts on it.
    pub(crate) fn settled_by(settle: impl Settle<J, T> + 'static) -> Self {
        Self::Settle(Box::new(Box::new(settle)))
    }

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

/// Why a job has no output.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Its worker reported an error.
    Failed(BoxError),
    /// Its worker panicked.
    Panicked(String),
    /// It was in work for longer than it may be.
    OutOfTime(Duration),
    /// Its worker was ended while it had the job.
    Interrupted,
    /// It waited for longer than it may.
    Expired(Duration),
    /// It gave way in a full queue.
    Dropped,
    /// The pool has ended.
    Returned,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.write_str(&error_text(&**error)),
            Self::Panicked(text) => write!(f, "its worker panicked: {text}"),
            Self::OutOfTime(limit) => write!(f, "it was not done within {limit:?}"),
            Self::Interrupted => f.write_str("its worker was ended"),
            Self::Expired(waited) => write!(f, "it was not begun in time: it waited for {waited:?}"),
            Self::Dropped => f.write_str("it gave way in a full queue"),
            Self::Returned => f.write_str("the pool ended before it was done"),
        }
    }
}

impl Ending {
    /// The error with which the job goes to its owner.
    fn error<J>(self, id: JobId, attempts: u32, job: J) -> JobError<J> {
        match self {
            Self::Failed(source) => JobError::Failed { id, attempts, source, job },
            Self::Panicked(text) => JobError::Panicked { id, attempts, text, job },
            Self::OutOfTime(limit) => JobError::OutOfTime { id, attempts, limit, job },
            Self::Interrupted => JobError::Interrupted { id, attempts, job },
            Self::Expired(waited) => JobError::Expired { id, waited, job },
            Self::Dropped => JobError::Dropped { id, job },
            Self::Returned => JobError::Returned { id, job },
        }
    }
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

    /// The place of its key, once it has entered that.
    pub(crate) fn key_slot(&self) -> Option<KeySlot> {
        self.options.as_ref()?.key_slot
    }

    /// Notes the place of its key, from when it enters that until it leaves it.
    pub(crate) fn set_key_slot(&mut self, slot: Option<KeySlot>) {
        self.options.iter_mut().for_each(|options| options.key_slot = slot);
    }

    /// What its worker is chosen by: its label, or else its key.
    pub(crate) fn label(&self) -> Option<&[u8]> {
        let options = self.options.as_ref()?;
        options.label.as_ref().or(options.key.as_ref()).map(|label| label.as_str().as_bytes())
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

    /// Whether it has waited for longer than it may by now. The clock is read only for a job that can expire.
    pub(crate) fn has_expired(&self, rule: Option<Duration>) -> bool {
        self.deadline(rule).is_some() && self.expired(rule, Instant::now()).is_some()
    }

    /// Answers with the output. The job itself ends here.
    pub(crate) fn done(self, output: T) {
        drop_contained("a job", self.job);
        match self.reply {
            Some(reply) => answer(reply, Ok(output)),
            None => drop_contained("the output of a job", output),
        }
    }

    /// Whether a caller waits for its outcome.
    pub(crate) fn is_awaited(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    /// Takes the job to the caller that waits. Without one, the error comes back, with the job.
    pub(crate) fn ended(self, ending: Ending) -> Option<JobError<J>> {
        let awaited = self.is_awaited();
        let error = ending.error(self.id, self.attempts, self.job);
        match self.reply {
            Some(reply) if awaited => {
                answer(reply, Err(error));
                None
            }
            _ => Some(error),
        }
    }
}

/// Wakes the caller, by a waker that may be any code; what no caller waits for is dropped here.
fn answer<J, T>(reply: Reply<J, T>, outcome: Result<T, JobError<J>>) {
    let caller = match reply {
        Reply::Caller(caller) => caller,
        Reply::Settle(settle) => return (*settle).settle(outcome),
    };
    match catch_panic(|| caller.send(outcome)) {
        Ok(Ok(())) => {}
        Ok(Err(unwanted)) => drop_contained("the outcome of a job", unwanted),
        Err(panic) => report(|| tracing::warn!(%panic, "the waker of a caller panicked")),
    }
}
