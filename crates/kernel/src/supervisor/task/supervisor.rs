//! The supervisor of tasks.

use std::any::Any;
use std::sync::Arc;

use ractor::{ActorCell, ActorId};
use tokio::sync::oneshot;

use super::error::TaskError;
use super::handle::Task;
use super::life::{TaskOptions, TaskStop, owned};
use crate::supervisor::child_id::ChildId;
use crate::supervisor::client::{Supervisor, SupervisorRef, sealed::Kind};
use crate::supervisor::dynamic::{DynamicSupervisor, DynamicSupervisorSpec};
use crate::supervisor::error::{ChildError, StartError};
use crate::supervisor::info::{ChildCount, ChildInfo, ChildState};
use crate::supervisor::named::Find;
use crate::supervisor::spec::ChildSpec;

/// A supervisor of futures: Elixir's `Task.Supervisor`.
///
/// ```
/// use foundation_kernel::supervision::{DynamicSupervisorSpec, TaskSupervisor};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let tasks = TaskSupervisor::start("tasks", DynamicSupervisorSpec::default()).await?;
/// let task = tasks.spawn(async { 6 * 7 }).await?;
/// assert_eq!(task.await?, 42);
/// tasks.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// It is a [`DynamicSupervisor`] whose children are tasks, with all its rules: `max_children` refuses, a shutdown stops
/// all tasks together, each within its own time, and a task that is not restarted is forgotten with all that it held.
/// Any dynamic supervisor can be used as one: `TaskSupervisor::from`.
///
/// | | awaited | dropped | restarted |
/// |---|---|---|---|
/// | [`spawn`](Self::spawn) (Elixir's `async`) | yes | stops it | never |
/// | [`spawn_nolink`](Self::spawn_nolink) (`async_nolink`) | yes | it goes on | never |
/// | [`start_child`](Self::start_child) | no | – | by its rule |
///
/// Cost: a task is an actor. An idle one takes about 7 KB beside its own future, and a whole life of one, from `spawn`
/// to its value, about 10 µs where a bare `tokio::spawn` takes 0.6 (two busy cores, release build). Use that for work
/// that need not be seen, counted or stopped in order. Nothing is kept of a task that has ended.
#[derive(Clone, Debug)]
pub struct TaskSupervisor(DynamicSupervisor);

impl TaskSupervisor {
    /// Starts one at the top of a tree of its own.
    ///
    /// # Errors
    /// [`StartError::Spec`] for an invalid restart intensity.
    pub async fn start(name: impl AsRef<str>, spec: DynamicSupervisorSpec) -> Result<Self, StartError> {
        DynamicSupervisor::start(name, spec).await.map(Self)
    }

    pub(in crate::supervisor) fn as_supervisor(&self) -> &Supervisor {
        self.0.as_supervisor()
    }

    /// Starts a task that is linked to its owner: it stops when the [`Task`], or this call before it returns, is
    /// dropped.
    ///
    /// # Errors
    /// [`ChildError::TooManyChildren`], [`ChildError::NotRunning`].
    pub async fn spawn<F>(&self, future: F) -> Result<Task<F::Output>, ChildError>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.spawn_with(TaskOptions::default(), move |_stop| future).await
    }

    /// Starts a task that goes on when its [`Task`] is dropped.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub async fn spawn_nolink<F>(&self, future: F) -> Result<Task<F::Output>, ChildError>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.spawn_with(TaskOptions::default().nolink(), move |_stop| future).await
    }

    /// Starts a task with a label and rules of its own, and with a stop signal.
    ///
    /// ```
    /// # use foundation_kernel::supervision::{DynamicSupervisorSpec, Shutdown, TaskOptions, TaskSupervisor};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let tasks = TaskSupervisor::start("tasks", DynamicSupervisorSpec::default()).await?;
    /// let options = TaskOptions::new("collector").shutdown(Shutdown::Timeout(Duration::from_secs(10)));
    /// let task = tasks.spawn_with(options, |stop| async move {
    ///     stop.requested().await;
    ///     "everything written down"
    /// });
    /// assert_eq!(task.await?.shutdown().await?, "everything written down");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn); [`ChildError::Spec`] for an empty label.
    pub async fn spawn_with<W, F>(&self, options: TaskOptions, work: W) -> Result<Task<F::Output>, ChildError>
    where
        W: FnOnce(TaskStop) -> F + Send + 'static,
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let (owner, outcome) = oneshot::channel::<Result<F::Output, TaskError>>();
        let (actor, supervisor) = self.0.as_supervisor().start_child_at(owned(options, work, owner)).await?;
        let actor = actor.ok_or(ChildError::Terminated)?.get_id();
        Ok(Task::new(actor, supervisor, outcome))
    }

    /// Starts a child that is not awaited, as a rule a [`ChildSpec::task`].
    ///
    /// Stop it with [`terminate_child`](Self::terminate_child): a stop that is sent to the actor itself is read when
    /// the future has ended.
    ///
    /// # Errors
    /// As [`DynamicSupervisor::start_child`].
    pub async fn start_child(&self, spec: ChildSpec) -> Result<Option<ActorCell>, ChildError> {
        self.0.start_child(spec).await
    }

    /// Stops a task by its rule and forgets it. Returns when it is gone.
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::NotRunning`].
    pub async fn terminate_child(&self, task: ActorId) -> Result<(), ChildError> {
        self.0.terminate_child(task).await
    }

    /// The tasks that run, the newest first.
    ///
    /// # Errors
    /// [`ChildError::NotRunning`].
    pub async fn children(&self) -> Result<Vec<ActorId>, ChildError> {
        let running = |child: ChildInfo| match child.state {
            ChildState::Running(actor) => Some(actor),
            _ => None,
        };
        Ok(self.which_children().await?.into_iter().filter_map(running).collect())
    }

    /// The tasks with their rules and states, the newest first.
    ///
    /// # Errors
    /// [`ChildError::NotRunning`].
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, ChildError> {
        self.0.which_children().await
    }

    /// How many tasks there are.
    ///
    /// # Errors
    /// [`ChildError::NotRunning`].
    pub async fn count_children(&self) -> Result<ChildCount, ChildError> {
        self.0.count_children().await
    }

    /// The supervisor's own actor; as [`Supervisor::actor`].
    ///
    /// # Errors
    /// As there.
    pub fn actor(&self) -> Result<ActorCell, ChildError> {
        self.0.actor()
    }

    /// Stops all tasks together, each within its own time, then the supervisor; returns when all are gone.
    pub async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}

impl Kind for TaskSupervisor {
    type Spec = DynamicSupervisorSpec;
    type Found = SupervisorRef;

    fn child(id: &str, spec: DynamicSupervisorSpec) -> (ChildSpec, Option<Arc<dyn Any + Send + Sync>>) {
        (ChildSpec::task_supervisor(id, spec), None)
    }

    fn found(actor: &ActorCell, value: &(dyn Any + Send + Sync)) -> Option<SupervisorRef> {
        Supervisor::found(actor, value)
    }

    fn by_name(name: Arc<dyn Find<SupervisorRef>>) -> Self {
        Self(DynamicSupervisor::by_name(name))
    }
}

impl From<DynamicSupervisor> for TaskSupervisor {
    fn from(supervisor: DynamicSupervisor) -> Self {
        Self(supervisor)
    }
}

// Here and not with their types, which know nothing of the clients that are built on them.

impl ChildSpec {
    /// A task supervisor as a child of another supervisor.
    pub fn task_supervisor(id: impl Into<ChildId>, spec: DynamicSupervisorSpec) -> Self {
        Self::dynamic_supervisor(id, spec)
    }
}

impl Supervisor {
    /// A handle on a child that is a task supervisor and runs; as [`dynamic_supervisor`](Self::dynamic_supervisor).
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::NotRunning`].
    pub async fn task_supervisor(&self, id: impl AsRef<str>) -> Result<Option<TaskSupervisor>, ChildError> {
        Ok(self.dynamic_supervisor(id).await?.map(TaskSupervisor))
    }
}
