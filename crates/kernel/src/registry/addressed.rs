//! The operations on names of any namespace; the facade of one namespace saves the lookup in the map.

use std::collections::BTreeMap;

use ractor::{ActorCell, ActorRef, Message};

use super::error::RegistryError;
use super::process_registry::ProcessRegistry;
use super::via::Via;
use crate::namespace::{Namespace, ServiceKey, ServiceName};

impl ProcessRegistry {
    /// Registers an actor that was started elsewhere; see
    /// [`ServiceRegistry::register`](crate::ServiceRegistry::register).
    ///
    /// # Errors
    /// As there, and as [`namespace`](Self::namespace).
    pub async fn register<M: Message>(
        &self,
        namespace: Namespace,
        key: &ServiceKey<M>,
        actor: &ActorRef<M>,
    ) -> Result<(), RegistryError> {
        self.namespace(namespace).await?.register(key, actor).await
    }

    /// Takes a name away; see [`ServiceRegistry::unregister`](crate::ServiceRegistry::unregister).
    pub fn unregister<M>(&self, namespace: Namespace, key: &ServiceKey<M>) -> bool {
        self.open_registry(namespace).is_some_and(|registry| registry.unregister(key))
    }

    /// The live actor of a name; see [`ServiceRegistry::lookup`](crate::ServiceRegistry::lookup).
    ///
    /// # Errors
    /// As there; [`RegistryError::NotFound`] also if the namespace is not up.
    pub fn lookup<M: Message>(&self, namespace: Namespace, key: &ServiceKey<M>) -> Result<ActorRef<M>, RegistryError> {
        match self.open_registry(namespace) {
            Some(registry) => registry.lookup(key),
            None => Err(RegistryError::NotFound { namespace, name: key.name().clone(), near: Default::default() }),
        }
    }

    /// The names in a namespace that have a live actor, sorted.
    pub fn list_services(&self, namespace: Namespace) -> Vec<ServiceName> {
        self.open_registry(namespace).map(|registry| registry.list_services()).unwrap_or_default()
    }

    /// The live actors of a namespace by name.
    pub fn get_all_services(&self, namespace: Namespace) -> BTreeMap<ServiceName, ActorCell> {
        let Some(registry) = self.open_registry(namespace) else { return BTreeMap::new() };
        let holders = registry.state().table.holders();
        let live = holders.iter().filter_map(|holder| Some((holder.name().clone(), holder.live()?.clone())));
        live.collect()
    }

    /// Whether a live actor has this name.
    pub fn is_registered<M>(&self, namespace: Namespace, key: &ServiceKey<M>) -> bool {
        self.open_registry(namespace).is_some_and(|registry| registry.is_registered(key))
    }

    /// How many names in a namespace have a live actor.
    pub fn count_services(&self, namespace: Namespace) -> usize {
        self.list_services(namespace).len()
    }

    /// A late-bound handle; the namespace is started if it is not up yet.
    ///
    /// # Errors
    /// As [`namespace`](Self::namespace).
    pub async fn via<M: Message>(&self, namespace: Namespace, key: &ServiceKey<M>) -> Result<Via<M>, RegistryError> {
        Ok(self.namespace(namespace).await?.via(key))
    }
}
