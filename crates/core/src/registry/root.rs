//! What a namespace needs of the registry that it belongs to.

use std::sync::Arc;

use futures::future::BoxFuture;
use ractor::ActorCell;

use super::cleanup::CleanupReport;
use super::error::RegistryError;
use super::holder::Holder;
use super::lease::Lease;
use crate::namespace::Namespace;

/// The way from a namespace up to the registry; without it the facade would have to know the whole tree.
pub(crate) trait Root: Send + Sync + 'static {
    /// Takes a foreign actor's lease into keeping until the actor ends, and makes its name visible.
    fn watch(&self, actor: &ActorCell, lease: Arc<Lease>) -> Result<(), Unwatched>;

    /// Stops watching a foreign actor for the sake of this name.
    fn forget(&self, actor: &ActorCell, holder: &Arc<Holder>);

    /// Stops a namespace.
    fn cleanup(self: Arc<Self>, namespace: Namespace) -> BoxFuture<'static, Result<CleanupReport, RegistryError>>;
}

/// Why a foreign actor's name is not kept.
pub(crate) enum Unwatched {
    /// The actor has ended, or is about to.
    ActorEnds,
    /// The namespace takes no more names, or the registry has stopped.
    NotRunning,
}
