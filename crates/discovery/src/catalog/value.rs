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
    able: BTreeMap<String, BTreeSet<InstanceName>>,
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
    NoneFits(#[from] NoneFitsError),
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
            self.able.entry(capability.name().to_owned()).or_default().insert(record.name().clone());
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
            let Some(able) = self.able.get_mut(capability.name()) else { continue };
            able.remove(&service);
            if able.is_empty() {
                self.able.remove(capability.name());
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
        self.able(needed).filter(can)
    }

    /// The instances that have a capability of this name, sorted by service and id.
    fn able(&self, needed: &Capability) -> impl Iterator<Item = &InstanceRecord> + Clone {
        self.able.get(needed.name()).into_iter().flatten().filter_map(|name| self.get(name))
    }

    /// The capabilities that an instance has, sorted, each with how many have it.
    pub fn capabilities(&self) -> impl ExactSizeIterator<Item = (&str, usize)> {
        self.able.iter().map(|(name, able)| (name.as_str(), able.len()))
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
        let number = |needed: &&Capability| self.able.get(needed.name()).map_or(0, BTreeSet::len);
        match (criteria.wanted_service(), criteria.wanted_capabilities().min_by_key(number)) {
            (Some(service), _) => self.instances(service).filter(fits).collect(),
            (None, Some(rarest)) => self.able(rarest).filter(fits).collect(),
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
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use foundation_kernel::names::Metadata;
    use foundation_kernel::supervision::{ExitReason, Health};

    use super::*;
    use crate::health::{InstanceStatus, StatusReason};
    use crate::samples::{ORDERS, registration};

    // `shop.z` comes after the service `shop.mail` by its name, and before it by its service.
    const NAMES: [&str; 6] = ["orders.a", "orders.b", "shop.mail.a", "shop.z", "plain", "no.instance"];

    /// What the owner of a name publishes.
    fn metadata(name: &str, kind: u8) -> Option<Metadata> {
        let instance = |change: &dyn Fn(crate::InstanceBuilder) -> crate::InstanceBuilder| {
            let name = InstanceName::of(&ServiceName::new(name).unwrap())?;
            change(Instance::builder(name.service().as_str(), name.id())).build().unwrap().to_metadata().ok()
        };
        match kind {
            0 => None,
            1 => Metadata::new("something else").ok(),
            2 => Metadata::new(&serde_json::json!({"instance": {"service": "orders"}})).ok(),
            3 => Metadata::new(&serde_json::json!({"instance": {"service": "orders", "id": "elsewhere"}})).ok(),
            4 => instance(&|it| it.capability("refund")),
            5 => instance(&|it| it.capability("refund").capability("mail=3").draining(true)),
            _ => instance(&|it| it.version("1.4.2")),
        }
    }

    #[derive(Debug, Clone)]
    enum Deed {
        Take {
            name: &'static str,
            kind: u8,
        },
        Describe {
            name: &'static str,
            kind: u8,
        },
        HandOver {
            name: &'static str,
        },
        Die {
            name: &'static str,
        },
        TakeAway {
            name: &'static str,
        },
        /// The reader is too slow, and misses what is done until the next one.
        Lag,
        Check {
            name: &'static str,
            status: InstanceStatus,
        },
    }

    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let name = || select(&NAMES[..]);
        let statuses = vec![InstanceStatus::Healthy, InstanceStatus::Degraded, InstanceStatus::Unhealthy];
        let deed = prop_oneof![
            4 => (name(), 0..7_u8).prop_map(|(name, kind)| Deed::Take { name, kind }),
            3 => (name(), 0..7_u8).prop_map(|(name, kind)| Deed::Describe { name, kind }),
            1 => name().prop_map(|name| Deed::HandOver { name }),
            2 => name().prop_map(|name| Deed::Die { name }),
            1 => name().prop_map(|name| Deed::TakeAway { name }),
            1 => Just(Deed::Lag),
            2 => (name(), select(statuses)).prop_map(|(name, status)| Deed::Check { name, status }),
        ];
        vec(deed, 0..60)
    }

    /// The names of a namespace, and the changes that a watch shows of them.
    #[derive(Default)]
    struct World {
        names: BTreeMap<&'static str, Registration>,
        actors: u64,
    }

    impl World {
        fn new_actor(&mut self) -> ActorId {
            self.actors += 1;
            ActorId::Local(self.actors)
        }

        fn act(&mut self, deed: &Deed) -> Option<NameChange> {
            let ended = |name: &Registration| (name.name.clone(), name.actor);
            Some(match deed {
                Deed::Take { name, kind } if !self.names.contains_key(name) => {
                    let taken = registration(name, self.new_actor(), metadata(name, *kind));
                    self.names.insert(name, taken.clone());
                    NameChange::Registered(taken)
                }
                Deed::Describe { name, kind } => {
                    let described = self.names.get_mut(name)?;
                    described.metadata = Some(metadata(name, *kind)?);
                    NameChange::Updated(described.clone())
                }
                Deed::HandOver { name } => {
                    let actor = self.new_actor();
                    let to = self.names.get_mut(name)?;
                    let from = std::mem::replace(&mut to.actor, actor);
                    NameChange::HandedOver { from, to: to.clone() }
                }
                Deed::Die { name } => {
                    let (name, actor) = ended(&self.names.remove(name)?);
                    NameChange::Died { name, actor, reason: Some(ExitReason::Killed) }
                }
                Deed::TakeAway { name } => {
                    let (name, actor) = ended(&self.names.remove(name)?);
                    NameChange::Unregistered { name, actor }
                }
                _ => return None,
            })
        }

        fn snapshot(&self) -> Vec<Registration> {
            self.names.values().cloned().collect()
        }
    }

    /// A reader that applies the changes of a catalog.
    #[derive(Default)]
    struct Reader(BTreeMap<InstanceName, InstanceRecord>);

    impl Reader {
        fn apply(&mut self, change: InstanceChange) {
            let before = self.0.get(change.name()).cloned();
            assert_eq!(before.as_ref().map(InstanceRecord::status), change.status_before(), "{change}");
            match change {
                InstanceChange::Added(instance) => drop(self.0.insert(instance.name().clone(), instance)),
                InstanceChange::Updated { before: known, after } => {
                    assert_eq!((before.as_ref(), known.actor), (Some(&known), after.actor));
                    self.0.insert(after.name().clone(), after);
                }
                InstanceChange::StatusChanged { from, instance } => {
                    assert_ne!(from.status, instance.status());
                    self.0.insert(instance.name().clone(), instance);
                }
                InstanceChange::Removed { instance, .. } => {
                    assert_eq!(self.0.remove(instance.name()), Some(instance));
                }
            }
        }

        fn instances(&self) -> Vec<&InstanceRecord> {
            self.0.values().collect()
        }
    }

    fn index_of(catalog: &Catalog) -> BTreeMap<String, BTreeSet<InstanceName>> {
        let mut able: BTreeMap<String, BTreeSet<InstanceName>> = BTreeMap::new();
        for record in catalog.iter() {
            for capability in record.instance.capabilities() {
                able.entry(capability.name().to_owned()).or_default().insert(record.name().clone());
            }
        }
        able
    }

    proptest! {
        #[test]
        fn the_fold_of_changes_is_that_of_a_snapshot_and_readers_of_its_changes_have_the_same(deeds in deeds()) {
            let (mut world, mut catalog, mut reader) = (World::default(), Catalog::new(), Reader::default());
            let mut lags = false;
            for deed in &deeds {
                let change = world.act(deed);
                let changes = match (deed, change) {
                    (Deed::Lag, _) if lags => catalog.apply(Watched::Lagged { missed: 1, snapshot: world.snapshot() }),
                    (Deed::Check { name, status }, _) => {
                        let Some(name) = InstanceName::of(&ServiceName::new(name).unwrap()) else { continue };
                        let Some(actor) = catalog.get(&name).map(|record| record.actor) else { continue };
                        catalog.set_health(&name, actor, InstanceHealth::new(*status)).into_iter().collect()
                    }
                    (_, Some(change)) if !lags => catalog.apply(Watched::Change(change)),
                    _ => Vec::new(),
                };
                lags ^= matches!(deed, Deed::Lag);
                changes.into_iter().for_each(|change| reader.apply(change));
                prop_assert_eq!(reader.instances().into_iter().map(InstanceRecord::name).collect::<Vec<_>>(),
                    catalog.iter().map(InstanceRecord::name).collect::<Vec<_>>());
            }
            let changes = catalog.apply(Watched::Lagged { missed: 1, snapshot: world.snapshot() });
            changes.into_iter().for_each(|change| reader.apply(change));

            let mut anew = Catalog::new();
            anew.apply(Watched::Snapshot(world.snapshot()));
            for record in catalog.iter() {
                let entry = &catalog.services[record.service()][record.name().registered()];
                anew.set_health(record.name(), record.actor, entry.checked.clone());
            }
            prop_assert_eq!(&catalog, &anew);
            prop_assert_eq!(&catalog.able, &index_of(&catalog));
            prop_assert_eq!(reader.instances(), catalog.iter().collect::<Vec<_>>());
        }

        #[test]
        fn a_selection_by_the_index_is_that_of_all_instances(
            kinds in vec((select(&NAMES[..]), 0..7_u8), 0..6), wanted in vec(select(vec!["refund", "mail", "mail=4"]), 0..3),
        ) {
            let kinds: BTreeMap<_, _> = kinds.into_iter().collect();
            let catalog = catalog(&kinds.into_iter().collect::<Vec<_>>());
            let criteria = wanted.into_iter().fold(Criteria::any(), |it, wanted| it.capability(wanted).unwrap());
            let of_all = criteria.select(catalog.iter()).map_err(FindError::NoneFits);
            prop_assert_eq!(catalog.select(&criteria), of_all);
        }
    }

    fn name(text: &str) -> InstanceName {
        InstanceName::of(&ServiceName::new(text).unwrap()).unwrap()
    }

    fn catalog(instances: &[(&str, u8)]) -> Catalog {
        let mut catalog = Catalog::new();
        let shown = instances.iter().zip(1..);
        let shown = shown.map(|((name, kind), actor)| registration(name, ActorId::Local(actor), metadata(name, *kind)));
        catalog.apply(Watched::Snapshot(shown.collect()));
        catalog
    }

    #[test]
    fn a_service_that_has_no_instance_is_an_error_with_similar_names() {
        let catalog = catalog(&[("orders.a", 4), ("plain", 0)]);
        let error = catalog.select(&Criteria::service(&ServiceName::from_static("order"))).unwrap_err();
        assert_eq!(error.to_string(), "there is no instance of order; did you mean orders?");
        let error = catalog.select(&Criteria::service(&ORDERS).healthy_only()).unwrap_err();
        assert_eq!(error.to_string(), "none of 1 instances of orders fits: unknown (1)");
    }

    #[test]
    fn metadata_that_is_not_valid_is_listed_with_what_is_wrong() {
        let mut catalog = catalog(&[("orders.a", 2), ("orders.b", 3)]);
        let invalid: Vec<_> = catalog.invalid().map(|(name, error)| format!("{name}: {error}")).collect();
        assert_eq!(
            invalid,
            [
                "orders.a: the metadata of orders.a is not that of an instance: missing field `id`",
                "orders.b: the metadata of orders.b is that of the instance orders.elsewhere, which has to be registered \
                 as orders.elsewhere",
            ]
        );
        catalog.apply(Watched::Snapshot(Vec::new()));
        assert_eq!(catalog, Catalog::new());
    }

    #[test]
    fn providers_are_those_that_can_do_as_much() {
        let catalog = catalog(&[("orders.a", 4), ("orders.b", 5), ("shop.mail.a", 6)]);
        let ids = |needed: &str| {
            let needed = needed.parse().unwrap();
            catalog.providers(&needed).map(|record| record.name().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ids("refund"), ["orders.a", "orders.b"]);
        assert_eq!((ids("mail=3"), ids("mail=4")), (vec!["orders.b".to_owned()], vec![]));
        assert_eq!(catalog.capabilities().collect::<Vec<_>>(), [("mail", 1), ("refund", 2)]);
    }

    #[test]
    fn a_health_is_of_one_incarnation_and_outlives_an_update() {
        let mut catalog = catalog(&[("orders.a", 4)]);
        let unhealthy = InstanceHealth::new(InstanceStatus::Unhealthy);
        assert_eq!(catalog.set_health(&name("orders.a"), ActorId::Local(9), unhealthy.clone()), None);
        let change = catalog.set_health(&name("orders.a"), ActorId::Local(1), unhealthy).unwrap();
        assert_eq!(change.to_string(), "orders.a was unknown and is unhealthy");

        let described =
            |kind| NameChange::Updated(registration("orders.a", ActorId::Local(1), metadata("orders.a", kind)));
        let drains = catalog.apply(Watched::Change(described(5)));
        assert_eq!(drains[0].to_string(), "orders.a updated, draining");
        let back = catalog.apply(Watched::Change(described(4)));
        assert_eq!(back[0].to_string(), "orders.a updated, unhealthy");

        let to = registration("orders.a", ActorId::Local(2), metadata("orders.a", 4));
        let handed = catalog.apply(Watched::Change(NameChange::HandedOver { from: ActorId::Local(1), to }));
        let texts: Vec<_> = handed.iter().map(ToString::to_string).collect();
        let to = ActorId::Local(2);
        let expected =
            [format!("orders.a removed: its name was handed over to actor {to}"), "orders.a added, unknown".to_owned()];
        assert_eq!(texts, expected);
    }

    #[test]
    fn another_text_of_a_check_is_no_change() {
        let mut catalog = catalog(&[("orders.a", 4)]);
        let because = |text: &str| {
            let health = Health::Failed(text.to_owned());
            InstanceHealth::because(InstanceStatus::Unhealthy, StatusReason::Check { health, in_a_row: 3 })
        };
        assert!(catalog.set_health(&name("orders.a"), ActorId::Local(1), because("no disk")).is_some());
        assert_eq!(catalog.set_health(&name("orders.a"), ActorId::Local(1), because("no net")), None);
        let condition = catalog.service_health(&ORDERS).to_string();
        assert_eq!(condition, "orders is down: 1 unhealthy; a is unhealthy: failed: no net (3 in a row)");
    }
}
