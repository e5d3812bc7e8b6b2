//! The start of a supervisor: at the top of a tree of its own, or as a child of another.
//!
//! These parts of [`Supervisor`], [`ChildSpec`] and [`StartContext`] are here and not with the types, since they need
//! the actor, which the types know nothing of.

use std::sync::Arc;
use std::time::Duration;

use futures::future::FutureExt;
use ractor::Actor;

use super::DirectSpawner;
use super::Group;
use super::server::Server;
use crate::containment::catch_panic;
use crate::supervisor::child_id::ChildId;
use crate::supervisor::child_rules::ChildKind;
use crate::supervisor::client::{Supervisor, SupervisorPlace};
use crate::supervisor::error::StartError;
use crate::supervisor::report::Reporting;
use crate::supervisor::spec::{ChildSpec, StartContext, Starter, Starting, SupervisorSpec};
use crate::supervisor::started::{Start, Started};
use crate::supervisor::tree::watch::TreeFeed;

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
        let reporting = Reporting::at_top(TreeFeed::top(name.as_ref()), spec.reporter.as_ref());
        let place = SupervisorPlace::new(reporting.place().clone(), group.gone());
        let server = Server::new(&group, reporting, Arc::default(), false, spec);
        drop(group);
        let (actor, _task) = Actor::spawn(None, server, ()).await?;
        Ok(Self::new(actor, place))
    }
}

/// Refuses a runtime on which no time-out would ever elapse. Making a timer is the only way to find out.
fn check_runtime() -> Result<(), StartError> {
    tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
    let timer = || drop(tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()));
    catch_panic(timer).map_err(|_| StartError::NoTimers)
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
    /// The place of a supervisor that is started here.
    pub(crate) fn place(&self) -> SupervisorPlace {
        SupervisorPlace::new(self.reporting.place().below(self.id()), self.group.gone())
    }

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
        let reporting = self.reporting.below(self.id(), spec.reporter.as_ref());
        let place = SupervisorPlace::new(reporting.place().clone(), self.group.gone());
        let giving_up = Arc::new(self.giving_up.below());
        let give_up_cell = Arc::clone(&giving_up.own);
        let server = Server::new(&self.group, reporting, giving_up, self.restart, spec);
        let group = server.group().downgrade();
        let (actor, handle) = Actor::spawn_linked(None, server, (), self.supervisor().clone()).await?;
        let supervisor = Supervisor::new(actor.clone(), place);
        let direct_spawner = DirectSpawner::new(actor.get_cell(), group);
        Ok((Started::new(actor, handle).giving_up_in(give_up_cell), supervisor, direct_spawner))
    }
}
