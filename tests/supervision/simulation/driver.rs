//! Plays a script on a runtime of its own, whose clock stands still while any task is ready.

use std::sync::Arc;
use std::time::Duration;

use foundation::Namespace;
use foundation::names::ProcessRegistry;
use foundation::supervision::RestartIntensity;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;

use super::plant::application;
use super::player::take;
use super::record::{Fact, Record};
use super::script::{Ending, Script};
use super::shape::TOP;
use super::stage::{LONG, Stage};
use super::world::{Scribe, World};

pub(super) fn run(script: &Script) -> Record {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime is at hand");
    let world = runtime.block_on(async { World::new(&script.shape) });
    let end = runtime.block_on(async {
        tokio::select! {
            biased;
            () = world.too_much() => None,
            end = play(script, &world) => Some(end),
        }
    });
    finish(runtime, world, script.ending, end)
}

/// The way in which a run ended.
#[derive(Default)]
struct Ended {
    ended: bool,
    names_left: usize,
    tasks_left: usize,
}

fn finish(runtime: Runtime, world: Arc<World>, ending: Ending, end: Option<Ended>) -> Record {
    world.freeze();
    drop(runtime);
    world.forget_actors();
    let cut_off = end.is_none();
    let Ended { ended, names_left, tasks_left } = end.unwrap_or_default();
    let references_left = Arc::strong_count(&world) - 1;
    Record { log: world.take_log(), ending, cut_off, ended, tasks_left, names_left, references_left }
}

async fn play(script: &Script, world: &Arc<World>) -> Ended {
    let author = Arc::clone(world);
    let registry = ProcessRegistry::builder()
        .application(move |names| application(&author, names))
        .reporter(Scribe(Arc::clone(world)))
        .intensity(RestartIntensity::new(20, Duration::from_secs(60)))
        .start()
        .await
        .expect("a registry without children starts");
    let namespace = Namespace::test();
    let names = registry.namespace(namespace).await.expect("nothing is wrong yet");
    let stage = Stage::new(world, names);
    for (number, step) in script.steps.iter().enumerate() {
        world.note(Fact::Step(number));
        step.ops.iter().for_each(|op| stage.perform(*op));
        stage.pause(step.pause).await;
    }
    if script.rests {
        stage.rest().await;
    }
    world.note(Fact::Ending);
    end(script.ending, &registry, namespace, &stage).await
}

async fn end(ending: Ending, registry: &ProcessRegistry, namespace: Namespace, stage: &Stage<'_>) -> Ended {
    match ending {
        Ending::DropRuntime => return Ended { ended: true, names_left: 0, tasks_left: 0 },
        Ending::Shutdown => {}
        Ending::KillTop => {
            stage.kill(TOP);
            take(Duration::from_millis(1)).await;
        }
        Ending::Cleanup => {
            if timeout(LONG, registry.cleanup_namespace(namespace)).await.is_err() {
                return Ended { ended: false, names_left: 0, tasks_left: 0 };
            }
        }
    }
    let ended = timeout(LONG, registry.shutdown()).await.is_ok();
    stage.world.note(Fact::Over);
    // The clock moves on only when no task is ready any more.
    take(Duration::from_millis(1)).await;
    let tasks_left = Handle::current().metrics().num_alive_tasks();
    Ended { ended, names_left: registry.stats().total, tasks_left }
}
