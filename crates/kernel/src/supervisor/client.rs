//! The client of a supervisor, and the requests that it sends.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::FutureExt;
use ractor::{ActorCell, ActorId, ActorRef, ActorStatus, RpcReplyPort};
use tokio::sync::oneshot;

use super::actor::Gone;
use super::child_id::ChildId;
use super::error::ChildError;
use super::info::{ChildCount, ChildInfo};
use super::key::Key;
use super::named::{Find, NameHolder};
use super::report::TreePlace;
use super::spec::{ChildSpec, SupervisorSpec};
use super::started::StartedChild;
use super::tree::checkup::{ChildHealth, Examinee, checkup};
use super::tree::snapshot::{SupervisorSnapshot, snapshot};
use super::tree::watch::TreeWatch;
use super::tree::{Tree, TreeStatus};
use crate::ask::{ask, reply, send};
use crate::containment::waking_contained;
use crate::exit::SHUTDOWN;
use crate::limits::HealthLimits;

/// A handle on a running supervisor.
///
/// ```
/// use foundation_kernel::supervision::{ChildSpec, Strategy, Supervisor, SupervisorSpec};
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
///
/// A handle is for one incarnation, or finds the current one by its
/// [name](crate::names::ServiceRegistry::supervisor) at each use. Without a current incarnation a request through such a
/// handle waits for the next one within [a limit](crate::names::RegistryLimits::wait), and fails with
/// [`ChildError::Lookup`]. A request that an incarnation has taken is not sent again.
#[derive(Clone)]
pub struct Supervisor(Address);

#[derive(Clone)]
enum Address {
    Incarnation(SupervisorRef),
    Name(Arc<dyn Find<SupervisorRef>>),
}

/// What is known of a supervisor before it has started.
#[derive(Clone)]
pub(crate) struct SupervisorPlace {
    tree: TreePlace,
    gone: Gone,
}

impl SupervisorPlace {
    pub(super) fn new(tree: TreePlace, gone: Gone) -> Self {
        Self { tree, gone }
    }

    fn path(&self) -> &Arc<str> {
        self.tree.path()
    }
}

/// One incarnation of a supervisor.
#[derive(Clone)]
pub struct SupervisorRef {
    actor: ActorRef<ServerMsg>,
    place: SupervisorPlace,
}

impl SupervisorRef {
    /// The answer to a message that it has taken.
    async fn answer<T>(&self, answer: oneshot::Receiver<T>) -> Result<T, ChildError> {
        waking_contained(reply(&self.actor, answer)).await.ok_or_else(|| self.not_running())
    }

    fn is_live(&self) -> bool {
        self.actor.get_status() < ActorStatus::Draining
    }

    fn not_running(&self) -> ChildError {
        ChildError::NotRunning { supervisor: self.place.path().to_string() }
    }
}

impl fmt::Debug for SupervisorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Supervisor({}, {})", self.place.path(), self.actor.get_id())
    }
}

/// Sends a message to the current holder of a name.
async fn send_by_name(name: &dyn Find<SupervisorRef>, mut message: ServerMsg) -> Result<SupervisorRef, ChildError> {
    let mut before = None;
    loop {
        let found = name.wait_for_live().await?;
        let actor = found.actor.get_id();
        message = match send(&found.actor, message) {
            Ok(()) => return Ok(found),
            Err(message) => message,
        };
        // It has ended since it was found. It is found no more, so each turn waits for another incarnation.
        if before.replace(actor) == Some(actor) {
            return Err(found.not_running());
        }
    }
}

impl Supervisor {
    pub(super) fn new(actor: ActorRef<ServerMsg>, place: SupervisorPlace) -> Self {
        Self(Address::Incarnation(SupervisorRef { actor, place }))
    }

    /// The incarnation that a request would be sent to now.
    fn live(&self) -> Result<Cow<'_, SupervisorRef>, ChildError> {
        match &self.0 {
            Address::Incarnation(incarnation) => Ok(Cow::Borrowed(incarnation)),
            Address::Name(name) => name.live().map(Cow::Owned),
        }
    }

    /// The incarnation now, also one that takes no more requests and is not gone yet.
    fn holder(&self) -> NameHolder<Cow<'_, SupervisorRef>> {
        match &self.0 {
            Address::Incarnation(incarnation) => NameHolder::Begun(Cow::Borrowed(incarnation)),
            Address::Name(name) => name.holder().map(Cow::Owned),
        }
    }

    /// Whether it takes requests now.
    pub(crate) fn is_live(&self) -> bool {
        self.live().is_ok_and(|incarnation| incarnation.is_live())
    }

    /// Adds a child at the end of the start order and starts it; `None` if its start returned
    /// [`Start::Ignore`](crate::supervision::Start::Ignore).
    ///
    /// # Errors
    /// [`ChildError::AlreadyStarted`] or [`ChildError::AlreadyPresent`] if the id is taken, [`ChildError::Start`] with
    /// the child's own cause (the child is then not kept), [`ChildError::NotRunning`].
    pub async fn start_child(&self, spec: ChildSpec) -> Result<Option<ActorCell>, ChildError> {
        Ok(self.start_child_with_extra(spec).await?.map(StartedChild::into_actor))
    }

    /// The same, with the value that the child's start function [handed back](crate::supervision::Started::with_extra).
    ///
    /// # Errors
    /// As [`start_child`](Self::start_child).
    pub async fn start_child_with_extra(&self, spec: ChildSpec) -> Result<Option<StartedChild>, ChildError> {
        self.ask(|reply| ServerMsg::StartChild(spec, reply)).await?
    }

    /// Starts a child, and returns it with the incarnation whose child it is.
    pub(super) async fn start_child_at(&self, spec: ChildSpec) -> Result<(Option<ActorCell>, Self), ChildError> {
        let (started, at) = self.ask_at(|reply| ServerMsg::StartChild(spec, reply)).await?;
        let started = started?.map(StartedChild::into_actor);
        Ok((started, Self(Address::Incarnation(at.into_owned()))))
    }

    /// Starts a child that is stopped.
    ///
    /// # Errors
    /// [`ChildError::Running`], [`ChildError::Restarting`], [`ChildError::NotFound`]; [`ChildError::Start`] if the
    /// start fails: the child is kept, stopped.
    pub async fn restart_child(&self, id: impl AsRef<str>) -> Result<Option<ActorCell>, ChildError> {
        Ok(self.restart_child_with_extra(id).await?.map(StartedChild::into_actor))
    }

    /// The same, with the value that the child's start function [handed back](crate::supervision::Started::with_extra).
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
        self.terminate(Which::Id(id.as_ref().to_owned())).await
    }

    pub(super) async fn terminate(&self, which: Which) -> Result<(), ChildError> {
        self.ask(|reply| ServerMsg::TerminateChild(which, reply)).await?
    }

    /// Replaces the child that has this specification's id by a successor, with no moment in which neither is there.
    ///
    /// The successor is started beside the running child. If the child has a name
    /// ([`ServiceRegistry::child_spec`](crate::names::ServiceRegistry::child_spec)), the name is handed over when the
    /// successor runs; a lookup always finds one of the two. Then the successor takes the child's place in the start
    /// order, with its own specification, and the predecessor is stopped by its rule. Returns the successor when the
    /// predecessor is gone; `None` if the successor's start returned [`Start::Ignore`](crate::supervision::Start::Ignore): the child
    /// then stays as it is. No restart is counted, and children that depend on this one are left alone.
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

    pub(super) async fn replace(&self, which: Which, spec: ChildSpec) -> Result<Option<ActorCell>, ChildError> {
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
    /// no supervisor accepts it ([`SpecError::Spent`](crate::supervision::SpecError::Spent)).
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
    /// use foundation_kernel::supervision::{Strategy, Supervisor, SupervisorSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let inner = || foundation_kernel::supervision::ChildSpec::supervisor("inner", SupervisorSpec::new(Strategy::OneForOne));
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

    /// Replaces the specification of the child that has this specification's id, wherever the child is in its life; its place
    /// in the start order, and all other children, stay as they are.
    ///
    /// A running child goes on; its new specification applies from its next end or start on, its shutdown rule included. A
    /// restarted supervisor begins with the specification that it was declared with.
    ///
    /// ```
    /// use foundation_kernel::supervision::{ChildSpec, Restart, Strategy, Supervisor, SupervisorSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let inner = || ChildSpec::supervisor("inner", SupervisorSpec::new(Strategy::OneForOne));
    /// let office = Supervisor::start("office", SupervisorSpec::new(Strategy::OneForOne).child(inner())).await?;
    /// office.reconfigure_child(inner().restart(Restart::Transient)).await?;
    /// assert_eq!(office.child_spec("inner").await?.restart_rule(), Restart::Transient);
    /// office.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::Spec`], [`ChildError::NotRunning`]: nothing is changed.
    pub async fn reconfigure_child(&self, spec: ChildSpec) -> Result<(), ChildError> {
        self.ask(|reply| ServerMsg::ReconfigureChild(spec, reply)).await?
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
        Ok(self.running(id.as_ref()).await?.map(|(actor, _)| actor))
    }

    /// A handle on a child that is a supervisor and runs.
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::NotRunning`].
    pub async fn supervisor(&self, id: impl AsRef<str>) -> Result<Option<Supervisor>, ChildError> {
        let id = id.as_ref().to_owned();
        let (running, at) = self.ask_at(|reply| ServerMsg::Child(id.clone(), reply)).await?;
        let Some((actor, subtree)) = running? else { return Ok(None) };
        let is_supervisor = actor.is_message_type_of::<ServerMsg>() == Some(true);
        let gone = subtree.filter(|_| is_supervisor);
        let place = |gone| SupervisorPlace::new(at.place.tree.below(&ChildId::from(&id)), gone);
        Ok(gone.map(|gone| Self::new(actor.into(), place(gone))))
    }

    async fn running(&self, id: &str) -> Result<Option<(ActorCell, Option<Gone>)>, ChildError> {
        let id = id.to_owned();
        self.ask(|reply| ServerMsg::Child(id, reply)).await?
    }

    /// The supervisor's own actor: of a handle by name the current one.
    ///
    /// # Errors
    /// [`ChildError::Lookup`] if the handle has a name, and no supervisor has that name now.
    pub fn actor(&self) -> Result<ActorCell, ChildError> {
        Ok(self.live()?.actor.get_cell())
    }

    /// Its path in its tree: `registry/production/application`. Of a handle by name, the name.
    pub fn path(&self) -> &str {
        match &self.0 {
            Address::Incarnation(incarnation) => incarnation.place.path(),
            Address::Name(name) => name.name(),
        }
    }

    /// A snapshot of the whole tree below this supervisor; see [`Tree`] for what it costs.
    ///
    /// A supervisor that is starting, restarting or stopping is shown as such, with no children. One that does not
    /// answer [in time](crate::supervision::SupervisorLimits::tree) is shown as [`Silent`](crate::supervision::TreeStatus::Silent), and this one,
    /// if it has stopped, as [`Stopped`](crate::supervision::TreeStatus::Stopped). So is one whose name no supervisor
    /// has, also during the [delay](crate::supervision::Backoff) before its restart.
    pub async fn tree(&self) -> Tree {
        self.snapshot().await.named(&HashMap::new())
    }

    /// The same, before the names of services are filled in.
    pub(crate) async fn snapshot(&self) -> Tree {
        let ask = |supervisor: ActorCell, after| async move {
            ask(&supervisor.into(), |reply| ServerMsg::SupervisorSnapshot(after, reply)).await.ok()
        };
        let status = match self.holder() {
            NameHolder::Begun(at) => {
                return snapshot(at.place.path(), at.actor.get_cell(), at.place.gone.limits().tree, ask).await;
            }
            NameHolder::Starting => TreeStatus::Starting,
            NameHolder::Restarting => TreeStatus::Restarting,
            NameHolder::Absent => TreeStatus::Stopped,
        };
        Tree::unknown(self.path().to_owned(), status)
    }

    /// Follows the tree below this supervisor: a snapshot, and then each change. Of a handle by name, the current
    /// incarnation.
    ///
    /// # Errors
    /// [`ChildError::Lookup`] if the handle has a name, and no supervisor has that name now.
    pub fn watch_tree(&self) -> Result<TreeWatch, ChildError> {
        // One incarnation for all three: the place, the snapshots and the end.
        let at = self.live()?.into_owned();
        let this = Self(Address::Incarnation(at.clone()));
        let take = move || {
            let this = this.clone();
            async move { this.tree().await }.boxed()
        };
        let gone = at.place.gone.clone();
        Ok(TreeWatch::new(Some(&at.place.tree), take, async move { gone.wait().await }.boxed()))
    }

    /// Where it is in its tree, if it runs.
    pub(crate) fn place(&self) -> Option<TreePlace> {
        Some(self.live().ok()?.place.tree.clone())
    }

    /// The health of the children that [count](ChildSpec::in_health), here and below, level by level; `None` if the
    /// supervisor does not run. Each supervisor below is asked, and then all checks run together. One that does not
    /// answer in time is listed as [timed out](crate::supervision::Health::TimedOut), whether it counts or not, and those below it
    /// are not listed.
    pub async fn health(&self, limits: &HealthLimits) -> Option<Vec<ChildHealth>> {
        let ask = |supervisor: ActorCell, grace| async move {
            ask(&supervisor.into(), |reply| ServerMsg::Checkup(grace, reply)).await.ok()
        };
        let at = self.live().ok()?;
        checkup(at.place.path(), at.actor.get_cell(), limits, ask).await
    }

    /// Stops the children in reverse start order, each by its rule, then the supervisor; returns when all are gone.
    ///
    /// A supervisor above sees a child that ended with the reason `shutdown`, and restarts it if it is permanent. Of one
    /// that is stopping already the rest of its end is awaited. An actor below it must not await this: it would wait for
    /// its own end. Does nothing through a name whose supervisor has not
    /// started, or is gone.
    pub async fn shutdown(&self) {
        let NameHolder::Begun(at) = self.holder() else { return };
        at.actor.stop(Some(SHUTDOWN.to_owned()));
        waking_contained(async {
            let _ = at.actor.wait(None).await;
            at.place.gone.wait_within_limit().await;
        })
        .await;
    }

    /// Returns when the supervisor and its whole subtree are gone, for whatever reason; of a handle by name, the
    /// current incarnation, which may be stopping already. An actor below it must not await this: it would wait for its
    /// own end.
    pub async fn wait_until_gone(&self) {
        if let NameHolder::Begun(at) = self.holder() {
            waking_contained(at.place.gone.wait()).await;
        }
    }

    pub(super) async fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> ServerMsg,
    ) -> Result<T, ChildError> {
        Ok(self.ask_at(message).await?.0)
    }

    /// The answer to a request, and the incarnation that gave it.
    async fn ask_at<T: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<T>) -> ServerMsg,
    ) -> Result<(T, Cow<'_, SupervisorRef>), ChildError> {
        let (sender, answer) = oneshot::channel();
        let message = message(sender.into());
        let at = match &self.0 {
            Address::Incarnation(at) => {
                send(&at.actor, message).map_err(|_| at.not_running())?;
                Cow::Borrowed(at)
            }
            Address::Name(name) => Cow::Owned(send_by_name(&**name, message).await?),
        };
        Ok((at.answer(answer).await?, at))
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Address::Incarnation(at) => at.fmt(f),
            Address::Name(name) => write!(f, "Supervisor({})", name.name()),
        }
    }
}

/// A kind of supervisor that can have a name. There are four, and no others can be made. `S::Spec` is the specification
/// of a kind `S`:
///
/// | kind `S` | `S::Spec` |
/// |---|---|
/// | [`Supervisor`] | [`SupervisorSpec`] |
/// | [`DynamicSupervisor`](crate::supervision::DynamicSupervisor) | [`DynamicSupervisorSpec`](crate::supervision::DynamicSupervisorSpec) |
/// | [`TaskSupervisor`](crate::supervision::TaskSupervisor) | [`DynamicSupervisorSpec`](crate::supervision::DynamicSupervisorSpec) |
/// | [`PartitionSupervisor<P>`](crate::supervision::PartitionSupervisor) | [`PartitionSupervisorSpec<P>`](crate::supervision::PartitionSupervisorSpec) |
pub trait SupervisorKind: sealed::Kind {}

impl<S: sealed::Kind> SupervisorKind for S {}

pub(super) mod sealed {
    use super::{ActorCell, Any, Arc, ChildSpec, Find};

    pub trait Kind: Clone + Send + Sync + 'static {
        /// Its specification.
        type Spec;

        /// What its name leads to.
        type Found: Send + 'static;

        /// A child of this kind, and the value under its name; without one, its place in the tree.
        fn child(id: &str, spec: Self::Spec) -> (ChildSpec, Option<Arc<dyn Any + Send + Sync>>);

        /// What the name of this actor with this value leads to.
        fn found(actor: &ActorCell, value: &(dyn Any + Send + Sync)) -> Option<Self::Found>;

        /// The handle that finds it at each use.
        fn by_name(name: Arc<dyn Find<Self::Found>>) -> Self;
    }
}

impl sealed::Kind for Supervisor {
    type Spec = SupervisorSpec;
    type Found = SupervisorRef;

    fn child(id: &str, spec: SupervisorSpec) -> (ChildSpec, Option<Arc<dyn Any + Send + Sync>>) {
        (ChildSpec::supervisor(id, spec), None)
    }

    fn found(actor: &ActorCell, value: &(dyn Any + Send + Sync)) -> Option<SupervisorRef> {
        let place = value.downcast_ref::<SupervisorPlace>()?.clone();
        Some(SupervisorRef { actor: actor.clone().into(), place })
    }

    fn by_name(name: Arc<dyn Find<SupervisorRef>>) -> Self {
        Self(Address::Name(name))
    }
}

/// The port for a request's answer.
pub(super) type Answer<T> = RpcReplyPort<Result<T, ChildError>>;

/// A request to a supervisor.
pub(super) enum ServerMsg {
    StartChild(ChildSpec, Answer<Option<StartedChild>>),
    RestartChild(String, Answer<Option<StartedChild>>),
    TerminateChild(Which, Answer<()>),
    ReplaceChild(Which, ChildSpec, Answer<Option<ActorCell>>),
    DeleteChild(String, Answer<()>),
    /// The running child, with a wait until its subtree is gone.
    Child(String, Answer<Option<(ActorCell, Option<Gone>)>>),
    WhichChild(Which, Answer<ChildInfo>),
    ChildSpec(Which, Answer<ChildSpec>),
    Reconfigure(Box<SupervisorSpec>, Answer<()>),
    ReconfigureChild(ChildSpec, Answer<()>),
    WhichChildren(RpcReplyPort<Vec<ChildInfo>>),
    CountChildren(RpcReplyPort<ChildCount>),
    SupervisorSnapshot(Option<Key>, RpcReplyPort<SupervisorSnapshot>),
    /// To be shown to the followers of the tree, with all below it.
    Show,
    /// The health of its children, each with this grace.
    Checkup(Duration, RpcReplyPort<Vec<Examinee>>),
    Work,
    StepDone(Key, u64),
    DelayOver(Key, u64),
}
crate::local_message!(ServerMsg);

/// The child of a request.
pub(super) enum Which {
    Id(String),
    Actor(ActorId),
}
