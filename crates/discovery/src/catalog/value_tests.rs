//! Tests of the catalog.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use foundation_kernel::names::{Metadata, NameChange, Registration, Watched};
use foundation_kernel::supervision::{ExitReason, Health};

use super::*;
use crate::catalog::{FindError, InstanceChange};
use crate::criteria::Criteria;
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
    let mut index: BTreeMap<String, BTreeSet<InstanceName>> = BTreeMap::new();
    for record in catalog.iter() {
        for capability in record.instance.capabilities() {
            index.entry(capability.name().to_owned()).or_default().insert(record.name().clone());
        }
    }
    index
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
        prop_assert_eq!(&catalog.by_capability, &index_of(&catalog));
        prop_assert_eq!(reader.instances(), catalog.iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_selection_by_the_index_is_that_of_all_instances(
        kinds in vec((select(&NAMES[..]), 0..7_u8), 0..6), wanted in vec(select(vec!["refund", "mail", "mail=4"]), 0..3),
    ) {
        let kinds: BTreeMap<_, _> = kinds.into_iter().collect();
        let catalog = catalog(&kinds.into_iter().collect::<Vec<_>>());
        let criteria = wanted.into_iter().fold(Criteria::any(), |it, wanted| it.capability(wanted).unwrap());
        let of_all = criteria.select(catalog.iter()).map_err(FindError::from);
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

    let described = |kind| NameChange::Updated(registration("orders.a", ActorId::Local(1), metadata("orders.a", kind)));
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
