//! Casting to one of ten instances, until the messages are handled.

use std::time::{Duration, Instant};

use foundation::ractor::ActorRef;
use foundation::ractor::rpc::call;
use foundation_discovery::Discovery;
use foundation_discovery::choice::ScoreBy;

use super::{echoes, selector};
use crate::actors::EchoMsg;
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::stage::{Stage, as_task, started};

/// After this many casts the sender waits until they are handled, so that the mailboxes do not grow without bounds.
const WINDOW: u64 = 8_192;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("pick_cast", 1, cast)]
}

fn cast(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let discovery = Discovery::of(&stage.registry);
    let actors = echoes(&stage, &discovery);
    let (selected, direct) = (actors.clone(), actors);
    let ours = as_task(&stage.runtime, move |operations| {
        let (mut selector, actors) = (selector(&discovery, ScoreBy::InFlight), selected.clone());
        async move { windows(operations, &actors, move |_| started(selector.cast(EchoMsg::Ping))).await }
    });
    let peer = as_task(&stage.runtime, move |operations| {
        let (actors, cast) = (direct.clone(), direct.clone());
        let cast = move |n: u64| started(cast[n as usize % cast.len()].cast(EchoMsg::Ping));
        async move { windows(operations, &actors, cast).await }
    });
    contest.between(ours, [Peer::new("an ActorRef of each in turn", 1.15, peer)])
}

async fn windows(operations: u64, actors: &[ActorRef<EchoMsg>], mut cast: impl FnMut(u64)) -> Duration {
    let begun = Instant::now();
    let mut left = operations;
    while left > 0 {
        let window = left.min(WINDOW);
        (0..window).for_each(&mut cast);
        for actor in actors {
            started(call(actor, EchoMsg::Ask, None).await);
        }
        left -= window;
    }
    begun.elapsed()
}
