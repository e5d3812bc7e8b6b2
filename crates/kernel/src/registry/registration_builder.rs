//! Registrations with metadata or a setting of how much is measured.

use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorRef, Message};

use super::error::RegistryError;
use super::holder::{Holder, Origin};
use super::measures::Measurement;
use super::metadata::Metadata;
use super::service_registry::ServiceRegistry;
use super::table::LookupError;
use super::via::explain;
use crate::namespace::ServiceKey;
use crate::supervisor::ChildSpec;

/// A registry with settings for a registration: its metadata, see [`ServiceRegistry::with_metadata`], and how much is
/// measured, see [`ServiceRegistry::measured`].
#[must_use = "it does nothing until something is registered with it"]
#[derive(Debug, Clone)]
pub struct RegistrationBuilder {
    registry: ServiceRegistry,
    metadata: Option<Metadata>,
    measurement: Option<Measurement>,
}

impl ServiceRegistry {
    /// Registers with metadata: the returned builder spawns, registers and describes children as the registry itself
    /// does.
    ///
    /// ```
    /// use foundation_kernel::{Metadata, Namespace, ProcessRegistry, ServiceKey};
    /// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
    /// # struct Clerk;
    /// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
    /// # impl Actor for Clerk {
    /// #     type Msg = u64; type State = (); type Arguments = ();
    /// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
    /// # }
    /// const CLERK: ServiceKey<u64> = ServiceKey::new("clerk");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let registry = ProcessRegistry::start().await?;
    /// let names = registry.namespace(Namespace::test()).await?;
    /// let desk = Metadata::new(&[("desk", 4)].into_iter().collect::<std::collections::BTreeMap<_, _>>())?;
    /// let clerk = names.with_metadata(desk).spawn(&CLERK, Clerk, ()).await?;
    /// assert_eq!(names.metadata(&CLERK)?.unwrap().get("desk").unwrap(), 4);
    ///
    /// // Only its owner may change it.
    /// names.update_metadata(&CLERK, &clerk, |_| Metadata::new("on holiday").ok())?;
    /// assert_eq!(names.metadata(&CLERK)?.unwrap().value(), "on holiday");
    /// # registry.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_metadata(&self, metadata: Metadata) -> RegistrationBuilder {
        self.registration_builder().with_metadata(metadata)
    }

    /// Sets how much is measured of what is registered: the returned builder spawns and describes children as the
    /// registry itself does. See [`Measurement`], also for its cost.
    pub fn measured(&self, measurement: Measurement) -> RegistrationBuilder {
        self.registration_builder().measured(measurement)
    }

    fn registration_builder(&self) -> RegistrationBuilder {
        RegistrationBuilder { registry: self.clone(), metadata: None, measurement: None }
    }

    /// The metadata of a name, if its owner has set any. Costs a lookup and one reference count.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn metadata<M: Message>(&self, key: &ServiceKey<M>) -> Result<Option<Metadata>, RegistryError> {
        let table = &self.state().table;
        let found = table.with_holder::<M, _>(key.name().as_str(), |holder, _| holder.metadata());
        let found = found.map_err(|miss| explain(table, key, miss))?;
        Ok(found.map(|(_, metadata)| metadata))
    }

    /// Changes the metadata of a name. Only its owner may: the actor that has the name passes its own reference.
    /// Elixir's `update_value`.
    ///
    /// `update` gets the current metadata and returns the new; `None` leaves it as it is. It may run more than once, if
    /// two updates race. Returns the metadata in force. A hand-over of the name keeps the metadata; a restarted child
    /// begins with the metadata of its child spec, as with its arguments, and so does one that is
    /// [replaced](ServiceRegistry::replace) by a specification with metadata.
    ///
    /// # Errors
    /// [`RegistryError::NotOwner`] names the owner; [`RegistryError::NotFound`].
    pub fn update_metadata<M>(
        &self,
        key: &ServiceKey<M>,
        owner: &ActorCell,
        mut update: impl FnMut(Option<&Metadata>) -> Option<Metadata>,
    ) -> Result<Option<Metadata>, RegistryError> {
        let (table, name) = (&self.state().table, key.name());
        loop {
            let holder = table.live_holder(name.as_str()).ok_or_else(|| explain(table, key, LookupError::Absent))?;
            if let Some(actor) = holder.actor_id().filter(|actor| *actor != owner.get_id()) {
                let (namespace, name, by) = (self.namespace(), name.clone(), owner.get_id());
                return Err(RegistryError::NotOwner { namespace, name, owner: actor, by });
            }
            let (version, before) = holder.metadata().unzip();
            let Some(after) = update(before.as_ref()) else { return Ok(before) };
            if table.describe(&holder, version, after.clone()) {
                return Ok(Some(after));
            }
        }
    }
}

impl RegistrationBuilder {
    /// With this metadata.
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata: Some(metadata), ..self }
    }

    /// With this measurement.
    pub fn measured(self, measurement: Measurement) -> Self {
        Self { measurement: Some(measurement), ..self }
    }

    /// As [`ServiceRegistry::spawn`].
    ///
    /// # Errors
    /// As there.
    pub async fn spawn<A: Actor>(
        self,
        key: &ServiceKey<A::Msg>,
        actor: A,
        args: A::Arguments,
    ) -> Result<ActorRef<A::Msg>, RegistryError> {
        let holder = Holder::new::<A::Msg>(key.name().clone(), Origin::Managed, 0);
        self.registry.spawn_as(Arc::new(holder.with_metadata(self.metadata)), self.measurement, actor, args).await
    }

    /// As [`ServiceRegistry::child_spec`]; the child begins each incarnation with this metadata and is measured so
    /// much.
    pub fn child_spec<A: Actor>(
        self,
        key: &ServiceKey<A::Msg>,
        start: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> ChildSpec {
        self.registry.child_spec_as(key, self.metadata, self.measurement, start)
    }

    /// As [`ServiceRegistry::register`]; an actor that was started elsewhere is not measured.
    ///
    /// # Errors
    /// As there.
    pub async fn register<M: Message>(self, key: &ServiceKey<M>, actor: &ActorRef<M>) -> Result<(), RegistryError> {
        let holder = Holder::new::<M>(key.name().clone(), Origin::Foreign, 0);
        self.registry.register_as(Arc::new(holder.with_metadata(self.metadata)), actor).await
    }
}
