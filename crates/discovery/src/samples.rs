//! Instances and records for the property tests.

use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::ActorId;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::{bool, option};

use crate::health::{InstanceHealth, InstanceStatus};
use crate::instance::{Instance, InstanceBuilder};
use crate::record::InstanceRecord;

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
