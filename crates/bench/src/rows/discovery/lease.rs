//! Renewing the lease of an instance.

use std::time::Duration;

use foundation_discovery::{Discovery, InstanceLease};

use super::echo;
use crate::actors::EchoMsg;
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::rows::messages::windows;
use crate::sample::repeated;
use crate::stage::{Stage, as_task, started};

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("lease_renew", 1, renew), BenchRow::new("lease_beat", 1, beat)]
}

/// With the time of the renewal: most of it is the reading of the clock.
fn renew(contest: &mut Contest<'_>) -> Vec<Measured> {
    renewed(contest, |lease| started(lease.renew()))
}

/// By a handle, without a time.
fn beat(contest: &mut Contest<'_>) -> Vec<Measured> {
    let mut handle = None;
    renewed(contest, move |lease| started(handle.get_or_insert_with(|| lease.heartbeat()).beat()))
}

fn renewed(contest: &mut Contest<'_>, mut renew: impl FnMut(&InstanceLease)) -> Vec<Measured> {
    let stage = Stage::set();
    let discovery = Discovery::of(&stage.registry);
    let instance = started(echo(0).endpoint("http://10.0.0.7:8080").build());
    let lease = started(stage.runtime.block_on(discovery.announce(&instance, Duration::from_secs(24 * 60 * 60))));
    let (_, actor) = stage.spawn_bare("echo");
    let peer = as_task(&stage.runtime, move |operations| {
        let (cast, actor) = (actor.clone(), actor.clone());
        async move { windows(operations, &actor, || started(cast.cast(EchoMsg::Ping))).await }
    });
    contest.between(repeated(|| renew(&lease)), [Peer::new("a message to an actor", 0.1, peer)])
}
