//! The cost of a managed, and therefore measured, actor: casting to it until the messages are handled.

use foundation::ServiceKey;
use foundation::names::Measurement;
use foundation::ractor::ActorRef;

use super::cast::windows;
use crate::actors::{Echo, EchoMsg};
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::Batch;
use crate::stage::{Stage, as_task, started};

static SAMPLED: ServiceKey<EchoMsg> = ServiceKey::from_static("sampled");
static FULL: ServiceKey<EchoMsg> = ServiceKey::from_static("full");
static OFF: ServiceKey<EchoMsg> = ServiceKey::from_static("off");

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("managed_cast", 1, cast)]
}

fn cast(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let measured = |key: &ServiceKey<EchoMsg>, measurement| {
        let spawned = stage.registry.measured(measurement).spawn(key, Echo, ());
        casts(&stage, started(stage.runtime.block_on(spawned)))
    };
    let ours = measured(&SAMPLED, Measurement::Sampled);
    let peers = [
        Peer::new("a bare ractor actor", 1.25, casts(&stage, stage.spawn_bare("echo").1)),
        Peer::shown("the same, not measured", measured(&OFF, Measurement::Off)),
        Peer::shown("the same, each message timed", measured(&FULL, Measurement::Full)),
    ];
    contest.between(ours, peers)
}

fn casts(stage: &Stage, actor: ActorRef<EchoMsg>) -> Batch<'static> {
    as_task(&stage.runtime, move |operations| {
        let actor = actor.clone();
        async move { windows(operations, &actor, || started(actor.cast(EchoMsg::Ping))).await }
    })
}
