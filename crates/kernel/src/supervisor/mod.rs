//! Supervision: starting, watching, restarting and stopping actors by OTP's rules.

mod auto_shutdown;
mod backoff;
mod chain;
mod checkup;
mod child;
mod child_id;
mod child_spec;
mod children;
mod decisions;
mod delays;
mod direct_spawn;
mod display;
mod dynamic;
mod early_ends;
mod error;
mod group;
mod managed;
mod message;
mod metering;
mod name_taken;
mod order;
mod partition;
mod plan;
mod reconfigure;
mod render;
mod replacement;
mod replacing;
mod report;
mod requests;
mod restart;
mod rules;
mod server;
mod shutdown;
mod significant;
mod snapshot;
mod sorted_queue;
mod spec;
mod started;
mod state;
mod step;
mod supervision;
mod task;
mod tree;
mod trouble;

#[cfg(test)]
mod histories;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::FutureExt;
use ractor::{Actor, ActorCell, ActorRef, RpcReplyPort};

pub use backoff::{Backoff, BackoffError, ExponentialBackoff};
pub use chain::{Failure, Fault, RestartCause, RestartLimitExceeded};
pub use checkup::ChildHealth;
pub use child_id::ChildId;
pub use child_spec::{ChildKind, ChildSpec, NameTaken, Shutdown, StartContext};
pub use dynamic::{DynamicSupervisor, DynamicSupervisorSpec};
pub use error::{BoxError, ChildError, NameFree, SpecError, StartError};
pub use partition::{Partition, PartitionError, PartitionSupervisor, PartitionSupervisorSpec};
pub use report::{ChildEvent, Report, Reporter, Stopped, TracingReporter};
pub use requests::{ChildCount, ChildInfo, ChildState};
pub use restart::{Restart, RestartIntensity, Strategy};
pub use significant::AutoShutdown;
pub use spec::SupervisorSpec;
pub use started::{Start, Started, StartedChild};
pub use supervision::Supervision;
pub use task::{
    OnTimeout, StreamOptions, StreamOrder, Task, TaskError, TaskOptions, TaskOutput, TaskStop, TaskStream,
    TaskSupervisor,
};
pub use tree::{Tree, TreeStatus};

pub(crate) use direct_spawn::DirectSpawner;
pub(crate) use display::OneLine;
pub(crate) use metering::{Handled, Life, Metering};
pub(crate) use shutdown::stop_unmanaged;
pub(crate) use spec::UnmanagedExits;

use chain::GiveUpCell;
use child_spec::{Starter, Starting};
use group::{Gone as SubtreeGone, Group};
use message::{Handle, ServerMsg, Which};
use report::Reporting;
use server::Server;

use crate::containment::{catch_panic, waking_contained};
use crate::limits::HealthLimits;

/// A handle on a running supervisor.
///
/// ```
/// use foundation_kernel::{ChildSpec, Strategy, Supervisor, SupervisorSpec};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = u64; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let spec = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::worker("clerk", || (Clerk, ())));
/// let office = Supervisor::start("office", spec).await?;
/// assert_eq!(office.count_children().await?.active, 1);
/// office.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// A call to a supervisor that has stopped fails with [`ChildError::NotRunning`], OTP's `noproc`. A child that calls
/// its own supervisor in `pre_start` is answered when it is *re*started, but never at the supervisor's own start: the
/// supervisor is then in its own `pre_start`, and only the child's start time-out ends the wait.
#[derive(Clone)]
pub struct Supervisor {
    actor: ActorRef<ServerMsg>,
    path: Arc<str>,
    gone: SubtreeGone,
}

impl Supervisor {
    /// Starts a supervisor and its children, in order, at the top of a tree of its own.
    ///
    /// # Errors
    /// [`StartError::Spec`] before anything starts; [`StartError::Child`] with the child's own cause if one does not
    /// start: those before it have then been stopped again, in reverse order, and are gone. [`StartError::NoRuntime`]
    /// and [`StartError::NoTimers`] for an unsuitable runtime; tokio's own message about the latter goes to the panic
    /// hook, which prints it.
    pub async fn start(name: impl AsRef<str>, spec: SupervisorSpec) -> Result<Self, StartError> {
        check_runtime()?;
        let group = Group::outermost(spec.limits.as_ref());
        let reporting = Reporting::new(name.as_ref(), Arc::new(TracingReporter));
        let path = Arc::clone(reporting.path());
        let gone = group.gone();
        let reporting = reporting.replaced_by(spec.reporter.as_ref());
        let server = Server::new(&group, reporting, GiveUpCell::default(), false, spec);
        drop(group);
        let (actor, _task) = Actor::spawn(None, server, ()).await?;
        Ok(Self { actor, path, gone })
    }

    fn from_handle(path: &str, handle: Handle) -> Option<Self> {
        let is_supervisor = handle.actor.is_message_type_of::<ServerMsg>() == Some(true);
        let gone = handle.subtree.filter(|_| is_supervisor)?;
        Some(Self { actor: handle.actor.into(), path: path.into(), gone })
    }

    /// Adds a child at the end of the start order and starts it; `None` if its start returned [`Start::Ignore`].
    ///
    /// # Errors
    /// [`ChildError::AlreadyStarted`] or [`ChildError::AlreadyPresent`] if the id is taken, [`ChildError::Start`] with
    /// the child's own cause (the child is then not kept), [`ChildError::NotRunning`].
    pub async fn start_child(&self, spec: ChildSpec) -> Result<Option<ActorCell>, ChildError> {
        Ok(self.start_child_with_extra(spec).await?.map(|child| child.actor))
    }

    /// The same, with the value that the child's start function [handed back](Started::with_extra).
    ///
    /// # Errors
    /// As [`start_child`](Self::start_child).
    pub async fn start_child_with_extra(&self, spec: ChildSpec) -> Result<Option<StartedChild>, ChildError> {
        self.ask(|reply| ServerMsg::StartChild(spec, reply)).await?
    }

    /// Starts a child that is stopped.
    ///
    /// # Errors
    /// [`ChildError::Running`], [`ChildError::Restarting`], [`ChildError::NotFound`]; [`ChildError::Start`] if the
    /// start fails: the child is kept, stopped.
    pub async fn restart_child(&self, id: impl AsRef<str>) -> Result<Option<ActorCell>, ChildError> {
        Ok(self.restart_child_with_extra(id).await?.map(|child| child.actor))
    }

    /// The same, with the value that the child's start function [handed back](Started::with_extra).
    ///
    /// # Errors
    /// As [`restart_child`](Self::restart_child).
    pub async fn restart_child_with_extra(&self, id: impl AsRef<str>) -> Result<Option<StartedChild>, ChildError> {
        let id = id.as_ref().to_owned();
        self.ask(|reply| ServerMsg::RestartChild(id, reply)).await?
    }

    /// Stops a child by its rule. It stays stopped, and keeps its place unless it is temporary. Returns when it is
    /// gone.
    ///
    /// Works on a child that is stopped, that is restarting, or that hangs in its start. If that is the start of
    /// [`start_child`](Self::start_child), which then fails, the child is not kept. A strategy that restarts all
    /// children, or those after a failed one, also starts those that were stopped by request, as OTP's do.
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::NotRunning`].
    pub async fn terminate_child(&self, id: impl AsRef<str>) -> Result<(), ChildError> {
        let which = Which::Id(id.as_ref().to_owned());
        self.ask(|reply| ServerMsg::TerminateChild(which, reply)).await?
    }

    /// Replaces the child that has this specification's id by a successor, with no moment in which neither is there.
    ///
    /// The successor is started beside the running child. If the child has a name
    /// ([`ServiceRegistry::child_spec`](crate::ServiceRegistry::child_spec)), the name is handed over when the
    /// successor runs; a lookup always finds one of the two. Then the successor takes the child's place in the start
    /// order, with its own specification, and the predecessor is stopped by its rule. Returns the successor when the
    /// predecessor is gone; `None` if the successor's start returned [`Start::Ignore`]: the child then stays as it is.
    /// No restart is counted, and children that depend on this one are left alone.
    ///
    /// A cancelled call still runs to its end. If the child is terminated, or restarted with its siblings, before its
    /// successor runs, the successor is stopped again.
    ///
    /// # Errors
    /// [`ChildError::Start`] if the successor does not start, and [`ChildError::Stopped`], [`ChildError::Restarting`],
    /// [`ChildError::NotFound`], [`ChildError::Spec`]: in each case the child stays as it is.
    /// [`ChildError::Terminated`] if the child was stopped meanwhile, [`ChildError::NotRunning`].
    pub async fn replace_child(&self, spec: ChildSpec) -> Result<Option<ActorCell>, ChildError> {
        let which = Which::Id(spec.id().as_str().to_owned());
        self.replace(which, spec).await
    }

    async fn replace(&self, which: Which, spec: ChildSpec) -> Result<Option<ActorCell>, ChildError> {
        self.ask(|reply| ServerMsg::ReplaceChild(which, spec, reply)).await?
    }

    /// Removes a child that is stopped.
    ///
    /// # Errors
    /// [`ChildError::Running`], [`ChildError::Restarting`], [`ChildError::NotFound`].
    pub async fn delete_child(&self, id: impl AsRef<str>) -> Result<(), ChildError> {
        let id = id.as_ref().to_owned();
        self.ask(|reply| ServerMsg::DeleteChild(id, reply)).await?
    }

    /// The children, the newest first, as OTP lists them.
    ///
    /// # Errors
    /// [`ChildError::NotRunning`].
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, ChildError> {
        self.ask(ServerMsg::WhichChildren).await
    }

    /// One child, as [`which_children`](Self::which_children) lists it. OTP's `which_child`.
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::NotRunning`].
    pub async fn which_child(&self, id: impl AsRef<str>) -> Result<ChildInfo, ChildError> {
        let which = Which::Id(id.as_ref().to_owned());
        self.ask(|reply| ServerMsg::WhichChild(which, reply)).await?
    }

    /// A child's specification, as the supervisor will use it. OTP's `get_childspec`.
    ///
    /// The specification of a temporary child that has been started lacks its start function: the rest is complete, and
    /// no supervisor accepts it ([`SpecError::Spent`]).
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::NotRunning`].
    pub async fn child_spec(&self, id: impl AsRef<str>) -> Result<ChildSpec, ChildError> {
        let which = Which::Id(id.as_ref().to_owned());
        self.ask(|reply| ServerMsg::ChildSpec(which, reply)).await?
    }

    /// Replaces strategy, restart intensity, auto-shutdown, backoff and child specifications of the running supervisor,
    /// all or none. OTP's `code_change`, which upgrades a supervisor's code.
    ///
    /// A running child goes on; its new specification applies from its next end or start on. A new child is added
    /// stopped: [`restart_child`](Self::restart_child) starts it. A child that is no longer named stays as it is, and
    /// can be terminated and deleted. The start order is that of `spec`, followed by the children no longer named in
    /// their old order. The restarts so far count toward the new intensity.
    ///
    /// Work under way is completed as it was begun. A change of the strategy waits for that, and nothing else begins
    /// before it. So a hanging start delays the change until its start time-out, or until that child is terminated.
    ///
    /// Reporter, limits and jitter seed are not replaced. A restarted supervisor begins with the specification that it
    /// was declared with. Cost: linear in the children.
    ///
    /// ```
    /// use foundation_kernel::{Strategy, Supervisor, SupervisorSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let inner = || foundation_kernel::ChildSpec::supervisor("inner", SupervisorSpec::new(Strategy::OneForOne));
    /// let office = Supervisor::start("office", SupervisorSpec::new(Strategy::OneForOne)).await?;
    /// office.reconfigure(SupervisorSpec::new(Strategy::RestForOne).child(inner())).await?;
    /// assert_eq!(office.count_children().await?.active, 0);
    /// assert!(office.restart_child("inner").await?.is_some());
    /// office.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ChildError::Spec`] for any specification that [`start`](Self::start) would refuse, and for a dynamic
    /// supervisor, with nothing changed. [`ChildError::NotRunning`].
    pub async fn reconfigure(&self, spec: SupervisorSpec) -> Result<(), ChildError> {
        self.ask(|reply| ServerMsg::Reconfigure(Box::new(spec), reply)).await?
    }

    /// How many children there are, and how many of them run.
    ///
    /// # Errors
    /// [`ChildError::NotRunning`].
    pub async fn count_children(&self) -> Result<ChildCount, ChildError> {
        self.ask(ServerMsg::CountChildren).await
    }

    /// The actor that runs as this child now; `None` while it does not run.
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::NotRunning`].
    pub async fn child(&self, id: impl AsRef<str>) -> Result<Option<ActorCell>, ChildError> {
        Ok(self.handle_of(id.as_ref()).await?.map(|handle| handle.actor))
    }

    /// A handle on a child that is a supervisor and runs.
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::NotRunning`].
    pub async fn supervisor(&self, id: impl AsRef<str>) -> Result<Option<Supervisor>, ChildError> {
        let path = format!("{}/{}", self.path, id.as_ref());
        Ok(self.handle_of(id.as_ref()).await?.and_then(|handle| Self::from_handle(&path, handle)))
    }

    /// A handle on a child that is a dynamic supervisor and runs.
    ///
    /// The kind is not checked: through this handle a supervisor of another kind starts and stops children by its own
    /// rules, and refuses to be [reconfigured](DynamicSupervisor::reconfigure).
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::NotRunning`].
    pub async fn dynamic_supervisor(&self, id: impl AsRef<str>) -> Result<Option<DynamicSupervisor>, ChildError> {
        Ok(self.supervisor(id).await?.map(DynamicSupervisor::from_supervisor))
    }

    async fn handle_of(&self, id: &str) -> Result<Option<Handle>, ChildError> {
        let id = id.to_owned();
        self.ask(|reply| ServerMsg::Child(id, reply)).await?
    }

    /// The supervisor's own actor.
    pub fn actor(&self) -> &ActorCell {
        &self.actor
    }

    /// Its path in its tree: `registry/production/application`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A snapshot of the whole tree below this supervisor; see [`Tree`] for what it costs.
    ///
    /// A supervisor that is starting, restarting or stopping is shown as such, with no children. One that does not
    /// answer [in time](crate::SupervisorLimits::tree) is shown as [`Silent`](TreeStatus::Silent), and this one, if it
    /// has stopped, as [`Stopped`](TreeStatus::Stopped).
    pub async fn tree(&self) -> Tree {
        self.snapshot().await.named(&HashMap::new())
    }

    /// The same, before the names of services are filled in.
    pub(crate) async fn snapshot(&self) -> Tree {
        snapshot::snapshot(&self.path, &self.actor, self.gone.limits().tree).await
    }

    /// The health of the children that [count](ChildSpec::in_health), here and below, level by level; `None` if the
    /// supervisor does not run. Each supervisor below is asked, and then all checks run together. One that does not
    /// answer in time is listed as [timed out](crate::Health::TimedOut), whether it counts or not, and those below it
    /// are not listed.
    pub async fn health(&self, limits: &HealthLimits) -> Option<Vec<ChildHealth>> {
        checkup::checkup(&self.path, &self.actor, limits).await
    }

    /// Stops the children in reverse start order, each by its rule, then the supervisor; returns when all are gone.
    ///
    /// A supervisor above sees a child that ended with the reason `shutdown`, and restarts it if it is permanent.
    pub async fn shutdown(&self) {
        self.actor.stop(Some(crate::exit::SHUTDOWN.to_owned()));
        waking_contained(async {
            let _ = self.actor.wait(None).await;
            shutdown::subtree_gone(Some(self.gone.clone())).await;
        })
        .await;
    }

    /// Returns when the supervisor and its whole subtree are gone, for whatever reason.
    pub async fn wait_until_gone(&self) {
        waking_contained(self.gone.wait()).await;
    }

    async fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> ServerMsg,
    ) -> Result<T, ChildError> {
        let answer = message::ask(&self.actor, message).await;
        answer.ok_or_else(|| ChildError::NotRunning { supervisor: self.path.to_string() })
    }
}

/// Refuses a runtime on which no time-out would ever elapse. Making a timer is the only way to find out.
fn check_runtime() -> Result<(), StartError> {
    tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
    let timer = || drop(tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()));
    catch_panic(timer).map_err(|_| StartError::NoTimers)
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Supervisor({}, {})", self.path, self.actor.get_id())
    }
}

impl ChildSpec {
    /// A supervisor as a child of another: restarted with the children of its specification, not with those that were
    /// added later.
    pub fn supervisor(id: impl Into<ChildId>, spec: SupervisorSpec) -> Self {
        // While it is down, so are the children that count below it.
        let counts = spec.children.iter().any(Self::counts);
        let child = Self::started_by(id, ChildKind::Supervisor, SupervisorStart(spec));
        if counts { child.in_health() } else { child }
    }
}

/// The start of a supervisor, which exposes its nested specifications.
struct SupervisorStart(SupervisorSpec);

impl Starter for SupervisorStart {
    fn start(&self, context: StartContext) -> Option<Starting> {
        let spec = self.0.clone();
        Some(async move { context.spawn_supervisor(spec).await.map(Start::from) }.boxed())
    }

    fn take_children(&mut self) -> Vec<ChildSpec> {
        std::mem::take(&mut self.0.children)
    }
}

impl StartContext {
    /// Spawns a supervisor with its children as this child, which must be of the kind
    /// [`Supervisor`](ChildKind::Supervisor).
    ///
    /// # Errors
    /// As [`Supervisor::start`].
    pub async fn spawn_supervisor(&self, spec: SupervisorSpec) -> Result<Started, StartError> {
        Ok(self.spawn_with_direct_spawner(spec).await?.0)
    }

    /// The same, with a way to start further children from outside.
    pub(crate) async fn spawn_with_direct_spawner(
        &self,
        spec: SupervisorSpec,
    ) -> Result<(Started, Supervisor, DirectSpawner), StartError> {
        let reporting = self.reporting.below(&self.id).replaced_by(spec.reporter.as_ref());
        let path = Arc::clone(reporting.path());
        let give_up_cell = GiveUpCell::default();
        let server = Server::new(&self.group, reporting, give_up_cell.clone(), self.restart, spec);
        let group = server.group().downgrade();
        let (actor, handle) = Actor::spawn_linked(None, server, (), self.supervisor.clone()).await?;
        let supervisor = Supervisor { actor: actor.clone(), path, gone: self.group.gone() };
        let direct_spawner = DirectSpawner::new(actor.get_cell(), group);
        Ok((Started { give_up_cell, ..Started::new(actor, handle) }, supervisor, direct_spawner))
    }
}
