//! The services and actors that the tests of discovery share.

use std::panic::AssertUnwindSafe;

use foundation::names::{ProcessRegistry, ServiceName, ServiceRegistry};
use foundation::ractor::ActorRef;
use foundation_discovery::health::InstanceStatus;
use foundation_discovery::{
    Criteria, Discovery, DiscoveryOptions, Instance, InstanceBuilder, InstanceCheck, InstanceName, InstanceRecord,
};
use foundation_testkit::{Command, Probe, soon, test_registry};
use futures::FutureExt;
use std::time::Duration;
use tokio::task::JoinHandle;

pub(crate) static ORDERS: ServiceName = ServiceName::from_static("orders");

/// A namespace with discovery, by a seed.
pub(crate) struct World {
    pub(crate) names: ServiceRegistry,
    pub(crate) discovery: Discovery,
    _registry: ProcessRegistry,
}

pub(crate) async fn world() -> World {
    world_with(DiscoveryOptions::new()).await
}

pub(crate) async fn world_with(options: DiscoveryOptions) -> World {
    let (registry, names) = test_registry().await;
    let discovery = Discovery::with_options(&names, options.seed(7));
    World { names, discovery, _registry: registry }
}

impl World {
    /// Spawns a probe as an instance of `orders`.
    pub(crate) async fn spawn(&self, id: &str) -> ActorRef<Command> {
        self.spawn_as(orders(id)).await
    }

    pub(crate) async fn spawn_as(&self, instance: InstanceBuilder) -> ActorRef<Command> {
        self.discovery.spawn(&instance.build().unwrap(), Probe::default(), ()).await.unwrap()
    }

    /// The ids of the instances of `orders`.
    pub(crate) fn ids(&self) -> Vec<String> {
        ids(&self.discovery.instances(&all()).unwrap_or_default())
    }
}

pub(crate) fn orders(id: &str) -> InstanceBuilder {
    Instance::builder(ORDERS.as_str(), id)
}

pub(crate) fn name(id: &str) -> InstanceName {
    InstanceName::new(&ORDERS, id).unwrap()
}

/// All instances of `orders`.
pub(crate) fn all() -> Criteria {
    Criteria::service(&ORDERS)
}

pub(crate) fn ids(records: &[InstanceRecord]) -> Vec<String> {
    records.iter().map(|record| record.name().id().to_owned()).collect()
}

/// Runs a check of all instances of `orders` each second.
pub(crate) fn check(world: &World, check: InstanceCheck) -> JoinHandle<()> {
    check_each(world, check.every(Duration::from_secs(1)))
}

/// The same at its own interval.
pub(crate) fn check_each(world: &World, check: InstanceCheck) -> JoinHandle<()> {
    check_of(world, all(), check)
}

pub(crate) fn check_of(world: &World, criteria: Criteria, check: InstanceCheck) -> JoinHandle<()> {
    let discovery = world.discovery.clone();
    tokio::spawn(async move { discovery.run_check(criteria, check).await })
}

/// Waits until an instance has this status, and returns its health as a text.
pub(crate) async fn until_status(world: &World, id: &str, status: InstanceStatus) -> String {
    until_health(world, id, &format!("{id} is {status}"), |it| it == status).await
}

/// Waits until an instance has another status than this, and returns its health as a text.
pub(crate) async fn until_other_than(world: &World, id: &str, status: InstanceStatus) -> String {
    until_health(world, id, &format!("{id} is not {status}"), |it| it != status).await
}

async fn until_health(world: &World, id: &str, what: &str, holds: impl Fn(InstanceStatus) -> bool) -> String {
    let mut watch = world.discovery.watch(all());
    soon(what, async {
        loop {
            match world.discovery.instance(&name(id)) {
                Some(record) if holds(record.status()) => return record.health.to_string(),
                _ => drop(watch.next().await),
            }
        }
    })
    .await
}

/// Runs a simulation; if it panics, with its seed.
pub(crate) async fn with_seed(seed: u64, simulation: impl Future<Output = ()>) {
    if let Err(panic) = AssertUnwindSafe(simulation).catch_unwind().await {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        panic!("seed {seed}: {}", text.unwrap_or_default());
    }
}
