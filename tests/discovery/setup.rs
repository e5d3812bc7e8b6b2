//! The services and actors that the tests of discovery share.

use foundation::names::{ProcessRegistry, ServiceName, ServiceRegistry};
use foundation::ractor::ActorRef;
use foundation_discovery::{
    Criteria, Discovery, DiscoveryOptions, Instance, InstanceBuilder, InstanceName, InstanceRecord,
};
use foundation_testkit::{Command, Probe, test_registry};

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
