//! Instances and records for the property tests.

use std::sync::LazyLock;

use foundation_kernel::names::{Metadata, Namespace, ProcessRegistry, Registration, ServiceKey, ServiceName};
use foundation_kernel::ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::{bool, option};

use crate::health::{InstanceHealth, InstanceStatus};
use crate::instance::{Instance, InstanceBuilder, InstanceRecord};

/// Few of each, so that instances have much in common.
pub(crate) fn instances() -> impl Strategy<Value = Instance> {
    let version = option::of("1\\.[0-9]\\.[0-9](-rc\\.[1-9])?");
    let endpoint = option::of("(grpc|http)://[a-z]{1,8}:[1-9][0-9]{0,3}");
    let zone = option::of("(eu|us)(/[ab])?");
    let capabilities = vec("[abc](=[1-9])?", 0..4);
    let labels = vec(("[abc]", "[xy]"), 0..4);
    let fields = (version, endpoint, zone, 1..=1_000_u16, capabilities, labels, bool::weighted(0.1));
    (select(vec!["orders", "mail", "shop.mail"]), "[a-z0-9-]{1,2}", fields).prop_map(|(service, id, fields)| {
        let (version, endpoint, zone, weight, capabilities, labels, draining) = fields;
        let mut builder = Instance::builder(service, id).weight(weight).draining(draining);
        builder = version.iter().fold(builder, InstanceBuilder::version);
        builder = endpoint.iter().fold(builder, InstanceBuilder::endpoint);
        builder = zone.iter().fold(builder, InstanceBuilder::zone);
        builder = capabilities.iter().fold(builder, InstanceBuilder::capability);
        labels.iter().fold(builder, |it, (key, value)| it.label(key, value)).build().unwrap()
    })
}

pub(crate) fn statuses() -> impl Strategy<Value = InstanceStatus> {
    use InstanceStatus::{Degraded, Draining, Healthy, Unhealthy, Unknown};
    select(vec![Unknown, Healthy, Degraded, Unhealthy, Draining])
}

pub(crate) fn records() -> impl Strategy<Value = InstanceRecord> {
    (instances(), 0..9_u64, statuses()).prop_map(|(instance, actor, status)| {
        InstanceRecord::new(instance, ActorId::Local(actor)).with_health(InstanceHealth::new(status))
    })
}

pub(crate) const ORDERS: ServiceName = ServiceName::from_static("orders");

/// A registration of this name. Only the registry makes one, so each is made from one that it has made.
pub(crate) fn registration(name: &str, actor: ActorId, metadata: Option<Metadata>) -> Registration {
    static SAMPLE: LazyLock<Registration> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(register_one())
    });
    let mut registration = SAMPLE.clone();
    registration.name = ServiceName::new(name).unwrap();
    (registration.actor, registration.metadata) = (actor, metadata);
    registration
}

async fn register_one() -> Registration {
    let registry = ProcessRegistry::start().await.unwrap();
    let names = registry.namespace(Namespace::test()).await.unwrap();
    names.spawn(&ServiceKey::<u64>::from_static("sample"), Idle, ()).await.unwrap();
    let sample = names.find(|_| true).unwrap();
    registry.shutdown().await;
    sample
}

pub(crate) struct Idle;

#[cfg_attr(feature = "async-trait", foundation_kernel::ractor::async_trait)]
impl Actor for Idle {
    type Msg = u64;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<u64>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}
