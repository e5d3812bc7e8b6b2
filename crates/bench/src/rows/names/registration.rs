//! Registering an actor that was started elsewhere, and unregistering it.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use foundation::ServiceKey;
use foundation::names::ServiceRegistry;
use foundation::ractor::{ActorCell, ActorRef};

use crate::actors::EchoMsg;
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::repeated;
use crate::stage::{Stage, as_task, started};

static KEY: ServiceKey<EchoMsg> = ServiceKey::from_static("registered");

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("register_unregister", 1, register_unregister).elixir(0.15)]
}

fn register_unregister(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let (_, actor) = stage.spawn_bare("echo");
    let (registry, foreign) = (stage.registry.clone(), actor.clone());
    let ours = as_task(&stage.runtime, move |operations| pairs(operations, registry.clone(), foreign.clone()));
    let map: DashMap<String, ActorCell> = DashMap::new();
    let peer = repeated(move || {
        map.insert(KEY.name().as_str().to_owned(), actor.get_cell());
        map.remove(KEY.name().as_str())
    });
    contest.between(ours, [Peer::new("DashMap insert + remove", 8.0, peer)])
}

async fn pairs(operations: u64, registry: ServiceRegistry, actor: ActorRef<EchoMsg>) -> Duration {
    let begun = Instant::now();
    for _ in 0..operations {
        started(registry.register(&KEY, &actor).await);
        registry.unregister(&KEY);
    }
    begun.elapsed()
}
