//! What becomes of a job that died and for which no caller waits.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::{Contained, catch_panic, drop_contained, report};
use tokio::sync::mpsc;

use crate::error::JobError;
use crate::job::id::JobId;

/// A job that was accepted and will not be done: it failed for good, expired, or gave way to others.
///
/// The error has the job, as its last worker left it; see [`JobError::into_job`].
#[non_exhaustive]
pub struct DeadLetter<J> {
    /// The number of the job.
    pub id: JobId,
    /// What became of it, with the job.
    pub error: JobError<J>,
}

// By hand: a job need not be `Debug`.
impl<J> fmt::Debug for DeadLetter<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter").field("id", &self.id).field("error", &self.error).finish()
    }
}

/// Where jobs go that died and for which no caller waits. One of a caller goes to that one, with the error.
///
/// In any case the pool counts them and shows each as [`PoolEvent::JobDied`](crate::PoolEvent::JobDied).
pub struct DeadLetters<J>(Destination<J>);

type LetterFn<J> = Box<dyn Fn(DeadLetter<J>) + Send + Sync>;

enum Destination<J> {
    Events,
    Function(Arc<Contained<LetterFn<J>>>),
    Channel(mpsc::Sender<DeadLetter<J>>),
}

impl<J> DeadLetters<J> {
    /// Nowhere: they are counted, shown as events, and dropped. The default.
    pub fn events() -> Self {
        Self(Destination::Events)
    }

    /// To a function. A task of the pool calls it, so it must not block; a panic in it is contained and logged.
    pub fn function(letter: impl Fn(DeadLetter<J>) + Send + Sync + 'static) -> Self
    where
        J: 'static,
    {
        let function: LetterFn<J> = Box::new(letter);
        Self(Destination::Function(Arc::new(Contained::new("a function of dead letters", function))))
    }

    /// Into a channel. Those for which it has no room are dropped, which is logged.
    pub fn channel(sender: mpsc::Sender<DeadLetter<J>>) -> Self {
        Self(Destination::Channel(sender))
    }

    /// Delivers a job. Never under a lock of ours: functions, destructors and wakers are foreign code.
    pub(crate) fn deliver(&self, letter: DeadLetter<J>) {
        let id = letter.id;
        match &self.0 {
            Destination::Events => drop_contained("a dead letter", letter),
            Destination::Function(function) => {
                let Some(function) = function.get() else { return drop_contained("a dead letter", letter) };
                if let Err(panic) = catch_panic(|| function(letter)) {
                    report(|| tracing::warn!(job = %id, %panic, "a function of dead letters panicked"));
                }
            }
            Destination::Channel(sender) => match catch_panic(|| sender.try_send(letter)) {
                Ok(Ok(())) => {}
                Ok(Err(refused)) => {
                    report(|| tracing::warn!(job = %id, "the channel of dead letters is full or closed"));
                    drop_contained("a dead letter", refused);
                }
                Err(panic) => report(|| tracing::warn!(job = %id, %panic, "a receiver of dead letters panicked")),
            },
        }
    }
}

impl<J> Default for DeadLetters<J> {
    fn default() -> Self {
        Self::events()
    }
}

impl<J> Clone for DeadLetters<J> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Destination::Events => Destination::Events,
            Destination::Function(function) => Destination::Function(Arc::clone(function)),
            Destination::Channel(sender) => Destination::Channel(sender.clone()),
        })
    }
}

impl<J> fmt::Debug for DeadLetters<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Destination::Events => "DeadLetters(events)",
            Destination::Function(_) => "DeadLetters(function)",
            Destination::Channel(_) => "DeadLetters(channel)",
        })
    }
}
