//! What a namespace needs from the registry that it belongs to.

use std::sync::Arc;

use futures::future::BoxFuture;
use ractor::ActorCell;

use super::cleanup::CleanupReport;
use super::error::RegistryError;
use super::groups::{Member, Membership};
use super::holder::Holder;
use super::name_guard::NameGuard;
use crate::limits::HealthLimits;
use crate::namespace::Namespace;
use crate::supervisor::{ChildHealth, Tree};

/// The way from a namespace up to the registry; without it the facade would have to know the whole tree.
pub(crate) trait Root: Send + Sync + 'static {
    /// Keeps the name guard of an actor that cannot hold it itself until the actor ends, and then makes its name
    /// visible; `show` returns whether it is. If not, the name guard is given back.
    fn keep(
        &self,
        actor: &ActorCell,
        name_guard: Arc<NameGuard>,
        show: &mut dyn FnMut(&NameGuard, ActorCell) -> bool,
    ) -> Result<(), KeepError>;

    /// Stops keeping the name guard of this holder.
    fn forget(&self, actor: &ActorCell, holder: &Arc<Holder>);

    /// What a namespace consists of.
    fn tree(self: Arc<Self>, namespace: Namespace) -> BoxFuture<'static, Tree>;

    /// Has a member removed from its group when it ends; false if the registry cannot be notified of that.
    fn keep_member(&self, membership: Membership) -> bool;

    /// Stops watching an actor for the sake of this membership.
    fn forget_member(&self, member: &Arc<Member>);

    /// The health of the children in a namespace that count.
    fn health(self: Arc<Self>, namespace: Namespace, limits: HealthLimits) -> BoxFuture<'static, Vec<ChildHealth>>;

    /// Stops a namespace.
    fn cleanup(self: Arc<Self>, namespace: Namespace) -> BoxFuture<'static, Result<CleanupReport, RegistryError>>;
}

/// Why a name guard is not kept.
pub(crate) enum KeepError {
    /// The actor has ended, or is about to.
    ActorEnds,
    /// The namespace takes no more names, the registry has stopped, or the name was not given.
    NotRunning,
}
