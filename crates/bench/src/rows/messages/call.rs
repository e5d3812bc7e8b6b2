//! Calling and waiting for the reply.

use std::time::{Duration, Instant};

use foundation::ractor::rpc;

use crate::actors::EchoMsg;
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::stage::{Stage, as_task, started};

const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("via_call", 1, call)]
}

fn call(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let via = stage.registry.via(stage.echo());
    // The same actor: the cost of being managed is not part of this.
    let direct = started(via.actor_ref());
    let ours = as_task(&stage.runtime, move |operations| {
        let via = via.clone();
        timed(operations, async move || started(via.call(EchoMsg::Ask, LIMIT).await))
    });
    let peer = as_task(&stage.runtime, move |operations| {
        let actor = direct.clone();
        timed(operations, async move || started(rpc::call(&actor, EchoMsg::Ask, Some(LIMIT)).await).is_success())
    });
    contest.between(ours, [Peer::new("the same through an ActorRef", 1.05, peer)])
}

async fn timed<T>(operations: u64, question: impl AsyncFn() -> T) -> Duration {
    let begun = Instant::now();
    for _ in 0..operations {
        question().await;
    }
    begun.elapsed()
}
