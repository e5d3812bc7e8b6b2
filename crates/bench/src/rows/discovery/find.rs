//! Finding those of a thousand instances that can do something.

use foundation::names::ServiceEntry;
use foundation_discovery::{Criteria, Discovery, Instance};

use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::repeated;
use crate::stage::{Stage, started};

const SERVICES: usize = 10;
/// Of each service, one of which is capable.
const INSTANCES: usize = 100;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("instances_by_capability_1000", 1, by_capability)]
}

fn by_capability(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let discovery = populate(&stage);
    let capable = started(Criteria::any().capability("refund"));
    let ours = repeated(|| {
        let found = started(discovery.instances(&capable));
        assert_eq!(found.len(), SERVICES);
    });
    let peer = repeated(|| {
        let found = stage.registry.select(is_capable);
        assert_eq!(found.len(), SERVICES);
    });
    contest.between(ours, [Peer::new("ServiceRegistry::select by the metadata", 0.05, peer)])
}

fn populate(stage: &Stage) -> Discovery {
    let (_, actor) = stage.spawn_bare("echo");
    let discovery = Discovery::of(&stage.registry);
    for (service, id) in (0..SERVICES).flat_map(|service| (0..INSTANCES).map(move |id| (service, id))) {
        let instance = Instance::builder(format!("service-{service}"), id.to_string());
        let instance = if id == 7 { instance.capability("refund") } else { instance };
        started(stage.runtime.block_on(discovery.register(&started(instance.build()), &actor)));
    }
    discovery
}

fn is_capable(service: &ServiceEntry<'_>) -> bool {
    let capabilities = service.metadata().and_then(|it| it.get("instance")?.get("capabilities")?.as_array());
    capabilities.is_some_and(|it| it.iter().any(|capability| capability == "refund"))
}
