//! The life of a task: an actor that polls one future until it ends, is asked to stop, or has lost its owner.

use std::future::{pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::error::TaskError;
use crate::ask::answer;
use crate::containment::{CaughtPanic, ContainedFuture, catch_panic, discard_pinned, waking_contained};
use crate::supervisor::child_id::ChildId;
use crate::supervisor::child_rules::{ChildKind, Restart, Shutdown};
use crate::supervisor::client::{ServerMsg, Which};
use crate::supervisor::error::{BoxError, StartError};
use crate::supervisor::restart::{GivingUp, StopReason};
use crate::supervisor::spec::{ChildSpec, StartContext};
use crate::supervisor::started::Started;

// Here and not with the type, which knows nothing of tasks.
impl ChildSpec {
    /// A future as a child: Elixir's `{Task, fun}`. Temporary by default, with
    /// [5 s](crate::supervision::SupervisorLimits::worker_stop) to end in if it holds its [`TaskStop`].
    ///
    /// ```
    /// use foundation_kernel::supervision::{ChildSpec, Restart};
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
        let start = move |context| {
            let work = Arc::clone(&work);
            start(context, unowned_life(move |stop| work(stop)))
        };
        Self::from_fn(id, ChildKind::Worker, start).start_timeout(None).restart(Restart::Temporary)
    }

    /// A future as a child that begins with another one: a connection, say. Temporary by default, as [`task`](Self::task);
    /// the beginning may take [30 s](crate::supervision::SupervisorLimits::worker_start).
    ///
    /// `begin` is the start of the child: its supervisor awaits it, an error of it is a failed start, counted and repeated after
    /// the [backoff](Self::backoff), and it is dropped when the child is terminated or its
    /// [limit](Self::start_timeout) is over. `work` gets what it returned.
    ///
    /// ```
    /// use foundation_kernel::supervision::{ChildSpec, Restart};
    ///
    /// # async fn connect() -> Result<String, std::io::Error> { Ok("connected".to_owned()) }
    /// let spec = ChildSpec::task_after("import", connect, |connection, _stop| async move { drop(connection) })
    ///     .restart(Restart::Transient);
    /// # let _ = spec;
    /// ```
    pub fn task_after<B, Begin, T, E, W, F>(id: impl Into<ChildId>, begin: B, work: W) -> Self
    where
        B: Fn() -> Begin + Send + Sync + 'static,
        Begin: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Into<BoxError>,
        W: Fn(T, TaskStop) -> F + Send + Sync + 'static,
        F: Future<Output: TaskOutput> + Send + 'static,
    {
        let work = Arc::new(work);
        let start = move |context| {
            let (beginning, work) = (begin(), Arc::clone(&work));
            async move {
                let begun = beginning.await.map_err(StartError::failed)?;
                start(context, unowned_life(move |stop| work(begun, stop))).await
            }
        };
        Self::from_fn(id, ChildKind::Worker, start).restart(Restart::Temporary)
    }
}

/// The result of the future of a [`ChildSpec::task`](crate::supervision::ChildSpec::task): nothing, or a result whose error counts
/// as an abnormal end, after which a transient task is restarted.
pub trait TaskOutput: Send + 'static {
    /// The end of the task: normal, or failed with this error.
    ///
    /// # Errors
    /// The error of the task itself.
    fn into_result(self) -> Result<(), BoxError>;
}

impl TaskOutput for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError> + Send + 'static> TaskOutput for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// The notification that a task is asked to stop, for a task that ends in order.
///
/// A future that holds one is not dropped when it is asked to stop, even before its first poll. It has the time of its
/// [`Shutdown`] to end; then it is killed. A future that holds none, such as a closure that ignores
/// its argument, is dropped at its next await point, or before it begins. That is the difference between an Erlang
/// process that traps exits and one that does not. Cost: a clone is three atomic increments.
#[derive(Debug, Clone)]
pub struct TaskStop {
    asked: CancellationToken,
    giving_up: Arc<GivingUp>,
    _held: Option<Arc<()>>,
}

impl TaskStop {
    fn new(asked: CancellationToken, giving_up: Arc<GivingUp>, held: Option<Arc<()>>) -> Self {
        Self { asked, giving_up, _held: held }
    }

    /// Returns when the task is asked to stop: at once if it has been.
    pub async fn requested(&self) {
        waking_contained(self.asked.cancelled()).await;
    }

    /// Whether the task has been asked to stop.
    pub fn is_requested(&self) -> bool {
        self.asked.is_cancelled()
    }

    /// Why the task is asked to stop; `None` if it has not been. Neither reason says whether it is started again: see
    /// [`StopReason`]. It is of the time of the call: a supervisor that gives up while the task stops makes it
    /// [`GaveUp`](StopReason::GaveUp). Linear in the supervisors above.
    pub fn reason(&self) -> Option<StopReason> {
        self.is_requested().then(|| self.giving_up.stop_reason())
    }
}

/// How an awaited task is listed, linked and stopped.
///
/// ```
/// use std::time::Duration;
/// use foundation_kernel::supervision::{Shutdown, TaskOptions};
///
/// let options = TaskOptions::new("upload").nolink().shutdown(Shutdown::Timeout(Duration::from_secs(1)));
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
pub struct TaskOptions {
    id: ChildId,
    shutdown: Option<Shutdown>,
    link: Link,
}

/// Whether a task lives on without its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// It stops when its owner is gone.
    Owner,
    /// It does not.
    None,
}

impl TaskOptions {
    /// A linked task with this label, which need not be unique, and
    /// [5 s](crate::supervision::SupervisorLimits::worker_stop) to stop in.
    pub fn new(id: impl Into<ChildId>) -> Self {
        Self { id: id.into(), shutdown: None, link: Link::Owner }
    }

    /// It goes on when its [`Task`](crate::supervision::Task) is dropped.
    pub fn nolink(self) -> Self {
        Self { link: Link::None, ..self }
    }

    /// How it is stopped: by request, with its supervisor, or because its owner is gone.
    ///
    /// A task that holds no [`TaskStop`] needs no time, as it is dropped at its next await point; the
    /// time then only limits how long it may work without one.
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        self.stopped_by(Some(shutdown))
    }

    pub(super) fn stopped_by(self, shutdown: Option<Shutdown>) -> Self {
        Self { shutdown, ..self }
    }
}

/// The label `task`.
impl Default for TaskOptions {
    fn default() -> Self {
        Self::new("task")
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
    let spec = ChildSpec::from_fn(id, ChildKind::Worker, start).start_timeout(None).restart(Restart::Temporary);
    match shutdown {
        Some(rule) => spec.shutdown(rule),
        None => spec,
    }
}

async fn start(context: StartContext, life: impl FnOnce(TaskRunner) -> Life) -> Result<Started, StartError> {
    let asked = CancellationToken::new();
    let giving_up = Arc::clone(&context.giving_up);
    let task_runner = TaskRunner { asked: asked.clone(), giving_up, supervisor: context.supervisor().clone() };
    let started = context.spawn(TaskActor, life(task_runner)).await?;
    Ok(started.asked_by(asked))
}

fn unowned_life<W, F>(work: W) -> impl FnOnce(TaskRunner) -> Life
where
    W: FnOnce(TaskStop) -> F + Send + 'static,
    F: Future<Output: TaskOutput> + Send + 'static,
{
    move |task_runner| {
        Box::new(move |task| {
            async move {
                match task_runner.run(task, work, pending()).await.map(TaskOutput::into_result) {
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

/// The context of a task.
#[derive(Clone)]
struct TaskRunner {
    /// Cancelled by the supervisor when it asks the task to stop.
    asked: CancellationToken,
    giving_up: Arc<GivingUp>,
    supervisor: ActorCell,
}

/// Whether a task is still wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Wanted,
    /// Its owner is gone, and the supervisor knows.
    Orphaned,
    /// It has been asked to stop.
    Asked,
}

fn panicked(panic: CaughtPanic) -> TaskError {
    TaskError::Panicked(panic.into_text())
}

impl TaskRunner {
    /// Calls `work` and polls its future to the end.
    ///
    /// It ends early when it is asked to stop and its [`TaskStop`] is not held. When `owner_gone` returns, the
    /// supervisor is asked to stop this task, which it does by the task's rule.
    async fn run<W, F>(
        &self,
        task: ActorId,
        work: W,
        owner_gone: impl Future<Output = ()>,
    ) -> Result<F::Output, TaskError>
    where
        W: FnOnce(TaskStop) -> F,
        F: Future,
    {
        let held = Arc::new(());
        let is_held = || Arc::strong_count(&held) > 1;
        let stop = TaskStop::new(self.asked.clone(), Arc::clone(&self.giving_up), Some(Arc::clone(&held)));
        // Before the first check whether the task is still wanted: only the future shows whether it holds its
        // `TaskStop`. One that does ends in order, even if it is asked before it has begun; any other does not begin
        // then.
        let body = catch_panic(|| work(stop)).map_err(panicked)?;
        let mut body = pin!(Some(AssertUnwindSafe(body).catch_unwind()));
        let mut owner_gone = pin!(owner_gone);
        let mut standing = Standing::Wanted;
        let outcome = loop {
            tokio::select! {
                biased;
                () = self.asked.cancelled(), if standing != Standing::Asked => {
                    if !is_held() {
                        break Err(TaskError::Shutdown);
                    }
                    standing = Standing::Asked;
                }
                () = &mut owner_gone, if standing == Standing::Wanted => {
                    standing = Standing::Orphaned;
                    self.ask_to_be_stopped(task);
                    if !is_held() {
                        self.asked.cancelled().await;
                        break Err(TaskError::Shutdown);
                    }
                }
                outcome = poll_fn(|context| poll_body(body.as_mut(), context)) => {
                    break outcome.map_err(CaughtPanic::of).map_err(panicked);
                }
            }
        };
        // Before the outcome is published, and whatever its destructors do.
        discard_pinned("a task", body);
        outcome
    }

    fn ask_to_be_stopped(&self, task: ActorId) {
        let (reply, _receiver) = tokio::sync::oneshot::channel();
        let supervisor = ActorRef::<ServerMsg>::from(self.supervisor.clone());
        // A stopping supervisor takes no message, and stops its tasks anyway.
        let _ = supervisor.send_message(ServerMsg::TerminateChild(Which::Actor(task), reply.into()));
    }
}

fn poll_body<F: Future>(body: Pin<&mut Option<F>>, context: &mut Context<'_>) -> Poll<F::Output> {
    body.as_pin_mut().map_or(Poll::Pending, |body| body.poll(context))
}

/// How a task's future ended.
enum Ending {
    /// By itself.
    Finished,
    /// Its supervisor asked it to stop: the stop that comes next is the supervisor's.
    Asked,
    /// By a panic, or by its own error.
    Failed(BoxError),
}

impl From<TaskError> for Ending {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Shutdown => Self::Asked,
            error => Self::Failed(error.into()),
        }
    }
}

/// One life of a task: given its actor's id, its work from its start to its end.
type Life = Box<dyn FnOnce(ActorId) -> BoxFuture<'static, Ending> + Send>;

/// An actor that lives one life. It reads no message: only a kill ends it from outside, and its supervisor's requests
/// reach it through the signal in its life.
struct TaskActor;

/// A message that is never sent.
enum NoMessage {}
crate::local_message!(NoMessage);

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for TaskActor {
    type Msg = NoMessage;
    type State = Option<BoxFuture<'static, Ending>>;
    type Arguments = Life;

    async fn pre_start(&self, myself: ActorRef<NoMessage>, life: Life) -> Result<Self::State, ActorProcessingErr> {
        Ok(Some(life(myself.get_id())))
    }

    // Here and not in a message to itself: a kill breaks in all the same, and it costs no message.
    async fn post_start(&self, myself: ActorRef<NoMessage>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        let Some(life) = state.take() else { return Ok(()) };
        match ContainedFuture::new("a task", life).await {
            Ok(Ending::Finished) => myself.stop(None),
            Ok(Ending::Asked) => {}
            Ok(Ending::Failed(cause)) => return Err(cause),
            Err(panic) => return Err(panic.into_text().into()),
        }
        Ok(())
    }
}
