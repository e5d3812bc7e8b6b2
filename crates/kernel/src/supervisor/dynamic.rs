//! Supervisors whose children come and go on demand.

use std::any::Any;
use std::sync::Arc;

use ractor::{ActorCell, ActorId, ActorStatus};

use super::backoff::Backoff;
use super::child_id::ChildId;
use super::child_rules::ChildKind;
use super::client::{ServerMsg, Supervisor, SupervisorRef, Which, sealed::Kind};
use super::error::{ChildError, StartError};
use super::info::{ChildCount, ChildInfo};
use super::named::Find;
use super::report::Reporter;
use super::restart::{RestartIntensity, Strategy};
use super::spec::{ChildSpec, StartContext, SupervisorSpec};
use super::started::{Started, StartedChild};
use super::tree::Tree;
use crate::limits::SupervisorLimits;

/// The specification of a [`DynamicSupervisor`]: no children at the start, any number by default.
#[derive(Debug, Clone)]
pub struct DynamicSupervisorSpec(SupervisorSpec);

impl Default for DynamicSupervisorSpec {
    fn default() -> Self {
        Self(SupervisorSpec::new(Strategy::OneForOne).on_demand(usize::MAX).all_at_once())
    }
}

impl DynamicSupervisorSpec {
    /// The restart intensity, of all children together.
    pub fn intensity(self, intensity: RestartIntensity) -> Self {
        Self(self.0.intensity(intensity))
    }

    /// The most children it may have; those that are restarting count.
    pub fn max_children(self, max_children: usize) -> Self {
        Self(self.0.on_demand(max_children))
    }

    /// The delay before the restart of a child; as [`SupervisorSpec::backoff`].
    pub fn backoff(self, backoff: impl Into<Backoff>) -> Self {
        Self(self.0.backoff(backoff))
    }

    /// The seed of the jitter; as [`SupervisorSpec::jitter_seed`].
    pub fn jitter_seed(self, seed: u64) -> Self {
        Self(self.0.jitter_seed(seed))
    }

    /// The reporter of the children's events; as [`SupervisorSpec::reporter`].
    pub fn reporter(self, reporter: impl Reporter) -> Self {
        Self(self.0.reporter(reporter))
    }

    /// How long its steps, and those of the supervisors below it, may take; as [`SupervisorSpec::limits`].
    pub fn limits(self, limits: SupervisorLimits) -> Self {
        Self(self.0.limits(limits))
    }

    pub(super) fn into_spec(self) -> SupervisorSpec {
        self.0
    }
}

/// A supervisor of children that are started on demand, one-for-one. Elixir's `DynamicSupervisor`, OTP's
/// `simple_one_for_one`.
///
/// A child is addressed by its actor; ids are labels and may repeat. A child that ends and is not restarted is
/// forgotten, and so is one whose start says [`Start::Ignore`](crate::supervision::Start::Ignore). On shutdown all children are
/// stopped together, each within its own time.
#[derive(Clone, Debug)]
pub struct DynamicSupervisor(Supervisor);

impl DynamicSupervisor {
    /// Starts one at the top of a tree of its own.
    ///
    /// # Errors
    /// [`StartError::Spec`] for an invalid restart intensity.
    pub async fn start(name: impl AsRef<str>, spec: DynamicSupervisorSpec) -> Result<Self, StartError> {
        Supervisor::start(name, spec.into_spec()).await.map(Self)
    }

    pub(super) fn from_supervisor(supervisor: Supervisor) -> Self {
        Self(supervisor)
    }

    pub(super) fn as_supervisor(&self) -> &Supervisor {
        &self.0
    }

    /// Starts a child; `None` if its start function said [`Start::Ignore`](crate::supervision::Start::Ignore).
    ///
    /// # Errors
    /// [`ChildError::TooManyChildren`], [`ChildError::Start`] with the child's own cause, [`ChildError::NotRunning`].
    pub async fn start_child(&self, spec: ChildSpec) -> Result<Option<ActorCell>, ChildError> {
        self.0.start_child(spec).await
    }

    /// The same; the child comes with what its start function [handed back](crate::supervision::Started::with_extra) besides.
    ///
    /// # Errors
    /// As [`start_child`](Self::start_child).
    pub async fn start_child_with_extra(&self, spec: ChildSpec) -> Result<Option<StartedChild>, ChildError> {
        self.0.start_child_with_extra(spec).await
    }

    /// The child whose latest actor this is.
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::NotRunning`].
    pub async fn which_child(&self, actor: ActorId) -> Result<ChildInfo, ChildError> {
        self.0.ask(|reply| ServerMsg::WhichChild(Which::Actor(actor), reply)).await?
    }

    /// The specification of the child whose latest actor this is; as [`Supervisor::child_spec`].
    ///
    /// # Errors
    /// [`ChildError::NotFound`], [`ChildError::NotRunning`].
    pub async fn child_spec(&self, actor: ActorId) -> Result<ChildSpec, ChildError> {
        self.0.ask(|reply| ServerMsg::ChildSpec(Which::Actor(actor), reply)).await?
    }

    /// Replaces restart intensity, `max_children` and backoff; the restarts so far count.
    ///
    /// Children in excess of a lower `max_children` stay; none is added until there is room. Reporter, limits and
    /// jitter seed are not replaced.
    ///
    /// # Errors
    /// [`ChildError::Spec`] for an invalid restart intensity, with nothing changed; [`ChildError::NotRunning`].
    pub async fn reconfigure(&self, spec: DynamicSupervisorSpec) -> Result<(), ChildError> {
        self.0.reconfigure(spec.into_spec()).await
    }

    /// Replaces the child whose latest actor this is by a successor with this specification; as
    /// [`Supervisor::replace_child`], also for its name.
    ///
    /// # Errors
    /// As [`Supervisor::replace_child`].
    pub async fn replace_child(&self, actor: ActorId, spec: ChildSpec) -> Result<Option<ActorCell>, ChildError> {
        self.0.replace(Which::Actor(actor), spec).await
    }

    /// Stops a child by its rule and forgets it. Returns when it is gone.
    ///
    /// # Errors
    /// [`ChildError::NotFound`] if no child has this as its latest actor.
    pub async fn terminate_child(&self, actor: ActorId) -> Result<(), ChildError> {
        self.0.terminate(Which::Actor(actor)).await
    }

    /// The children, the newest first.
    ///
    /// # Errors
    /// [`ChildError::NotRunning`].
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, ChildError> {
        self.0.which_children().await
    }

    /// How many children there are.
    ///
    /// # Errors
    /// [`ChildError::NotRunning`].
    pub async fn count_children(&self) -> Result<ChildCount, ChildError> {
        self.0.count_children().await
    }

    /// A snapshot of the whole tree below this supervisor; see [`Supervisor::tree`].
    pub async fn tree(&self) -> Tree {
        self.0.tree().await
    }

    /// The supervisor's own actor; as [`Supervisor::actor`].
    ///
    /// # Errors
    /// As there.
    pub fn actor(&self) -> Result<ActorCell, ChildError> {
        self.0.actor()
    }

    /// Whether it takes children: it has not ended, and is not about to. A handle from a start is on that incarnation, also when it
    /// has ended, so that it has an [actor](Self::actor) all the same.
    pub fn is_running(&self) -> bool {
        self.actor().is_ok_and(|actor| actor.get_status() < ActorStatus::Stopping)
    }

    /// Stops all children together, then the supervisor; returns when all are gone.
    pub async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}

impl Kind for DynamicSupervisor {
    type Spec = DynamicSupervisorSpec;
    type Found = SupervisorRef;

    fn child(id: &str, spec: DynamicSupervisorSpec) -> (ChildSpec, Option<Arc<dyn Any + Send + Sync>>) {
        (ChildSpec::dynamic_supervisor(id, spec), None)
    }

    fn found(actor: &ActorCell, value: &(dyn Any + Send + Sync)) -> Option<SupervisorRef> {
        Supervisor::found(actor, value)
    }

    fn by_name(name: Arc<dyn Find<SupervisorRef>>) -> Self {
        Self(Supervisor::by_name(name))
    }
}

// Here and not with their types, which know nothing of the clients that are built on them.

impl Supervisor {
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
}

impl StartContext {
    /// Spawns a dynamic supervisor as this child, which must be of the kind [`Supervisor`](ChildKind::Supervisor), with a
    /// handle on this one life of it.
    ///
    /// # Errors
    /// As [`DynamicSupervisor::start`].
    pub async fn spawn_dynamic_supervisor(
        &self,
        spec: DynamicSupervisorSpec,
    ) -> Result<(Started, DynamicSupervisor), StartError> {
        let (started, supervisor, _) = self.spawn_with_direct_spawner(spec.into_spec()).await?;
        Ok((started, DynamicSupervisor(supervisor)))
    }
}

impl ChildSpec {
    /// A dynamic supervisor as a child of another supervisor.
    pub fn dynamic_supervisor(id: impl Into<ChildId>, spec: DynamicSupervisorSpec) -> Self {
        Self::from_fn(id, ChildKind::Supervisor, move |context| {
            let spec = spec.clone().into_spec();
            async move { context.spawn_supervisor(spec).await }
        })
    }
}
