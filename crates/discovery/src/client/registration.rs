//! An instance that is about to be registered.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use foundation_kernel::names::{Measurement, RegistrationBuilder, ServiceKey};
use foundation_kernel::ractor::{Actor, ActorCell, ActorRef, Message};
use foundation_kernel::supervision::{BoxError, ChildSpec};

use super::error::DiscoveryError;
use super::places::{LimitReached, PlaceOf};
use super::state::Shared;
use crate::instance::InstanceName;

/// An instance that is about to be registered: described by [`Discovery::describe`](crate::Discovery::describe), with a place
/// among the limited number of instances.
///
/// The place is given back when this is dropped; that of a child, when its specification is.
///
/// ```
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # use foundation_kernel::names::{Namespace, ProcessRegistry};
/// use foundation_discovery::{Discovery, Instance};
/// use foundation_kernel::names::Measurement;
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = u64; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let registry = ProcessRegistry::start().await?;
/// let discovery = Discovery::of(&registry.namespace(Namespace::test()).await?);
/// let clerk = Instance::builder("clerks", "a").build()?;
/// discovery.describe(&clerk)?.measured(Measurement::Off).spawn(Clerk, ()).await?;
/// # registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "an instance that is described is not registered yet"]
pub struct InstanceRegistration {
    name: InstanceName,
    registered: RegistrationBuilder,
    place: Place,
}

impl InstanceRegistration {
    pub(super) fn new(name: InstanceName, registered: RegistrationBuilder, place: Place) -> Self {
        Self { name, registered, place }
    }

    fn key<M>(&self) -> ServiceKey<M> {
        ServiceKey::from(self.name.registered().clone())
    }

    /// With this measurement.
    pub fn measured(self, measurement: Measurement) -> Self {
        Self { registered: self.registered.measured(measurement), ..self }
    }

    /// With a check of a successor, which gets the name when it has passed; see
    /// [`RegistrationBuilder::hand_over_when`](foundation_kernel::names::RegistrationBuilder::hand_over_when).
    ///
    /// It is for a [child](Self::child_spec), which can be the successor of another one. An actor that is spawned or registered
    /// takes no name from another, so it is not checked.
    pub fn hand_over_when<F, Fut>(self, check: F) -> Self
    where
        F: Fn(ActorCell) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self { registered: self.registered.hand_over_when(check), ..self }
    }

    /// With a limit of the start of a child's actor alone; see
    /// [`RegistrationBuilder::spawn_within`](foundation_kernel::names::RegistrationBuilder::spawn_within).
    pub fn spawn_within(self, limit: Duration) -> Self {
        Self { registered: self.registered.spawn_within(limit), ..self }
    }

    /// Spawns an actor as this instance; see [`ServiceRegistry::spawn`](foundation_kernel::names::ServiceRegistry::spawn).
    /// The instance ends with the actor.
    ///
    /// # Errors
    /// [`DiscoveryError::Registry`], as there.
    pub async fn spawn<A: Actor>(self, actor: A, args: A::Arguments) -> Result<ActorRef<A::Msg>, DiscoveryError> {
        let key = self.key();
        let _place = self.place;
        Ok(self.registered.spawn(&key, actor, args).await?)
    }

    /// Describes a child that registers itself as this instance at each start; see
    /// [`ServiceRegistry::child_spec`](foundation_kernel::names::ServiceRegistry::child_spec).
    pub fn child_spec<A: Actor>(self, start: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static) -> ChildSpec {
        let (key, place) = (self.key(), self.place.for_child());
        self.registered.child_spec(&key, move || {
            let _kept = &place;
            start()
        })
    }

    /// Registers an actor that was started elsewhere as this instance; see
    /// [`ServiceRegistry::register`](foundation_kernel::names::ServiceRegistry::register).
    ///
    /// # Errors
    /// [`DiscoveryError::Registry`], as there.
    pub async fn register<M: Message>(self, actor: &ActorRef<M>) -> Result<(), DiscoveryError> {
        let key = self.key();
        let _place = self.place;
        Ok(self.registered.register(&key, actor).await?)
    }
}

impl fmt::Debug for InstanceRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceRegistration").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A place that is reserved until this is dropped.
pub(super) struct Place {
    /// The specification of a child has one, and need not keep the state of its namespace.
    shared: Weak<Shared>,
    name: InstanceName,
    of: PlaceOf,
}

impl Place {
    pub(super) fn reserve(shared: &Arc<Shared>, name: &InstanceName) -> Result<Self, LimitReached> {
        shared.reserve_place(name)?;
        Ok(Self { shared: Arc::downgrade(shared), name: name.clone(), of: PlaceOf::Registration })
    }

    /// The same for a child: its service should have an instance from now on.
    fn for_child(mut self) -> Self {
        if let Some(shared) = self.shared.upgrade() {
            shared.give_place_to_child(&self.name);
            self.of = PlaceOf::Child;
        }
        self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.release_place(&self.name, self.of);
        }
    }
}
