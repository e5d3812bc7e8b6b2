//! Starting a named actor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foundation::names::ServiceRegistry;
use foundation::ractor::rpc::call;
use foundation::ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorStatus, RpcReplyPort, SupervisionEvent};
use foundation::{Restart, ServiceKey, local_message};
use tokio::task::yield_now;

use crate::actors::{Echo, EchoMsg};
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::Batch;
use crate::stage::{Stage, as_task, started};

/// The number of actors alive at once; they are then stopped, which is not measured.
const ROUND: u64 = 256;
const PEER: &str = "ractor spawn with a name, linked";

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("spawn_named", 1, spawn), BenchRow::new("supervise_named", 1, supervise)]
}

fn spawn(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    contest.between(rounds(&stage, Spawned(stage.registry.clone())), [Peer::new(PEER, 1.15, bare(&stage))])
}

fn supervise(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let floor = Peer::shown("a supervisor in 30 lines of ractor, asked for it", rounds(&stage, Asked::set(&stage)));
    let peers = [Peer::new(PEER, 1.6, bare(&stage)), floor];
    contest.between(rounds(&stage, Supervised(stage.registry.clone())), peers)
}

fn bare(stage: &Stage) -> Batch<'static> {
    let supervisor = stage.spawn_bare("supervisor").1.get_cell();
    rounds(stage, Bare { supervisor, prefix: stage.prefix.clone() })
}

/// A way to start a named actor and to stop it.
trait StartAndStop: Clone + Send + Sync + 'static {
    fn start(&self, key: &ServiceKey<EchoMsg>) -> impl Future<Output = ActorCell> + Send;

    /// Returns when the name is free again.
    fn stop(&self, key: &ServiceKey<EchoMsg>, actor: ActorCell) -> impl Future<Output = ()> + Send;
}

#[derive(Clone)]
struct Spawned(ServiceRegistry);

impl StartAndStop for Spawned {
    async fn start(&self, key: &ServiceKey<EchoMsg>) -> ActorCell {
        started(self.0.spawn(key, Echo, ()).await).get_cell()
    }

    async fn stop(&self, key: &ServiceKey<EchoMsg>, actor: ActorCell) {
        started(actor.stop_and_wait(None, None).await);
        self.0.unregister(key);
    }
}

#[derive(Clone)]
struct Supervised(ServiceRegistry);

impl StartAndStop for Supervised {
    async fn start(&self, key: &ServiceKey<EchoMsg>) -> ActorCell {
        let spec = self.0.child_spec(key, || (Echo, ())).restart(Restart::Temporary);
        started(started(self.0.supervise(spec).await).ok_or("the child was ignored"))
    }

    async fn stop(&self, key: &ServiceKey<EchoMsg>, _: ActorCell) {
        started(started(self.0.application()).terminate_child(key.name().as_str()).await);
    }
}

#[derive(Clone)]
struct Bare {
    supervisor: ActorCell,
    prefix: String,
}

impl StartAndStop for Bare {
    async fn start(&self, key: &ServiceKey<EchoMsg>) -> ActorCell {
        let name = format!("{}-{}", self.prefix, key.name());
        started(Actor::spawn_linked(Some(name), Echo, (), self.supervisor.clone()).await).0.get_cell()
    }

    async fn stop(&self, _: &ServiceKey<EchoMsg>, actor: ActorCell) {
        started(actor.stop_and_wait(None, None).await);
    }
}

// ---- hand-written: an actor that starts children on request. No less than a start through a supervisor ----

struct Obliging;

enum ObligingMsg {
    Start(String, RpcReplyPort<ActorCell>),
}
local_message!(ObligingMsg);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Obliging {
    type Msg = ObligingMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<ObligingMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<ObligingMsg>,
        ObligingMsg::Start(name, reply): ObligingMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let (child, _) = Actor::spawn_linked(Some(name), Echo, (), myself.get_cell()).await?;
        reply.send(child.get_cell())?;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<ObligingMsg>,
        _: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

#[derive(Clone)]
struct Asked {
    supervisor: ActorRef<ObligingMsg>,
    prefix: String,
}

impl Asked {
    fn set(stage: &Stage) -> Self {
        let (supervisor, _) = started(stage.runtime.block_on(Actor::spawn(None, Obliging, ())));
        Self { supervisor, prefix: format!("{}-asked", stage.prefix) }
    }
}

impl StartAndStop for Asked {
    async fn start(&self, key: &ServiceKey<EchoMsg>) -> ActorCell {
        let name = format!("{}-{}", self.prefix, key.name());
        let answer = call(&self.supervisor, |reply| ObligingMsg::Start(name, reply), None).await;
        started(started(answer).success_or("the supervisor is gone"))
    }

    async fn stop(&self, _: &ServiceKey<EchoMsg>, actor: ActorCell) {
        started(actor.stop_and_wait(None, None).await);
    }
}

fn rounds(stage: &Stage, starter: impl StartAndStop) -> Batch<'static> {
    let key = |n| started(ServiceKey::new(format!("bench-{n}")));
    let keys: Arc<[ServiceKey<EchoMsg>]> = (0..ROUND).map(key).collect();
    as_task(&stage.runtime, move |operations| timed(operations, Arc::clone(&keys), starter.clone()))
}

/// Starts this many actors, in rounds, and measures only the starts, until all run.
async fn timed(operations: u64, keys: Arc<[ServiceKey<EchoMsg>]>, starter: impl StartAndStop) -> Duration {
    let (mut took, mut left) = (Duration::ZERO, operations);
    while left > 0 {
        let round = &keys[..left.min(ROUND) as usize];
        let mut actors = Vec::with_capacity(round.len());
        let begun = Instant::now();
        for key in round {
            actors.push(starter.start(key).await);
        }
        // A spawned actor still has its first turn to run: on a busy worker it would run during the stop, which is
        // not measured.
        for actor in &actors {
            while actor.get_status() < ActorStatus::Running {
                yield_now().await;
            }
        }
        took += begun.elapsed();
        for (key, actor) in round.iter().zip(actors) {
            starter.stop(key, actor).await;
        }
        left -= round.len() as u64;
    }
    took
}
