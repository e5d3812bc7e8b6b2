//! A stream of the results of many tasks, and its options.

use std::fmt;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::available_parallelism;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesOrdered, FuturesUnordered, Stream, StreamExt};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::error::TaskError;
use super::life::{Link, TaskOptions};
use super::supervisor::TaskSupervisor;
use crate::supervisor::child_rules::Shutdown;
use crate::supervisor::error::ChildError;

/// How a [`TaskStream`] runs its tasks.
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
    max_concurrency: NonZeroUsize,
    order: StreamOrder,
    limit: Option<Duration>,
    on_timeout: OnTimeout,
    shutdown: Option<Shutdown>,
    link: Link,
}

/// In which order a [`TaskStream`] hands out results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StreamOrder {
    /// In that of the inputs: a slow task holds back those after it.
    #[default]
    Inputs,
    /// As the tasks complete.
    Completion,
}

/// The effect of a task that takes too long on its [`TaskStream`]. The task is stopped in any case,
/// and its item is [`TaskError::TimedOut`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
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

    /// How a task is stopped that is no longer wanted; by default it has [5 s](crate::supervision::SupervisorLimits::worker_stop) to
    /// come to an await point.
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        Self { shutdown: Some(shutdown), ..self }
    }

    /// A task that fails is an item like others, and the stream goes on: Elixir's `async_stream_nolink`. Dropping the
    /// stream stops its tasks all the same.
    pub fn nolink(self) -> Self {
        Self { link: Link::None, ..self }
    }

    /// What [`max_concurrency`](Self::max_concurrency) says.
    pub fn concurrency(&self) -> NonZeroUsize {
        self.max_concurrency
    }

    /// What [`order`](Self::order) says.
    pub fn result_order(&self) -> StreamOrder {
        self.order
    }

    /// What [`timeout`](Self::timeout) says.
    pub fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Whether a time-out [ends the stream](Self::on_timeout).
    pub fn ends_on_timeout(&self) -> bool {
        self.on_timeout == OnTimeout::EndStream
    }

    /// Whether another failure ends the stream: not if it is [not linked](Self::nolink).
    pub fn ends_on_failure(&self) -> bool {
        self.link == Link::Owner
    }

    /// Whether the stream ends with this failure.
    fn ends_with(&self, error: &TaskError) -> bool {
        match error {
            TaskError::TimedOut(_) => self.ends_on_timeout(),
            TaskError::NotStarted(ChildError::NotRunning { .. } | ChildError::Lookup(_)) => true,
            _ => self.ends_on_failure(),
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

type Outcome<T> = BoxFuture<'static, Result<T, TaskError>>;

enum Outcomes<T> {
    InOrder(FuturesOrdered<Outcome<T>>),
    AsCompleted(FuturesUnordered<Outcome<T>>),
}

impl<T> Outcomes<T> {
    fn new(order: StreamOrder) -> Self {
        match order {
            StreamOrder::Inputs => Self::InOrder(FuturesOrdered::new()),
            StreamOrder::Completion => Self::AsCompleted(FuturesUnordered::new()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::InOrder(outcomes) => outcomes.len(),
            Self::AsCompleted(outcomes) => outcomes.len(),
        }
    }

    fn push(&mut self, outcome: Outcome<T>) {
        match self {
            Self::InOrder(outcomes) => outcomes.push_back(outcome),
            Self::AsCompleted(outcomes) => outcomes.push(outcome),
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, TaskError>>> {
        match self {
            Self::InOrder(outcomes) => outcomes.poll_next_unpin(context),
            Self::AsCompleted(outcomes) => outcomes.poll_next_unpin(context),
        }
    }
}

/// A stream of the results of one task for each input: Elixir's `Task.Supervisor.async_stream`.
///
/// ```
/// use foundation_kernel::supervision::{DynamicSupervisorSpec, TaskSupervisor};
/// use futures::StreamExt;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let tasks = TaskSupervisor::start("tasks", DynamicSupervisorSpec::default()).await?;
/// let squares = tasks.stream(1u32.., |n| async move { n * n });
/// let three: Vec<_> = squares.take(3).map(Result::unwrap).collect().await;
/// assert_eq!(three, [1, 4, 9]);
/// # Ok(())
/// # }
/// ```
///
/// - Nothing is started before a result is requested, and never more than
///   [`max_concurrency`](StreamOptions::max_concurrency) beyond the results that have been taken; inputs may be
///   endless.
/// - `work` runs within the task: its panics are contained there, and are items.
/// - Dropped half-way, it stops the remaining tasks; [`shutdown`](TaskStream::shutdown) also awaits their end.
/// - Its tasks count toward the supervisor's `max_children`, for a moment beyond their results; a refusal by that limit
///   is an item too, [`TaskError::NotStarted`].
#[must_use = "streams do nothing unless polled"]
pub struct TaskStream<I, W, T> {
    supervisor: TaskSupervisor,
    options: StreamOptions,
    /// `None` when there are no more, or no more are wanted.
    inputs: Option<I>,
    work: Arc<W>,
    outcomes: Outcomes<T>,
    running: TaskTracker,
}

impl<I, W, T> fmt::Debug for TaskStream<I, W, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskStream").field("options", &self.options).finish_non_exhaustive()
    }
}

// Nothing in it is ever pinned in place.
impl<I, W, T> Unpin for TaskStream<I, W, T> {}

impl<I, W, T> TaskStream<I, W, T> {
    /// Stops the tasks that are still there, and returns when the last of their futures is dropped.
    pub async fn shutdown(mut self) {
        self.end();
        self.running.close();
        self.running.wait().await;
    }

    fn end(&mut self) {
        self.inputs = None;
        // Their handles go with them, and so they are stopped.
        self.outcomes = Outcomes::new(self.options.order);
    }
}

impl<I, W, F, T> TaskStream<I, W, T>
where
    I: Iterator<Item: Send + 'static>,
    W: Fn(I::Item) -> F + Send + Sync + 'static,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    fn new(supervisor: TaskSupervisor, options: StreamOptions, inputs: I, work: W) -> Self {
        let outcomes = Outcomes::new(options.order);
        Self { supervisor, options, inputs: Some(inputs), work: Arc::new(work), outcomes, running: TaskTracker::new() }
    }

    fn fill_up(&mut self) {
        while self.outcomes.len() < self.options.max_concurrency.get() {
            let Some(input) = self.inputs.as_mut().and_then(Iterator::next) else {
                self.inputs = None;
                return;
            };
            let outcome = self.outcome_of(input);
            self.outcomes.push(outcome);
        }
    }

    fn outcome_of(&self, input: I::Item) -> Outcome<T> {
        let (supervisor, work, limit) = (self.supervisor.clone(), Arc::clone(&self.work), self.options.limit);
        let options = TaskOptions::default().stopped_by(self.options.shutdown);
        let token = self.running.token();
        let body = move |_stop| async move {
            // Dropped after the future: declared before it.
            let _token = token;
            within(limit, async move { work(input).await }).await
        };
        async move {
            let task = supervisor.spawn_with(options, body).await.map_err(TaskError::NotStarted)?;
            task.await?
        }
        .boxed()
    }
}

async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Result<T, TaskError> {
    match limit {
        Some(limit) => timeout(limit, work).await.map_err(|_| TaskError::TimedOut(limit)),
        None => Ok(work.await),
    }
}

impl<I, W, F, T> TaskStream<I, W, T>
where
    I: Iterator<Item: Send + 'static>,
    W: Fn(I::Item) -> F + Send + Sync + 'static,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    /// The next result; `None` when there are no more. This method is cancel safe.
    ///
    /// # Errors
    /// The [`TaskError`] of that task, as an item of the stream: whether others follow is said by
    /// [`on_timeout`](StreamOptions::on_timeout) and [`nolink`](StreamOptions::nolink).
    pub async fn next(&mut self) -> Result<Option<T>, TaskError> {
        StreamExt::next(self).await.transpose()
    }
}

impl<I, W, F, T> Stream for TaskStream<I, W, T>
where
    I: Iterator<Item: Send + 'static>,
    W: Fn(I::Item) -> F + Send + Sync + 'static,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    type Item = Result<T, TaskError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.fill_up();
        let next = self.outcomes.poll_next(context);
        if let Poll::Ready(Some(Err(error))) = &next
            && self.options.ends_with(error)
        {
            self.end();
        }
        next
    }
}

// Here and not with the type, which knows nothing of streams.
impl TaskSupervisor {
    /// Runs `work` for each input as a task of its own, a limited number at a time: Elixir's `async_stream`.
    ///
    /// With [`StreamOptions::default`]; see [`TaskStream`] for what it promises.
    pub fn stream<I, W, F>(&self, inputs: I, work: W) -> TaskStream<I::IntoIter, W, F::Output>
    where
        I: IntoIterator<Item: Send + 'static>,
        W: Fn(I::Item) -> F + Send + Sync + 'static,
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.stream_with(StreamOptions::default(), inputs, work)
    }

    /// The same, with a concurrency, an order and a time-out of its own.
    pub fn stream_with<I, W, F>(
        &self,
        options: StreamOptions,
        inputs: I,
        work: W,
    ) -> TaskStream<I::IntoIter, W, F::Output>
    where
        I: IntoIterator<Item: Send + 'static>,
        W: Fn(I::Item) -> F + Send + Sync + 'static,
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        TaskStream::new(self.clone(), options, inputs.into_iter(), work)
    }
}
