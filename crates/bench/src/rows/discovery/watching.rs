//! From the registration of an instance to the moment at which a watch of its service shows it.
//!
//! The peer registers and watches a name alone. Ours also writes the instance as metadata, reserves a place among the limited
//! number of instances, reads the instance back in the watch, and looks whether it meets the criteria and how healthy it is.

use std::time::{Duration, Instant};

use foundation::ServiceKey;
use foundation::names::Watched;
use foundation::ractor::ActorRef;
use foundation_discovery::{Criteria, Discovery, InstanceWatched};

use super::echo;
use crate::actors::EchoMsg;
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::stage::{Stage, as_task, started};

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("registered_watched", 1, watched)]
}

fn watched(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let (_, actor) = stage.spawn_bare("echo");
    let discovery = Discovery::of(&stage.registry);
    let (registry, bare) = (stage.registry.clone(), actor.clone());
    let ours = as_task(&stage.runtime, move |operations| of_instances(operations, discovery.clone(), actor.clone()));
    let peer = as_task(&stage.runtime, move |operations| {
        let (registry, actor) = (registry.clone(), bare.clone());
        async move {
            let key: ServiceKey<EchoMsg> = ServiceKey::from_static("watched");
            let metadata = started(started(echo(0).build()).to_metadata());
            let mut watch = registry.watch_service(&key);
            assert!(matches!(watch.next().await, Some(Watched::Snapshot(_))));
            let mut took = Duration::ZERO;
            for _ in 0..operations {
                let begun = Instant::now();
                started(registry.with_metadata(metadata.clone()).register(&key, &actor).await);
                assert!(matches!(watch.next().await, Some(Watched::Change(_))));
                took += begun.elapsed();
                registry.unregister(&key);
                watch.next().await;
            }
            took
        }
    });
    contest.between(ours, [Peer::new("watch_service of its name", 1.3, peer)])
}

async fn of_instances(operations: u64, discovery: Discovery, actor: ActorRef<EchoMsg>) -> Duration {
    let instance = started(echo(0).build());
    let mut watch = discovery.watch(Criteria::service(instance.service()));
    assert!(matches!(watch.next().await, Some(InstanceWatched::Snapshot(_))));
    let mut took = Duration::ZERO;
    for _ in 0..operations {
        let begun = Instant::now();
        started(discovery.register(&instance, &actor).await);
        assert!(matches!(watch.next().await, Some(InstanceWatched::Change(_))));
        took += begun.elapsed();
        discovery.unregister(instance.name());
        watch.next().await;
    }
    took
}
