//! Memory, measured from outside: a process of this program holds a scene and reports how much it has grown.

use std::process::Command;

use foundation::names::ProcessRegistry;
use foundation::ractor::rpc::call;
use foundation::ractor::{Actor, ActorRef};
use foundation::{ChildSpec, Foundation, Namespace, ServiceKey};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::actors::{Echo, EchoMsg};
use crate::contest::BenchRow;
use crate::contest::Contest;
use crate::measured::{Comparison, Measured, RowLimit};
use crate::rows::pool::{FactoryJob, FactoryKind, Tally, Work, pool_spec, start_factory};
use crate::stage::started;

const MIB: f64 = 1024.0 * 1024.0;
/// Enough to determine the size of one actor to a few bytes.
const ACTORS: usize = 20_000;
const NAMESPACES: usize = 1_000;
/// Those that wait in the queue of a pool.
const JOBS: usize = 1_000_000;
const WORKERS: usize = 4_000;
/// The number of actors that a thousand namespaces have with their services and supervisors.
const BARE: usize = 5_000;

/// The scenes that a process can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// Bare actors, linked to one of them.
    Linked,
    /// Children of a supervisor.
    Supervised,
    /// Children of a namespace's application, each under its name.
    Named,
    /// Bare actors.
    Bare,
    /// Test namespaces with all their services.
    Namespaces,
    /// A million jobs in the queue of our pool, which is paused.
    PoolJobs,
    /// A million jobs in the queue of ractor's factory, whose one worker is busy.
    FactoryJobs,
    /// Idle workers of our pool.
    PoolWorkers,
    /// Idle workers of ractor's factory.
    FactoryWorkers,
}

pub(crate) fn rows() -> Vec<BenchRow> {
    vec![
        BenchRow::new("memory_supervised", 1, |c| actors(c, Scene::Supervised, Some(RowLimit::Beyond(500.0)))),
        BenchRow::new("memory_supervised_named", 1, |c| actors(c, Scene::Named, None)),
        BenchRow::new("memory_1000_namespaces", 1, namespaces),
        BenchRow::new("memory_pool_job", 1, |c| pool(c, Scene::PoolJobs, Scene::FactoryJobs, JOBS, 0.30)),
        BenchRow::new("memory_pool_worker", 1, |c| pool(c, Scene::PoolWorkers, Scene::FactoryWorkers, WORKERS, 0.85)),
    ]
}

fn actors(contest: &mut Contest<'_>, scene: Scene, limit: Option<RowLimit>) -> Vec<Measured> {
    let figures =
        Comparison::Bytes { ours: measure(scene) / ACTORS as f64, peer: measure(Scene::Linked) / ACTORS as f64 };
    let BenchRow { name, threads, .. } = *contest.row;
    vec![Measured { name, threads, peer: "a linked ractor actor".to_owned(), figures, limit }]
}

fn namespaces(contest: &mut Contest<'_>) -> Vec<Measured> {
    let figures = Comparison::Bytes { ours: measure(Scene::Namespaces), peer: measure(Scene::Bare) };
    let BenchRow { name, threads, .. } = *contest.row;
    let (peer, limit) = ("5,000 bare ractor actors".to_owned(), Some(RowLimit::Total(60.0 * MIB)));
    vec![Measured { name, threads, peer, figures, limit }]
}

fn pool(contest: &mut Contest<'_>, ours: Scene, theirs: Scene, number: usize, limit: f64) -> Vec<Measured> {
    let each = |scene| measure(scene) / number as f64;
    let figures = Comparison::Bytes { ours: each(ours), peer: each(theirs) };
    let BenchRow { name, threads, .. } = *contest.row;
    vec![Measured {
        name,
        threads,
        peer: "ractor's factory, queuer".to_owned(),
        figures,
        limit: Some(RowLimit::Ratio(limit)),
    }]
}

/// The number of bytes by which a process for this scene grew.
fn measure(scene: Scene) -> f64 {
    let program = started(std::env::current_exe());
    let output = started(Command::new(program).arg(scene.argument()).output());
    started(String::from_utf8_lossy(&output.stdout).trim().parse())
}

impl Scene {
    const ALL: [Self; 9] = [
        Self::Linked,
        Self::Supervised,
        Self::Named,
        Self::Bare,
        Self::Namespaces,
        Self::PoolJobs,
        Self::FactoryJobs,
        Self::PoolWorkers,
        Self::FactoryWorkers,
    ];

    /// The process's command-line argument for this scene.
    pub(crate) fn argument(self) -> String {
        format!("--pose-{self:?}").to_lowercase()
    }

    pub(crate) fn of_argument(argument: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scene| scene.argument() == argument)
    }

    /// Holds the scene in this process and returns the number of bytes by which the process has grown.
    pub(crate) fn bytes(self) -> u64 {
        let runtime = started(Builder::new_current_thread().enable_all().build());
        runtime.block_on(async {
            match self {
                Self::Linked => linked().await,
                Self::Supervised => supervised().await,
                Self::Named => named().await,
                Self::Bare => bare().await,
                Self::Namespaces => test_namespaces().await,
                Self::PoolJobs => pool_jobs().await,
                Self::FactoryJobs => factory_jobs().await,
                Self::PoolWorkers => pool_workers().await,
                Self::FactoryWorkers => factory_workers().await,
            }
        })
    }
}

async fn linked() -> u64 {
    let (parent, _) = started(Actor::spawn(None, Echo, ()).await);
    let before = resident();
    let mut held: Vec<ActorRef<EchoMsg>> = Vec::with_capacity(ACTORS);
    for _ in 0..ACTORS {
        held.push(started(Actor::spawn_linked(None, Echo, (), parent.get_cell()).await).0);
    }
    all_run(&held).await;
    resident() - before
}

async fn supervised() -> u64 {
    let registry = started(started(ProcessRegistry::start().await).namespace(Namespace::test()).await);
    let application = started(registry.application());
    let before = resident();
    let mut held = Vec::with_capacity(ACTORS);
    for n in 0..ACTORS {
        let spec = ChildSpec::worker(format!("child-{n}"), || (Echo, ()));
        held.extend(started(application.start_child(spec).await).map(ActorRef::from));
    }
    all_run(&held).await;
    resident() - before
}

async fn named() -> u64 {
    let registry = started(started(ProcessRegistry::start().await).namespace(Namespace::test()).await);
    let before = resident();
    let mut held = Vec::with_capacity(ACTORS);
    for n in 0..ACTORS {
        let key: ServiceKey<EchoMsg> = started(ServiceKey::new(format!("child-{n}")));
        held.extend(started(registry.supervise(registry.child_spec(&key, || (Echo, ()))).await).map(ActorRef::from));
    }
    all_run(&held).await;
    resident() - before
}

async fn bare() -> u64 {
    let before = resident();
    let mut held = Vec::with_capacity(BARE);
    for _ in 0..BARE {
        held.push(started(Actor::spawn(None, Echo, ()).await).0);
    }
    all_run(&held).await;
    resident() - before
}

async fn test_namespaces() -> u64 {
    let foundation = started(Foundation::builder().start().await);
    let before = resident();
    let mut held = Vec::with_capacity(NAMESPACES);
    for _ in 0..NAMESPACES {
        held.push(started(foundation.test_namespace().await));
    }
    resident() - before
}

/// The queue grows by doubling, so it is measured from nothing to all jobs, with the room that is left.
async fn pool_jobs() -> u64 {
    let registry = started(started(ProcessRegistry::start().await).namespace(Namespace::test()).await);
    let spec = started(pool_spec(&Tally::default(), 1, JOBS));
    let pool = spec.handle();
    started(registry.supervise(spec.child("pool")).await);
    pool.pause();
    let before = resident();
    for _ in 0..JOBS {
        started(pool.cast(Work::Nothing));
    }
    resident() - before
}

async fn factory_jobs() -> u64 {
    let (release, busy) = oneshot::channel();
    let factory = start_factory(FactoryKind::Queuer, 1, Tally::default(), None).await;
    started(factory.dispatch(0, FactoryJob::held(busy)));
    let before = resident();
    for number in 1..=JOBS as u64 {
        started(factory.dispatch(number, FactoryJob::new(Work::Nothing)));
        // The mailbox is emptied into the queue.
        if number % 1_000 == 0 {
            started(factory.queue_depth(None).await);
        }
    }
    let grown = resident() - before;
    drop(release);
    grown
}

async fn pool_workers() -> u64 {
    let registry = started(started(ProcessRegistry::start().await).namespace(Namespace::test()).await);
    let before = resident();
    let spec = started(pool_spec(&Tally::default(), WORKERS, JOBS));
    started(registry.supervise(spec.child("pool")).await);
    resident() - before
}

async fn factory_workers() -> u64 {
    let before = resident();
    let factory = start_factory(FactoryKind::Queuer, WORKERS, Tally::default(), None).await;
    started(factory.queue_depth(None).await);
    resident() - before
}

/// ractor allocates a part of an actor only when its task first runs.
async fn all_run(actors: &[ActorRef<EchoMsg>]) {
    for actor in actors {
        started(call(actor, EchoMsg::Ask, None).await);
    }
}

/// The resident memory of this process in bytes, as Linux reports it.
fn resident() -> u64 {
    let status = started(std::fs::read_to_string("/proc/self/status"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")).map(str::trim);
    started(started(kilobytes.ok_or("/proc/self/status has no VmRSS")).parse::<u64>()) * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scene_has_an_argument_of_its_own() {
        assert!(Scene::ALL.into_iter().all(|scene| Scene::of_argument(&scene.argument()) == Some(scene)));
        assert_eq!(Scene::of_argument("--json"), None);
    }

    #[test]
    fn a_process_knows_its_resident_memory() {
        let before = resident();
        let block = vec![1_u8; 64 << 20];
        assert!(resident() >= before + (32 << 20), "{} bytes", block.len());
    }
}
