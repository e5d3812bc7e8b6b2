//! The options of a task stream.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;

use super::error::TaskError;
use super::options::Link;
use crate::supervisor::child_spec::Shutdown;
use crate::supervisor::error::ChildError;

/// How a [`TaskStream`](crate::TaskStream) runs its tasks.
///
/// | | default | set by |
/// |---|---|---|
/// | tasks at a time | the number of cores | [`max_concurrency`](StreamOptions::max_concurrency) |
/// | order of results | that of the inputs | [`order`](StreamOptions::order) |
/// | time for each task | 5 s, as in Elixir | [`timeout`](StreamOptions::timeout) |
/// | after a time-out | the stream ends | [`on_timeout`](StreamOptions::on_timeout) |
/// | after a panic | the stream ends | [`nolink`](StreamOptions::nolink) |
#[derive(Debug, Clone)]
pub struct StreamOptions {
    pub(super) max_concurrency: NonZeroUsize,
    pub(super) order: StreamOrder,
    pub(super) limit: Option<Duration>,
    on_timeout: OnTimeout,
    pub(super) shutdown: Option<Shutdown>,
    link: Link,
}

/// In which order a [`TaskStream`](crate::TaskStream) hands out results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StreamOrder {
    /// In that of the inputs: a slow task holds back those after it.
    #[default]
    Inputs,
    /// As the tasks complete.
    Completion,
}

/// The effect of a task that takes too long on its [`TaskStream`](crate::TaskStream). The task is stopped in any case,
/// and its item is [`TaskError::TimedOut`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnTimeout {
    /// That item is the last one: the other tasks are stopped. Elixir's `:exit`.
    #[default]
    EndStream,
    /// The stream goes on. Elixir's `:kill_task`.
    KillTask,
}

impl StreamOptions {
    /// How many tasks there are at a time, those included whose results have not been taken yet.
    pub fn max_concurrency(self, max_concurrency: NonZeroUsize) -> Self {
        Self { max_concurrency, ..self }
    }

    /// In which order the results come.
    pub fn order(self, order: StreamOrder) -> Self {
        Self { order, ..self }
    }

    /// How long each task may take, from its start; `None` for no limit. Enforced by the task itself, even while the
    /// stream is not polled.
    pub fn timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        Self { limit: limit.into(), ..self }
    }

    /// What happens to the other tasks when one takes too long.
    pub fn on_timeout(self, on_timeout: OnTimeout) -> Self {
        Self { on_timeout, ..self }
    }

    /// How a task is stopped that is no longer wanted; by default it has [5 s](crate::SupervisorLimits::worker_stop) to
    /// come to an await point.
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        Self { shutdown: Some(shutdown), ..self }
    }

    /// A task that fails is an item like others, and the stream goes on: Elixir's `async_stream_nolink`. Dropping the
    /// stream stops its tasks all the same.
    pub fn nolink(self) -> Self {
        Self { link: Link::None, ..self }
    }

    /// Whether the stream ends with this failure.
    pub(super) fn ends_with(&self, error: &TaskError) -> bool {
        match error {
            TaskError::TimedOut(_) => self.on_timeout == OnTimeout::EndStream,
            TaskError::NotStarted(ChildError::NotRunning { .. }) => true,
            _ => self.link == Link::Owner,
        }
    }
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            max_concurrency: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            order: StreamOrder::default(),
            limit: Some(Duration::from_secs(5)),
            on_timeout: OnTimeout::default(),
            shutdown: None,
            link: Link::Owner,
        }
    }
}
