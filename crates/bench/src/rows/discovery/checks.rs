//! Recording the results of the checks of a thousand instances.

use foundation::supervision::Health;
use foundation_discovery::health::CheckRules;
use foundation_discovery::{Discovery, Instance, InstanceName};
use serde_json::json;

use crate::actors::EchoMsg;
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::{Batch, repeated};
use crate::stage::{Stage, started};

const SERVICES: usize = 10;
const INSTANCES: usize = 100;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("checks_1000", 1, checks)]
}

fn checks(contest: &mut Contest<'_>) -> Vec<Measured> {
    let peer = Peer::new("update_metadata of its name", 2.0, updates());
    contest.between(records(), [peer])
}

fn instances() -> impl Iterator<Item = Instance> {
    let all = (0..SERVICES).flat_map(|service| (0..INSTANCES).map(move |id| (service, id)));
    all.map(|(service, id)| started(Instance::builder(format!("service-{service}"), id.to_string()).build()))
}

fn records<'a>() -> Batch<'a> {
    let stage = Stage::set();
    let (_, actor) = stage.spawn_bare("echo");
    let discovery = Discovery::of(&stage.registry);
    for instance in instances() {
        started(stage.runtime.block_on(discovery.register(&instance, &actor)));
    }
    let names: Vec<InstanceName> = instances().map(|instance| instance.name().clone()).collect();
    let (rules, mut next) = (CheckRules::new(), 0);
    repeated(move || {
        // The runtime of the actor lives as long as it is checked.
        let _ = &stage;
        next = (next + 1) % names.len();
        started(discovery.record_check(&names[next], "ready", &rules, Health::Healthy))
    })
}

/// What a registry without discovery would do: the health as metadata of the name.
fn updates<'a>() -> Batch<'a> {
    let stage = Stage::set();
    let (_, actor) = stage.spawn_bare("echo");
    let keys: Vec<_> = instances().map(|instance| Discovery::key::<EchoMsg>(instance.name())).collect();
    for key in &keys {
        started(stage.runtime.block_on(stage.registry.register(key, &actor)));
    }
    let (owner, mut next) = (actor.get_cell(), 0);
    repeated(move || {
        let stage = &stage;
        next = (next + 1) % keys.len();
        let health = started(foundation::names::Metadata::new(&json!({ "health": "healthy" })));
        started(stage.registry.update_metadata(&keys[next], &owner, |_| Some(health.clone())))
    })
}
