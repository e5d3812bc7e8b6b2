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

use foundation_kernel::names::{NameChange, NearMisses, Registration, ServiceName, Watched};
use foundation_kernel::ractor::ActorId;

use super::change::{InstanceChange, RemovalCause};
use super::summary::ServiceSummary;
use crate::criteria::{Criteria, NoneFitsError};
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
    services: BTreeMap<ServiceName, BTreeMap<ServiceName, Entry>>,
    /// By the name of a capability: sorted as the instances are, by service and then by name.
    by_capability: BTreeMap<String, BTreeSet<InstanceName>>,
    /// Names whose metadata says that they are instances, and is not valid.
    invalid: BTreeMap<ServiceName, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    record: InstanceRecord,
    /// What its checks found: not shown while it is draining.
    checked: InstanceHealth,
}

impl Entry {
    fn new(instance: Instance, actor: ActorId, checked: InstanceHealth) -> Self {
        let health = InstanceHealth::combined([(CheckRole::Readiness, checked.clone())], instance.is_draining());
        Self { record: InstanceRecord::new(instance, actor).with_health(health), checked }
    }
}

/// Why no instance was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// The service has no instance.
    #[error("there is no instance of {service}{near}")]
    NoService {
        /// The service.
        service: ServiceName,
        /// Services of similar names that have instances.
        near: NearMisses,
    },
    /// The service has instances, and none meets the criteria.
    #[error(transparent)]
    NoneFits(Box<NoneFitsError>),
}

impl From<NoneFitsError> for FindError {
    fn from(error: NoneFitsError) -> Self {
        Self::NoneFits(Box::new(error))
    }
}

impl Catalog {
    /// Without an instance.
    pub fn new() -> Self {
        Self::default()
    }

    // ---- folding ----

    /// Takes in what a watch of all names has shown, and returns what it changes.
    pub fn apply(&mut self, watched: Watched) -> Vec<InstanceChange> {
        match watched {
            Watched::Snapshot(snapshot) | Watched::Lagged { snapshot, .. } => self.reset(snapshot),
            Watched::Change(change) => self.change(change),
            // The watch has no other items today.
            _ => Vec::new(),
        }
    }

    fn reset(&mut self, snapshot: Vec<Registration>) -> Vec<InstanceChange> {
        let left: BTreeSet<_> = snapshot.iter().map(|registration| registration.name.clone()).collect();
        self.invalid.retain(|name, _| left.contains(name));
        let known: Vec<_> = self.iter().map(|record| record.name().registered().clone()).collect();
        let gone = known.iter().filter(|name| !left.contains(*name));
        let mut changes: Vec<_> = gone.filter_map(|name| self.end(name, RemovalCause::Missed)).collect();
        changes.extend(snapshot.iter().flat_map(|registration| self.put(registration, RemovalCause::Missed)));
        changes
    }

    fn change(&mut self, change: NameChange) -> Vec<InstanceChange> {
        let cause = match &change {
            NameChange::Died { reason, .. } => RemovalCause::of_exit(reason.clone()),
            NameChange::Unregistered { .. } => RemovalCause::Unregistered,
            NameChange::HandedOver { to, .. } => RemovalCause::HandedOver { to: to.actor },
            // A name that is taken was free.
            _ => RemovalCause::Missed,
        };
        match change.service() {
            Some(registration) => self.put(registration, cause),
            None => {
                self.invalid.remove(change.name());
                self.end(change.name(), cause).into_iter().collect()
            }
        }
    }

    /// Shows a registration in the place of the one that its name had.
    fn put(&mut self, registration: &Registration, cause: RemovalCause) -> Vec<InstanceChange> {
        let (name, actor) = (&registration.name, registration.actor);
        let before = self.remove(name);
        let next = self.read(registration);
        match (before, next) {
            (Some(before), Some(instance)) if before.record.actor == actor => {
                self.update(before, instance).into_iter().collect()
            }
            (before, next) => {
                let cause = match &before {
                    Some(before) if before.record.actor == actor => RemovalCause::MetadataReplaced,
                    _ => cause,
                };
                let removed = before.map(|before| InstanceChange::Removed { instance: before.record, cause });
                let added = next.map(|instance| self.insert(Entry::new(instance, actor, InstanceHealth::UNKNOWN)));
                removed.into_iter().chain(added.map(InstanceChange::Added)).collect()
            }
        }
    }

    fn update(&mut self, before: Entry, instance: Instance) -> Option<InstanceChange> {
        let after = self.insert(Entry::new(instance, before.record.actor, before.checked));
        let before = before.record;
        (before != after).then_some(InstanceChange::Updated { before, after })
    }

    /// The instance that a registration is, if it is one.
    fn read(&mut self, registration: &Registration) -> Option<Instance> {
        let read = Instance::of(registration);
        match &read {
            Ok(_) => self.invalid.remove(&registration.name),
            Err(error) => self.invalid.insert(registration.name.clone(), error.to_string()),
        };
        read.ok().flatten()
    }

    fn end(&mut self, name: &ServiceName, cause: RemovalCause) -> Option<InstanceChange> {
        let instance = self.remove(name)?.record;
        Some(InstanceChange::Removed { instance, cause })
    }

    fn insert(&mut self, entry: Entry) -> InstanceRecord {
        let record = entry.record.clone();
        let name = record.name().registered();
        for capability in record.instance.capabilities() {
            self.by_capability.entry(capability.name().to_owned()).or_default().insert(record.name().clone());
        }
        self.services.entry(record.service().clone()).or_default().insert(name.clone(), entry);
        record
    }

    fn remove(&mut self, name: &ServiceName) -> Option<Entry> {
        let service = InstanceName::of(name)?;
        let instances = self.services.get_mut(service.service())?;
        let entry = instances.remove(name)?;
        if instances.is_empty() {
            self.services.remove(service.service());
        }
        for capability in entry.record.instance.capabilities() {
            let Some(names) = self.by_capability.get_mut(capability.name()) else { continue };
            names.remove(&service);
            if names.is_empty() {
                self.by_capability.remove(capability.name());
            }
        }
        Some(entry)
    }

    /// Sets what the checks of an incarnation have found, and returns the change if its status is another now. Nothing
    /// happens if the actor does not have the name.
    pub fn set_health(
        &mut self,
        name: &InstanceName,
        actor: ActorId,
        checked: InstanceHealth,
    ) -> Option<InstanceChange> {
        let entry = self.services.get_mut(name.service())?.get_mut(name.registered())?;
        let record = &mut entry.record;
        if record.actor != actor {
            return None;
        }
        entry.checked = checked.clone();
        let health = InstanceHealth::combined([(CheckRole::Readiness, checked)], record.instance.is_draining());
        let from = std::mem::replace(&mut record.health, health);
        (from.status != record.health.status).then(|| InstanceChange::StatusChanged { from, instance: record.clone() })
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
    fn with_capability(&self, needed: &Capability) -> impl Iterator<Item = &InstanceRecord> + Clone {
        self.by_capability.get(needed.name()).into_iter().flatten().filter_map(|name| self.get(name))
    }

    /// The capabilities that an instance has, sorted, each with how many have it.
    pub fn capabilities(&self) -> impl ExactSizeIterator<Item = (&str, usize)> {
        self.by_capability.iter().map(|(name, names)| (name.as_str(), names.len()))
    }

    /// The instances that meet all criteria, sorted by service and id. Cost: linear in the instances of the service that is
    /// asked for; without a service, in those that have the rarest of the capabilities that are asked for; or in all of them.
    ///
    /// # Errors
    /// [`FindError::NoService`] names services of similar names; [`FindError::NoneFits`] says why none does.
    pub fn select(&self, criteria: &Criteria) -> Result<Vec<&InstanceRecord>, FindError> {
        let fitting = self.fitting(criteria);
        if fitting.is_empty() { Err(criteria.explain(self.considered(criteria)?).into()) } else { Ok(fitting) }
    }

    /// The same without an explanation: none if no instance fits.
    pub(crate) fn fitting(&self, criteria: &Criteria) -> Vec<&InstanceRecord> {
        let fits = |record: &&InstanceRecord| criteria.accepts(&record.instance, record.status());
        let number = |needed: &&Capability| self.by_capability.get(needed.name()).map_or(0, BTreeSet::len);
        match (criteria.wanted_service(), criteria.wanted_capabilities().min_by_key(number)) {
            (Some(service), _) => self.instances(service).filter(fits).collect(),
            (None, Some(rarest)) => self.with_capability(rarest).filter(fits).collect(),
            (None, None) => self.iter().filter(fits).collect(),
        }
    }

    /// The instances that an explanation is about, if none fits.
    ///
    /// # Errors
    /// [`FindError::NoService`].
    pub(crate) fn considered(&self, criteria: &Criteria) -> Result<Vec<&InstanceRecord>, FindError> {
        let Some(service) = criteria.wanted_service() else { return Ok(self.iter().collect()) };
        self.check_has(service)?;
        Ok(self.instances(service).collect())
    }

    fn check_has(&self, service: &ServiceName) -> Result<(), FindError> {
        if self.services.contains_key(service) {
            return Ok(());
        }
        Err(FindError::NoService { service: service.clone(), near: self.near(service) })
    }

    /// The services of similar names.
    pub(crate) fn near(&self, service: &ServiceName) -> NearMisses {
        NearMisses::of(service.as_str(), self.services().map(ServiceName::as_str))
    }

    /// A service in short. Cost: linear in its instances.
    ///
    /// # Errors
    /// [`FindError::NoService`] names services of similar names.
    pub fn summary(&self, service: &ServiceName) -> Result<ServiceSummary, FindError> {
        self.check_has(service)?;
        Ok(self.summary_of(service))
    }

    /// All services in short, sorted by name. Cost: linear in the instances.
    pub fn summaries(&self) -> impl ExactSizeIterator<Item = ServiceSummary> {
        self.services().map(|service| self.summary_of(service))
    }

    fn summary_of(&self, service: &ServiceName) -> ServiceSummary {
        ServiceSummary::of(service, self.service_health(service), self.instances(service))
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
