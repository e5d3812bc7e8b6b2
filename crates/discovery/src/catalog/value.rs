//! The catalog of a namespace's instances.
//!
//! # Invariants
//!
//! 1. An instance is in the catalog exactly if a name is shown whose metadata is that instance: the fold of all changes is
//!    the fold of a snapshot taken after them.
//! 2. The changes that a fold returns, applied one after the other, lead from the instances before to those after.
//! 3. A health belongs to an incarnation. It stays when the metadata changes, and goes with the actor.
//! 4. The index names exactly the instances that have a capability.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foundation_kernel::names::{NearMisses, ServiceName};
use foundation_kernel::ractor::ActorId;

use crate::health::{CheckRole, InstanceHealth, ServiceHealth};
use crate::instance::{Capability, Instance, InstanceName, InstanceRecord};

/// The services of a namespace with their instances: a fold of what a [`Watch`](foundation_kernel::names::Watch) shows.
///
/// A value, which is as current as the last item that was applied. A lookup costs two looks in a map.
///
/// ```
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// use foundation_discovery::{Catalog, Criteria, Instance};
/// use foundation_kernel::names::{Namespace, ProcessRegistry, ServiceKey};
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = u64; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let registry = ProcessRegistry::start().await?;
/// let names = registry.namespace(Namespace::test()).await?;
/// let instance = Instance::builder("orders", "a").version("1.4.2").build()?;
/// let key = ServiceKey::from(instance.name().registered().clone());
/// names.with_metadata(instance.to_metadata()?).spawn(&key, Clerk, ()).await?;
///
/// let mut catalog = Catalog::new();
/// catalog.apply(names.watch().next().await.ok_or("it runs")?);
/// let orders = Criteria::service(instance.service()).version("^1.4")?;
/// assert_eq!(catalog.select(&orders)?[0].name(), instance.name());
/// # registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    pub(super) services: BTreeMap<ServiceName, BTreeMap<ServiceName, Entry>>,
    /// By the name of a capability: sorted as the instances are, by service and then by name.
    pub(super) by_capability: BTreeMap<String, BTreeSet<InstanceName>>,
    /// Names whose metadata says that they are instances, and is not valid.
    pub(super) invalid: BTreeMap<ServiceName, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) record: InstanceRecord,
    /// What its checks found: not shown while it is draining.
    pub(super) checked: InstanceHealth,
}

impl Entry {
    pub(super) fn new(instance: Arc<Instance>, actor: ActorId, checked: InstanceHealth) -> Self {
        let health = InstanceHealth::combined([(CheckRole::Readiness, checked.clone())], instance.is_draining());
        Self { record: InstanceRecord::new(instance, actor).with_health(health), checked }
    }
}

impl Catalog {
    /// Without an instance.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn insert(&mut self, entry: Entry) -> InstanceRecord {
        let record = entry.record.clone();
        let name = record.name().registered();
        for capability in record.instance.capabilities() {
            self.by_capability.entry(capability.name().to_owned()).or_default().insert(record.name().clone());
        }
        self.services.entry(record.service().clone()).or_default().insert(name.clone(), entry);
        record
    }

    pub(super) fn remove(&mut self, name: &ServiceName) -> Option<Entry> {
        let service = InstanceName::service_of(name)?;
        let instances = self.services.get_mut(service)?;
        let entry = instances.remove(name)?;
        if instances.is_empty() {
            self.services.remove(service);
        }
        for capability in entry.record.instance.capabilities() {
            let Some(names) = self.by_capability.get_mut(capability.name()) else { continue };
            names.remove(entry.record.name());
            if names.is_empty() {
                self.by_capability.remove(capability.name());
            }
        }
        Some(entry)
    }

    // ---- reading ----

    /// The services that have an instance, sorted.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &ServiceName> {
        self.services.keys()
    }

    /// How many instances there are. Cost: linear in the services.
    pub fn len(&self) -> usize {
        self.services.values().map(BTreeMap::len).sum()
    }

    /// Whether there is no instance.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// All instances, sorted by service and id.
    pub fn iter(&self) -> impl Iterator<Item = &InstanceRecord> + Clone {
        self.services.values().flat_map(BTreeMap::values).map(|entry| &entry.record)
    }

    /// The instances of a service, sorted by id.
    pub fn instances(&self, service: &ServiceName) -> impl Iterator<Item = &InstanceRecord> + Clone {
        self.services.get(service).into_iter().flat_map(BTreeMap::values).map(|entry| &entry.record)
    }

    /// One instance.
    pub fn get(&self, name: &InstanceName) -> Option<&InstanceRecord> {
        self.services.get(name.service())?.get(name.registered()).map(|entry| &entry.record)
    }

    /// The instances that can do this, of all services. Cost: linear in those that have the capability at all.
    pub fn providers(&self, needed: &Capability) -> impl Iterator<Item = &InstanceRecord> {
        let can =
            |record: &&InstanceRecord| record.instance.capability(needed.name()).is_some_and(|it| it.meets(needed));
        self.with_capability(needed).filter(can)
    }

    /// The instances that have a capability of this name, sorted by service and id.
    pub(super) fn with_capability(&self, needed: &Capability) -> impl Iterator<Item = &InstanceRecord> + Clone {
        self.by_capability.get(needed.name()).into_iter().flatten().filter_map(|name| self.get(name))
    }

    /// The capabilities that an instance has, sorted, each with how many have it.
    pub fn capabilities(&self) -> impl ExactSizeIterator<Item = (&str, usize)> {
        self.by_capability.iter().map(|(name, names)| (name.as_str(), names.len()))
    }

    /// The services of similar names.
    pub(crate) fn near(&self, service: &ServiceName) -> NearMisses {
        NearMisses::of(service.as_str(), self.services().map(ServiceName::as_str))
    }

    /// How many instances a service has.
    pub(crate) fn count_of(&self, service: &ServiceName) -> usize {
        self.services.get(service).map_or(0, BTreeMap::len)
    }

    /// The condition of a service. Without an instance it is down.
    pub fn service_health(&self, service: &ServiceName) -> ServiceHealth {
        ServiceHealth::of(service, self.instances(service).map(|record| (record.name(), &record.health)))
    }

    /// The names whose metadata says that they are instances, and is not valid: each with what is wrong.
    pub fn invalid(&self) -> impl ExactSizeIterator<Item = (&ServiceName, &str)> {
        self.invalid.iter().map(|(name, error)| (name, error.as_str()))
    }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
