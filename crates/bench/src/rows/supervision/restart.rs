//! From the kill of an actor to the moment at which a caller knows that its replacement is initialised and registered.

use std::time::{Duration, Instant};

use foundation::names::ProcessRegistry;
use foundation::ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent, registry::where_is};
use foundation::supervision::{ChildEvent, Report, Reporter, RestartIntensity, SupervisorSpec};
use foundation::{Namespace, ServiceKey, Strategy};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::actors::{Echo, EchoMsg};
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::sample::{Batch, Sample};
use crate::stage::{Stage, started};

static KEY: ServiceKey<EchoMsg> = ServiceKey::from_static("phoenix");

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("restart", 1, restart)]
}

fn restart(contest: &mut Contest<'_>) -> Vec<Measured> {
    let stage = Stage::set();
    let (ours, peer) = (ours(&stage), thirty_lines(&stage));
    contest.between(ours, [Peer::new("a supervisor in 30 lines of ractor", 1.3, peer)])
}

/// Kills the actor, waits for the report of its replacement, looks it up by its name, and continues with it.
fn kills<'a>(
    stage: &Stage,
    find: impl Fn() -> Option<ActorCell> + Clone + Send + Sync + 'static,
    restarts: UnboundedReceiver<()>,
) -> Batch<'a> {
    let (runtime, mut restarts) = (std::sync::Arc::clone(&stage.runtime), Some(restarts));
    Box::new(move |operations| {
        let (find, receiver) = (find.clone(), restarts.take());
        let killing = runtime.spawn(async move {
            let mut receiver = started(receiver.ok_or("the channel is lost"));
            let begun = Instant::now();
            for _ in 0..operations {
                started(find().ok_or("no actor has the name")).kill();
                started(receiver.recv().await.ok_or("the supervisor is gone"));
            }
            (begun.elapsed(), receiver)
        });
        let (took, receiver) = started(runtime.block_on(killing));
        restarts = Some(receiver);
        Sample::Took(took)
    })
}

fn ours<'a>(stage: &Stage) -> Batch<'a> {
    let (sender, mut starts) = unbounded_channel();
    let registry = stage.runtime.block_on(async {
        let builder = ProcessRegistry::builder().reporter(StartReporter(sender)).application(|_| {
            let intensity = RestartIntensity::new(1_000_000, Duration::from_millis(1));
            SupervisorSpec::new(Strategy::OneForOne).intensity(intensity)
        });
        let registry = started(started(builder.start().await).namespace(Namespace::test()).await);
        started(registry.supervise(registry.child_spec(&KEY, || (Echo, ()))).await);
        registry
    });
    while starts.try_recv().is_ok() {}
    kills(stage, move || registry.lookup(&KEY).ok().map(|actor| actor.get_cell()), starts)
}

/// Reports each start of the one child, and of no other.
struct StartReporter(UnboundedSender<()>);

impl Reporter for StartReporter {
    fn report(&self, report: &Report) {
        if matches!(report.happened, ChildEvent::Started { .. }) && report.child.as_str() == KEY.name().as_str() {
            let _ = self.0.send(());
        }
    }
}

// ---- hand-written: no strategies, no intensity, no shutdown, no waiting until the old actor is gone ----

struct ThirtyLines {
    name: String,
    sender: UnboundedSender<()>,
}

impl ThirtyLines {
    async fn start_child(&self, myself: &ActorRef<()>) -> Result<(), ActorProcessingErr> {
        Actor::spawn_linked(Some(self.name.clone()), Echo, (), myself.get_cell()).await?;
        self.sender.send(())?;
        Ok(())
    }
}

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for ThirtyLines {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        self.start_child(&myself).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(..) | SupervisionEvent::ActorFailed(..) => {
                self.start_child(&myself).await
            }
            _ => Ok(()),
        }
    }
}

fn thirty_lines<'a>(stage: &Stage) -> Batch<'a> {
    let (sender, mut starts) = unbounded_channel();
    let name = format!("{}-phoenix", stage.prefix);
    let supervisor = ThirtyLines { name: name.clone(), sender };
    started(stage.runtime.block_on(Actor::spawn(None, supervisor, ())));
    while starts.try_recv().is_ok() {}
    kills(stage, move || where_is(name.as_str()), starts)
}
