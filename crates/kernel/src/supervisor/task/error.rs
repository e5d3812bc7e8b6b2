//! Why a task has no value.

use std::time::Duration;

use crate::supervisor::error::ChildError;

/// Why a task did not produce a value. Its text has that of its cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// Its future panicked, with this text.
    #[error("the task panicked: {0}")]
    Panicked(String),
    /// It was asked to stop, and did before it had a value.
    #[error("the task was shut down before it had finished")]
    Shutdown,
    /// It was killed: by its rule, because it did not stop in its time, or with its supervisor.
    #[error("the task was killed")]
    Killed,
    /// It did not finish within its time.
    #[error("the task did not finish within {0:?}")]
    TimedOut(Duration),
    /// It was never started, since its supervisor refused it.
    #[error("the task was not started: {0}")]
    NotStarted(ChildError),
    /// Its outcome has been handed out before.
    #[error("the outcome of the task has already been taken")]
    AlreadyTaken,
}
