//! A batch of managed services is done or undone after the kill of its process, never half.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use foundation::Foundation;
use foundation::events::EventStorage;
use foundation::names::ServiceName;
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef};
use foundation::supervision::{BoxError, ChildSpec};
use foundation_managed::{
    Batch, DesiredState, LifecycleWatched, Managed, Need, ReplacementStrategy, ServiceContext, ServiceKind,
    ServiceRecord, ServiceStatus,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// The environment variable that makes this binary play the child.
const CHILD: &str = "FOUNDATION_BATCH_CHILD";
static SERVICES: [ServiceName; 4] = [
    ServiceName::from_static("a"),
    ServiceName::from_static("b"),
    ServiceName::from_static("c"),
    ServiceName::from_static("d"),
];

#[derive(Clone, Serialize, Deserialize, garde::Validate)]
struct Settings {
    /// The batch that has set it.
    #[garde(skip)]
    batch: u64,
    #[garde(skip)]
    needs: Vec<ServiceName>,
}

struct Idle;

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Idle {
    type Msg = u64;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<u64>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

struct Samples;

impl ServiceKind for Samples {
    type Config = Settings;
    const NAME: &'static str = "samples";

    fn child(&self, context: &ServiceContext, _: Arc<Settings>) -> Result<ChildSpec, BoxError> {
        context.child_spec(|| (Idle, ()))
    }

    fn needs(&self, settings: &Settings) -> Vec<Need> {
        settings.needs.iter().map(Need::service).collect()
    }

    fn replacement(&self, _: &Settings, new: &Settings) -> ReplacementStrategy {
        let second = Duration::from_secs(1);
        match new.batch % 2 {
            0 => ReplacementStrategy::DrainFirst { within: second },
            _ => ReplacementStrategy::BlueGreen { ready_within: 30 * second, overlap: second },
        }
    }
}

async fn open(directory: &Path) -> (Foundation, Managed) {
    let events = EventStorage::sqlite(directory);
    let foundation = Foundation::builder().events(events).service(Managed::service()).start().await.unwrap();
    let managed = Managed::of(foundation.production().registry());
    managed.register_kind(Samples).unwrap();
    (foundation, managed)
}

/// Every service gets the number of the batch. One that was stopped is started, and one that runs is stopped, in turn.
fn batch(managed: &Managed, number: u64) -> Batch {
    let stopped = usize::try_from(number % 3).unwrap();
    let mut batch = Batch::new();
    for (at, name) in SERVICES.iter().enumerate() {
        let needs = if at == 3 { vec![SERVICES[(stopped + 1) % 3].clone()] } else { Vec::new() };
        let config = serde_json::to_value(Settings { batch: number, needs }).unwrap();
        batch = match managed.status(name) {
            Ok(_) => batch.configure(name, config),
            Err(_) => batch.declare(name, "samples", config),
        };
        batch = if at == stopped { batch.stop(name) } else { batch.start(name) };
    }
    batch
}

/// The batch that each service has its configuration from, and whether it is to run.
fn picture(managed: &Managed) -> BTreeMap<String, (u64, bool)> {
    let records = managed.all();
    let of = |record: &Arc<ServiceRecord>| {
        let config = serde_json::to_value(&record.config).unwrap();
        let number = config["value"]["batch"].as_u64().unwrap();
        (record.name.to_string(), (number, record.wanted == DesiredState::Running))
    };
    records.iter().map(of).collect()
}

/// What there is after a batch that is done.
fn expected(number: u64) -> BTreeMap<String, (u64, bool)> {
    let runs = |at: usize| at != usize::try_from(number % 3).unwrap();
    let services = SERVICES.iter().enumerate();
    services.map(|(at, name)| (name.to_string(), (number, runs(at)))).collect()
}

/// Returns when what is wanted is healthy, and nothing else runs.
async fn settled(managed: &Managed) {
    let mut watch = managed.watch();
    let is_as_wanted = || {
        managed.all().iter().all(|record| match record.wanted {
            DesiredState::Running => {
                record.status() == ServiceStatus::Healthy && record.running == Some(record.generation)
            }
            _ => record.running.is_none(),
        })
    };
    let settling = async {
        while !is_as_wanted() {
            let _: Option<LifecycleWatched> = watch.next().await;
        }
    };
    let settled = timeout(Duration::from_secs(30), settling).await;
    assert!(settled.is_ok(), "it does not come about: {:#?}", managed.all());
}

/// Not a test: started by the tests. Applies batches until it is killed.
#[test]
fn batch_child() {
    let Ok(play) = env::var(CHILD) else { return };
    let (first, directory) = play.split_once(' ').unwrap();
    let first: u64 = first.parse().unwrap();
    Runtime::new().unwrap().block_on(async {
        let (_foundation, managed) = open(Path::new(directory)).await;
        for number in first.. {
            say(&format!("begin {number}"));
            match managed.apply_within(batch(&managed, number), Duration::from_secs(30)).await {
                Ok(_) => say(&format!("done {number}")),
                Err(error) => say(&format!("failed {number}: {error}")),
            }
        }
    });
}

/// In one write, so that a kill loses whole lines only.
fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn start(first: u64, directory: &Path) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "batches::batch_child", "--nocapture", "--quiet"]);
    command.env(CHILD, format!("{first} {}", directory.display()));
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// The last batch that was begun, and the last that was done, of a child that is killed in the middle of a batch, this
/// time after some have been done.
fn killed(mut child: Child, batches: u64, delay: Duration) -> (u64, u64) {
    let (mut begun, mut done, mut count) = (0, 0, 0);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    for line in lines.by_ref() {
        let Some((what, number)) = line.split_once(' ') else { continue };
        match what {
            "begin" => begun = number.parse().unwrap(),
            "done" => (done, count) = (number.parse().unwrap(), count + 1),
            "failed" => panic!("a batch that nothing hinders fails: {line}"),
            _ => {}
        }
        if what == "begin" && count >= batches {
            break;
        }
    }
    // The kill is to hit any step of the batch.
    #[expect(clippy::disallowed_methods, reason = "the moment of the kill is the test")]
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines {
        match line.split_once(' ') {
            Some(("begin", number)) => begun = number.parse().unwrap_or(begun),
            Some(("done", number)) => done = number.parse().unwrap_or(done),
            _ => {}
        }
    }
    (begun, done)
}

fn kill_batches(rounds: u64) {
    let (directory, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let directory = directory.path();
    let mut random = fastrand::Rng::new();
    let (mut last, mut undone) = (0, 0);
    for round in 1..=rounds {
        let (batches, delay) = (random.u64(0..3), Duration::from_micros(random.u64(0..20_000)));
        println!("round {round}: {last} batches done");
        let (begun, done) = killed(start(last + 1, directory), batches, delay);
        last = runtime.block_on(async {
            let (foundation, managed) = open(directory).await;
            settled(&managed).await;
            let (found, acknowledged) = (picture(&managed), done.max(last));
            let number = found.values().next().map_or(0, |it| it.0);
            let is_whole = if number == 0 { found.is_empty() } else { found == expected(number) };
            assert!(is_whole, "round {round}: half of batch {begun} is left: {found:?}");
            assert!((acknowledged..=begun.max(last)).contains(&number), "{number} is not {acknowledged} to {begun}");
            undone += u64::from(number < begun);
            foundation.shutdown().await;
            number
        });
    }
    println!("{rounds} kills, {last} batches done, {undone} undone");
    assert!(last > 0);
}

#[test]
fn a_batch_is_done_or_undone_after_a_kill() {
    kill_batches(3);
}

#[test]
#[ignore = "takes a minute; `cargo test --test crash -- --ignored`"]
fn a_batch_is_done_or_undone_after_each_of_a_hundred_kills() {
    kill_batches(100);
}
