//! Supervisors that have a name: what a name leads to, and how it is found at each use.
//!
//! The names themselves belong to the layer above, which implements [`Find`].

use std::any::Any;
use std::sync::Arc;

use futures::future::BoxFuture;
use ractor::ActorCell;

use super::error::ChildError;
use super::spec::ChildSpec;

/// A kind of supervisor that can have a name: [`Supervisor`](crate::supervision::Supervisor),
/// [`DynamicSupervisor`](crate::supervision::DynamicSupervisor), [`TaskSupervisor`](crate::supervision::TaskSupervisor)
/// and [`PartitionSupervisor`](crate::supervision::PartitionSupervisor). Its `Spec` is its specification.
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

/// A name, and its current holder.
pub trait Find<T>: Send + Sync {
    /// The name, for display.
    fn name(&self) -> &str;

    /// Its holder now.
    fn now(&self) -> Result<T, ChildError>;

    /// Its holder, which is waited for within a limit.
    fn found(&self) -> BoxFuture<'_, Result<T, ChildError>>;
}
