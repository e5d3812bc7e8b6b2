//! Starting a named actor.

use std::time::{Duration, Instant};

use foundation::ServiceKey;
use foundation::ractor::{Actor, ActorCell};

use super::{namespace, runtime, started};
use crate::actors::{Echo, EchoMsg};
use crate::measure::{Batch, Effort, compare};
use crate::row::Row;

/// So many actors live at once; then they are stopped, which is not measured.
const ROUND: u64 = 256;

pub(super) fn rows() -> Vec<Row> {
    let peer = "ractor spawn with a name, linked";
    vec![Row { name: "spawn_named", peer, limit: 1.15, threads: 1, run: spawn_named }]
}

fn spawn_named(effort: &Effort) -> (f64, f64) {
    let runtime = runtime();
    let (registry, supervisor) =
        runtime.block_on(async { (namespace().await, started(Actor::spawn(None, Echo, ()).await).0) });
    let keys: Vec<ServiceKey<EchoMsg>> = (0..ROUND).map(|n| started(ServiceKey::parse(format!("bench-{n}")))).collect();
    let ours: &mut Batch<'_> = &mut |operations| {
        runtime.block_on(rounds(operations, async |n| {
            started(registry.spawn(&keys[n as usize], Echo, ()).await).get_cell()
        }))
    };
    let peer: &mut Batch<'_> = &mut |operations| {
        runtime.block_on(rounds(operations, async |n| {
            let name = Some(keys[n as usize].name().to_string());
            started(Actor::spawn_linked(name, Echo, (), supervisor.get_cell()).await).0.get_cell()
        }))
    };
    compare(effort, ours, peer)
}

/// Starts so many actors, in rounds, and measures the starts alone.
async fn rounds(operations: u64, start: impl AsyncFn(u64) -> ActorCell) -> Duration {
    let mut took = Duration::ZERO;
    let mut left = operations;
    while left > 0 {
        let round = left.min(ROUND);
        let mut actors = Vec::with_capacity(round as usize);
        let begun = Instant::now();
        for n in 0..round {
            actors.push(start(n).await);
        }
        took += begun.elapsed();
        for actor in &actors {
            started(actor.stop_and_wait(None, None).await);
        }
        left -= round;
    }
    took
}
