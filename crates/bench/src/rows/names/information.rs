//! Information on a namespace with three services, alone and beside a namespace that holds many.

use foundation::names::{ProcessRegistry, ServiceRegistry};
use foundation::{Namespace, ServiceKey};

use crate::actors::{Echo, EchoMsg};
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::repeated;
use crate::stage::{Stage, started};

const BESIDE: usize = 100_000;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("service_info_3_beside_100k", 1, beside)]
}

fn beside(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let (_, actor) = stage.spawn_bare("one of many");
    let (alone, beside) = stage.runtime.block_on(async {
        let (quiet, crowded) = (started(ProcessRegistry::start().await), started(ProcessRegistry::start().await));
        let crowd = started(crowded.namespace(Namespace::test()).await);
        for n in 0..BESIDE {
            let key: ServiceKey<EchoMsg> = started(ServiceKey::new(format!("crowd-{n}")));
            started(crowd.register(&key, &actor).await);
        }
        (three(&quiet).await, three(&crowded).await)
    });
    let ours = repeated(move || beside.service_info().total());
    let peer = repeated(move || alone.service_info().total());
    contest.between(ours, [Peer::new("service_info_3", 1.1, peer)])
}

async fn three(registry: &ProcessRegistry) -> ServiceRegistry {
    let namespace = started(registry.namespace(Namespace::test()).await);
    for name in ["one", "two", "three"] {
        started(namespace.spawn(&ServiceKey::from_static(name), Echo, ()).await);
    }
    namespace
}
