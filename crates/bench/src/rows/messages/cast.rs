//! Casting until the messages are handled.

use std::time::{Duration, Instant};

use foundation::ractor::ActorRef;
use foundation::ractor::rpc::call;

use crate::actors::EchoMsg;
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::stage::{Stage, as_task, started};

/// After this many casts the sender waits until they are handled, so that the mailbox does not grow without bounds.
const WINDOW: u64 = 1_024;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("via_cast", 1, cast)]
}

fn cast(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let via = stage.registry.via(stage.echo());
    // The same actor: the cost of being managed is not part of this.
    let actor = started(via.actor_ref());
    let direct = actor.clone();
    let ours = as_task(&stage.runtime, move |operations| {
        let (via, actor) = (via.clone(), actor.clone());
        async move { windows(operations, &actor, || started(via.cast(EchoMsg::Ping))).await }
    });
    let peer = as_task(&stage.runtime, move |operations| {
        let actor = direct.clone();
        async move { windows(operations, &actor, || started(actor.cast(EchoMsg::Ping))).await }
    });
    contest.between(ours, [Peer::new("the same through an ActorRef", 1.05, peer)])
}

pub(in crate::rows) async fn windows(operations: u64, actor: &ActorRef<EchoMsg>, cast: impl Fn()) -> Duration {
    let begun = Instant::now();
    let mut left = operations;
    while left > 0 {
        let window = left.min(WINDOW);
        (0..window).for_each(|_| cast());
        started(call(actor, EchoMsg::Ask, None).await);
        left -= window;
    }
    begun.elapsed()
}
