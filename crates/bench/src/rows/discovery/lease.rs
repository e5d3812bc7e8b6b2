//! Renewing the lease of an instance.

use std::time::Duration;

use foundation_discovery::Discovery;

use super::echo;
use crate::actors::EchoMsg;
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::rows::messages::windows;
use crate::sample::repeated;
use crate::stage::{Stage, as_task, started};

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("lease_renew", 1, renew)]
}

fn renew(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let discovery = Discovery::of(&stage.registry);
    let instance = started(echo(0).endpoint("http://10.0.0.7:8080").build());
    let lease = started(stage.runtime.block_on(discovery.announce(&instance, Duration::from_secs(24 * 60 * 60))));
    let (_, actor) = stage.spawn_bare("echo");
    let peer = as_task(&stage.runtime, move |operations| {
        let (cast, actor) = (actor.clone(), actor.clone());
        async move { windows(operations, &actor, || started(cast.cast(EchoMsg::Ping))).await }
    });
    contest.between(repeated(|| started(lease.renew())), [Peer::new("a message to an actor", 0.1, peer)])
}
