//! Handles that survive restarts, beside references that do not.

use std::time::{Duration, Instant};

use foundation::ractor::registry::where_is;

use super::{Stage, started};
use crate::actors::{ECHO, EchoMsg};
use crate::measure::{Batch, Effort, compare, repeated};
use crate::row::Row;

const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row { name: "via_resolve_owned", peer: "ractor where_is", limit: 0.05, threads: 1, run: resolve },
        Row { name: "via_cast", peer: "the same through an ActorRef", limit: 1.05, threads: 1, run: cast },
        Row { name: "via_call", peer: "the same through an ActorRef", limit: 1.05, threads: 1, run: call },
    ]
}

fn resolve(effort: &Effort) -> (f64, f64) {
    let stage = Stage::set();
    let (via, name) = (stage.registry.via(&ECHO), stage.ractor_name.clone());
    compare(effort, &mut repeated(|| via.is_alive()), &mut repeated(|| where_is(name.as_str())))
}

fn cast(effort: &Effort) -> (f64, f64) {
    let stage = Stage::set();
    let via = stage.registry.via(&ECHO);
    let ours = || started(via.cast(EchoMsg::Ping));
    let peer = || started(stage.direct.send_message(EchoMsg::Ping));
    compare(effort, &mut repeated(ours), &mut repeated(peer))
}

fn call(effort: &Effort) -> (f64, f64) {
    let stage = Stage::set();
    let via = stage.registry.via(&ECHO);
    let ours: &mut Batch<'_> = &mut |operations| {
        timed(&stage, async {
            for _ in 0..operations {
                started(via.call(EchoMsg::Ask, LIMIT).await);
            }
        })
    };
    let peer: &mut Batch<'_> = &mut |operations| {
        timed(&stage, async {
            for _ in 0..operations {
                started(foundation::ractor::rpc::call(&stage.direct, EchoMsg::Ask, Some(LIMIT)).await);
            }
        })
    };
    compare(effort, ours, peer)
}

fn timed(stage: &Stage, work: impl Future<Output = ()>) -> Duration {
    let begun = Instant::now();
    stage.runtime.block_on(work);
    begun.elapsed()
}
