//! Supervised futures: Elixir's `Task` and `Task.Supervisor`.
//!
//! A task is an actor whose whole life is one future, and so a child like any other: it is listed, counted, restarted
//! by its rule and stopped by its rule.
//!
//! 1. The future is polled on the actor's own tokio task, so it is dropped before the actor is gone.
//! 2. A task that is asked to stop drops its future at the next await point, unless the future holds a [`TaskStop`].
//! 3. A lost owner is noticed by its end of the channel for the outcome, which is made before the task is: an abandoned
//!    request for a start leaves no task behind.
//! 4. Only the supervisor stops a task, by the task's rule; a task whose owner is gone asks it to.

mod error;
mod handle;
mod life;
mod stream;
mod supervisor;

pub use error::TaskError;
pub use handle::Task;
pub use life::{TaskOptions, TaskOutput, TaskStop};
pub use stream::{OnTimeout, StreamOptions, StreamOrder, TaskStream};
pub use supervisor::TaskSupervisor;
