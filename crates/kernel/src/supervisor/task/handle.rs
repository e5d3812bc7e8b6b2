//! The handle of a task's owner.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ractor::ActorId;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::error::TaskError;
use crate::containment::{ContainedWaking, waking_contained};
use crate::supervisor::client::{Supervisor, Which};

/// A task that runs, and a future of its outcome.
///
/// Await it for the outcome; [`await_within`](Task::await_within) also limits the time, and
/// [`yield_within`](Task::yield_within) checks whether it has finished. Dropping it stops a linked task by its rule; a
/// task that is not linked goes on. The failure of a task reaches its owner as the error of the await, and otherwise
/// only the supervisor's [`Reporter`](crate::supervision::Reporter): where an Erlang link would take the owner down, `?` does.
///
/// The outcome is there a moment before the actor is gone and its supervisor has forgotten it.
#[must_use = "a linked task is stopped when its handle is dropped"]
pub struct Task<T> {
    actor: ActorId,
    supervisor: Supervisor,
    outcome: Option<oneshot::Receiver<Result<T, TaskError>>>,
    /// The task's actor wakes the owner, also when it is killed.
    waking: ContainedWaking,
}

impl<T> Task<T> {
    pub(super) fn new(
        actor: ActorId,
        supervisor: Supervisor,
        outcome: oneshot::Receiver<Result<T, TaskError>>,
    ) -> Self {
        Self { actor, supervisor, outcome: Some(outcome), waking: ContainedWaking::default() }
    }

    /// The task's actor, which identifies it to its supervisor.
    pub fn id(&self) -> ActorId {
        self.actor
    }

    /// The outcome, if it comes within this time, or however long it takes; else the task, linked or not, is shut down by
    /// its rule and is gone on return. Elixir's `Task.await/2`.
    ///
    /// # Errors
    /// [`TaskError::TimedOut`], and the errors of the task itself.
    pub async fn await_within(mut self, limit: impl Into<Option<Duration>>) -> Result<T, TaskError> {
        let Some(limit) = limit.into() else { return self.await };
        match self.yield_within(limit).await {
            Some(outcome) => outcome,
            None => {
                self.terminate().await;
                Err(TaskError::TimedOut(limit))
            }
        }
    }

    /// The outcome, if it comes within this time, or however long it takes; the task goes on otherwise. Elixir's
    /// `Task.yield/2`.
    pub async fn yield_within(&mut self, limit: impl Into<Option<Duration>>) -> Option<Result<T, TaskError>> {
        match limit.into() {
            Some(limit) => waking_contained(timeout(limit, self)).await.ok(),
            None => Some(self.await),
        }
    }

    /// Stops the task by its rule, and returns when it is gone: with its value if it has produced one, even while it
    /// was being stopped. Elixir's `Task.shutdown/2`.
    ///
    /// # Errors
    /// [`TaskError::Shutdown`] if it has no value, [`TaskError::Killed`] if it did not stop in its time.
    pub async fn shutdown(self) -> Result<T, TaskError> {
        self.terminate().await;
        self.await
    }

    async fn terminate(&self) {
        // Not found: it has ended by itself. Not running: it was stopped with its supervisor.
        let _ = self.supervisor.terminate(Which::Actor(self.actor)).await;
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { outcome, waking, .. } = &mut *self;
        let Some(outcome) = outcome else { return Poll::Ready(Err(TaskError::AlreadyTaken)) };
        let polled = waking.poll(context, |context| Pin::new(outcome).poll(context));
        let Poll::Ready(outcome) = polled else { return Poll::Pending };
        self.outcome = None;
        // A task that ends without an outcome was killed.
        Poll::Ready(outcome.unwrap_or(Err(TaskError::Killed)))
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.actor)
    }
}
