//! An actor that was found by its name alone.

use std::fmt;
use std::sync::Arc;

use ractor::{ActorCell, ActorId, ActorRef, Message};

use super::error::RegistryError;
use crate::namespace::{Namespace, ServiceKey, ServiceName};
use crate::registry::names::{Holder, Origin, Registration};

/// A live actor with its name, found without knowing which messages it answers to.
///
/// It stands for one incarnation of the name, and becomes typed on request, if the type is the actor's own.
///
/// ```
/// use foundation_kernel::names::{Namespace, ProcessRegistry, ServiceKey};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = u64; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// const CLERK: ServiceKey<u64> = ServiceKey::from_static("clerk");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let registry = ProcessRegistry::start().await?;
/// let names = registry.namespace(Namespace::Production).await?;
/// names.spawn(&CLERK, Clerk, ()).await?;
///
/// let clerk = names.lookup_any(CLERK.name())?;
/// assert_eq!(clerk.message(), "u64");
/// clerk.actor_ref::<u64>()?.cast(7)?;
/// names.via(&clerk.key::<u64>()?).cast(8)?;
/// let refused = clerk.actor_ref::<String>().unwrap_err();
/// assert!(refused.to_string().ends_with("answers to u64, not to alloc::string::String"));
/// # registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RegisteredActor {
    namespace: Namespace,
    holder: Arc<Holder>,
    actor: ActorCell,
}

impl RegisteredActor {
    /// `None` if the holder has no live actor.
    pub(crate) fn of(namespace: Namespace, holder: Arc<Holder>) -> Option<Self> {
        let actor = holder.live()?.clone();
        Some(Self { namespace, holder, actor })
    }

    /// Its name.
    pub fn name(&self) -> &ServiceName {
        self.holder.name()
    }

    /// The actor's id.
    pub fn actor_id(&self) -> ActorId {
        self.actor.get_id()
    }

    /// The message type that it answers to, for display; of a supervisor its kind, such as `DynamicSupervisor`.
    pub fn message(&self) -> &'static str {
        self.holder.message()
    }

    /// Where the actor was started.
    pub fn origin(&self) -> Origin {
        self.holder.origin()
    }

    /// All that the registry knows of it.
    pub fn registration(&self) -> Registration {
        let metadata = self.holder.metadata().map(|(_, metadata)| metadata);
        self.holder.registration_of(self.actor_id(), metadata)
    }

    /// A reference to this incarnation.
    ///
    /// # Errors
    /// [`RegistryError::WrongType`] names both types; [`RegistryError::WrongKind`] for a supervisor.
    pub fn actor_ref<M: Message>(&self) -> Result<ActorRef<M>, RegistryError> {
        self.check::<M>().map(|()| self.actor.clone().into())
    }

    /// The key of its name, for a [`Via`](crate::names::Via) or another typed use of the name.
    ///
    /// # Errors
    /// [`RegistryError::WrongType`] names both types; [`RegistryError::WrongKind`] for a supervisor.
    pub fn key<M: Message>(&self) -> Result<ServiceKey<M>, RegistryError> {
        self.check::<M>().map(|()| ServiceKey::from(self.name().clone()))
    }

    /// The actor without the type of its messages: to stop, kill or monitor it.
    pub fn cell(&self) -> &ActorCell {
        &self.actor
    }

    fn check<M: Message>(&self) -> Result<(), RegistryError> {
        let wrong = |miss| RegistryError::lookup_failed::<M>(self.namespace, self.name(), miss, |_| Vec::new());
        self.holder.check_type::<M>().map_err(wrong)
    }
}

impl fmt::Debug for RegisteredActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegisteredActor({}: actor {}, {})", self.name(), self.actor_id(), self.message())
    }
}
