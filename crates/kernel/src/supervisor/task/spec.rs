//! Tasks as children.

use std::future::pending;
use std::sync::Arc;

use futures::future::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::actor::{Ending, Life, TaskActor};
use super::error::TaskError;
use super::options::{Link, TaskOptions};
use super::output::TaskOutput;
use super::stop::TaskStop;
use super::task_runner::TaskRunner;
use crate::ask::answer;
use crate::supervisor::child_id::ChildId;
use crate::supervisor::child_spec::{ChildKind, ChildSpec, StartContext};
use crate::supervisor::error::StartError;
use crate::supervisor::restart::Restart;
use crate::supervisor::started::Started;

impl ChildSpec {
    /// A future as a child: Elixir's `{Task, fun}`. Temporary by default, with
    /// [5 s](crate::SupervisorLimits::worker_stop) to end in if it holds its [`TaskStop`].
    ///
    /// ```
    /// use foundation_kernel::{ChildSpec, Restart};
    ///
    /// # async fn import() -> Result<(), std::io::Error> { Ok(()) }
    /// let spec = ChildSpec::task("import", |_stop| import()).restart(Restart::Transient);
    /// # let _ = spec;
    /// ```
    ///
    /// `work` is called at each start. An end with `()` or `Ok` is normal; a panic or an error is a failure.
    pub fn task<W, F>(id: impl Into<ChildId>, work: W) -> Self
    where
        W: Fn(TaskStop) -> F + Send + Sync + 'static,
        F: Future<Output: TaskOutput> + Send + 'static,
    {
        let work = Arc::new(work);
        let start = move |context| start(context, unowned_life(Arc::clone(&work)));
        Self::from_fn(id, ChildKind::Worker, start).start_timeout(None).restart(Restart::Temporary)
    }
}

/// A task that runs once, and whose owner receives the outcome.
pub(super) fn owned<W, F>(
    options: TaskOptions,
    work: W,
    owner: oneshot::Sender<Result<F::Output, TaskError>>,
) -> ChildSpec
where
    W: FnOnce(TaskStop) -> F + Send + 'static,
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let TaskOptions { id, shutdown, link } = options;
    let once = Mutex::new(Some((work, owner)));
    let start = move |context| {
        let once = once.lock().take();
        async move {
            let (work, owner) = once.ok_or(StartError::Terminated)?;
            start(context, |task_runner| owned_life(task_runner, work, owner, link)).await
        }
    };
    // A start that takes no time needs no time-out, which would cost a timer a task.
    ChildSpec::from_fn(id, ChildKind::Worker, start)
        .start_timeout(None)
        .restart(Restart::Temporary)
        .stopped_by(shutdown)
}

async fn start(context: StartContext, life: impl FnOnce(TaskRunner) -> Life) -> Result<Started, StartError> {
    let asked = CancellationToken::new();
    let task_runner = TaskRunner { asked: asked.clone(), supervisor: context.supervisor().clone() };
    let started = context.spawn(TaskActor, life(task_runner)).await?;
    Ok(started.asked_by(asked))
}

fn unowned_life<W, F>(work: Arc<W>) -> impl FnOnce(TaskRunner) -> Life
where
    W: Fn(TaskStop) -> F + Send + Sync + 'static,
    F: Future<Output: TaskOutput> + Send + 'static,
{
    move |task_runner| {
        Box::new(move |task| {
            async move {
                match task_runner.run(task, move |stop| work(stop), pending()).await.map(TaskOutput::into_result) {
                    Ok(Ok(())) => Ending::Finished,
                    Ok(Err(cause)) => Ending::Failed(cause),
                    Err(error) => error.into(),
                }
            }
            .boxed()
        })
    }
}

fn owned_life<W, F>(
    task_runner: TaskRunner,
    work: W,
    mut owner: oneshot::Sender<Result<F::Output, TaskError>>,
    link: Link,
) -> Life
where
    W: FnOnce(TaskStop) -> F + Send + 'static,
    F: Future<Output: Send + 'static> + Send + 'static,
{
    Box::new(move |task| {
        async move {
            let outcome = match link {
                Link::Owner => task_runner.run(task, work, owner.closed()).await,
                Link::None => task_runner.run(task, work, pending()).await,
            };
            let ending = ending(&outcome);
            answer(owner.into(), outcome);
            ending
        }
        .boxed()
    })
}

fn ending<T>(outcome: &Result<T, TaskError>) -> Ending {
    match outcome {
        Ok(_) => Ending::Finished,
        Err(TaskError::Panicked(text)) => TaskError::Panicked(text.clone()).into(),
        Err(_) => Ending::Asked,
    }
}
