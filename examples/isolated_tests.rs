//! A thousand test namespaces in one process, all alive at once: the same names in each, and none sees another.
//!
//! ```text
//! cargo run --example isolated_tests
//! ```
//!
//! What to notice: each namespace has a whole tree of its own (telemetry, events, configuration and an application),
//! and no message leaves it. In a test suite `#[foundation::test]` provides such a namespace and cleans it up; here it
//! is done by hand, to see a thousand of them from outside.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use foundation::config::ConfigSources;
use foundation::events::Query;
use foundation::names::CleanupReport;
use foundation::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use foundation::{Foundation, ServiceKey, Services, ShutdownReport, TestNamespace, local_message};
use foundation_examples::{BoxError, Table, exit, heading};
use serde_json::json;
use tokio::task::JoinSet;

/// How many namespaces are alive at once.
const NAMESPACES: usize = 1_000;
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The same name in every namespace.
const GREETER: ServiceKey<GreeterMsg> = ServiceKey::from_static("greeter");
/// The same setting in every namespace, with a value of its own in each.
const SETTING: &str = "greeting.number";

#[tokio::main]
async fn main() -> ExitCode {
    exit(run().await)
}

async fn run() -> Result<ShutdownReport, BoxError> {
    let sources = ConfigSources::new().defaults(json!({ "greeting": { "number": 0 } }))?.updatable(SETTING)?;
    let foundation = Foundation::builder().config(sources).start().await?;
    let mut phases = Phases::begin();

    let namespaces = open(&foundation).await?;
    phases.end("start the trees");
    let namespaces = each(namespaces, set_up).await?;
    phases.end("spawn, configure");
    let namespaces = each(namespaces, look_around).await?;
    phases.end("look from within");

    heading(format!("{NAMESPACES} namespaces, alive at once in one process"));
    show_some(&namespaces).await?;
    check_production(&foundation).await?;
    phases.restart();
    let reports = clean_up(namespaces).await?;
    phases.end("clean up");
    show_clean_up(&foundation, &reports);

    phases.restart();
    let namespaces = each(open(&foundation).await?, set_up).await?;
    clean_up(each(namespaces, look_around).await?).await?;
    phases.end("all of it again");
    phases.show();
    Ok(foundation.shutdown().await)
}

// ---- the service under test ----

struct Greeter;

enum GreeterMsg {
    Greet(RpcReplyPort<String>),
}
local_message!(GreeterMsg);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Greeter {
    type Msg = GreeterMsg;
    /// An actor receives its namespace at spawn.
    type State = Services;
    type Arguments = Services;

    async fn pre_start(&self, _: ActorRef<GreeterMsg>, services: Services) -> Result<Services, ActorProcessingErr> {
        Ok(services)
    }

    async fn handle(
        &self,
        _: ActorRef<GreeterMsg>,
        message: GreeterMsg,
        services: &mut Services,
    ) -> Result<(), ActorProcessingErr> {
        let GreeterMsg::Greet(reply) = message;
        let number: usize = services.config().get(SETTING)?;
        drop(reply.send(format!("hello from number {number}")));
        Ok(())
    }
}

// ---- the phases ----

/// A namespace with its number.
type Numbered = (usize, TestNamespace);

async fn open(foundation: &Foundation) -> Result<Vec<Numbered>, BoxError> {
    let mut opening = JoinSet::new();
    for number in 1..=NAMESPACES {
        let foundation = foundation.clone();
        opening.spawn(async move { Ok::<_, BoxError>((number, foundation.test_namespace().await?)) });
    }
    all(opening).await
}

async fn set_up((number, namespace): Numbered) -> Result<Numbered, BoxError> {
    let services = namespace.services();
    services.spawn(&GREETER, Greeter, services.clone()).await?;
    namespace.config().update(SETTING, number).await?;
    Ok((number, namespace))
}

/// The assertions of a test: everything here belongs to this namespace.
async fn look_around((number, namespace): Numbered) -> Result<Numbered, BoxError> {
    let greeting = namespace.services().via(&GREETER).call(GreeterMsg::Greet, LIMIT).await?;
    expect("the greeter's answer", greeting, format!("hello from number {number}"))?;
    expect("the setting", namespace.config().get(SETTING)?, number)?;

    let events = namespace.events().query(Query::new()).await?;
    let recorded: Vec<_> = events.iter().map(|event| (event.namespace.clone(), event.payload["new"].clone())).collect();
    expect("the events", recorded, vec![(namespace.services().namespace().to_string(), json!(number))])?;

    let updates = namespace.telemetry().snapshot().counter("config.updates");
    expect("the counted updates", updates, Some(1))?;
    Ok((number, namespace))
}

/// Production ran all the time, and has not changed.
async fn check_production(foundation: &Foundation) -> Result<(), BoxError> {
    let production = foundation.production();
    expect("production's setting", foundation.config().get(SETTING)?, 0)?;
    expect("production's events", foundation.events().query(Query::new()).await?.len(), 0)?;
    expect("a greeter in production", production.registry().is_registered(&GREETER), false)?;
    println!("\nEach found its own setting, its own event and its own counter, and no other.");
    println!("Production, in the same process: {SETTING} is 0, no events, no greeter.");
    Ok(())
}

async fn clean_up(namespaces: Vec<Numbered>) -> Result<Vec<CleanupReport>, BoxError> {
    let mut cleaning = JoinSet::new();
    for (_, namespace) in namespaces {
        cleaning.spawn(async move { Ok::<_, BoxError>(namespace.cleanup().await?) });
    }
    all(cleaning).await
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), BoxError> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: wanted {wanted:?}, found {found:?}").into()) }
}

/// Does the same in each namespace, all at once.
async fn each<F>(namespaces: Vec<Numbered>, work: fn(Numbered) -> F) -> Result<Vec<Numbered>, BoxError>
where
    F: Future<Output = Result<Numbered, BoxError>> + Send + 'static,
{
    all(namespaces.into_iter().map(work).collect()).await
}

/// The results of all tasks, or the first failure.
async fn all<T: 'static>(mut tasks: JoinSet<Result<T, BoxError>>) -> Result<Vec<T>, BoxError> {
    let mut results = Vec::with_capacity(tasks.len());
    while let Some(finished) = tasks.join_next().await {
        results.push(finished??);
    }
    Ok(results)
}

// ---- output ----

async fn show_some(namespaces: &[Numbered]) -> Result<(), BoxError> {
    let mut shown: Vec<_> = namespaces.iter().filter(|(number, _)| [1, 2, NAMESPACES].contains(number)).collect();
    shown.sort_by_key(|(number, _)| *number);
    let mut table = Table::new(["namespace", "greeter", "says"]);
    for (_, namespace) in shown {
        let actor = namespace.services().lookup(&GREETER)?.get_id();
        let greeting = namespace.services().via(&GREETER).call(GreeterMsg::Greet, LIMIT).await?;
        table.row([&namespace.services().namespace(), &actor, &greeting]);
    }
    print!("{table}");
    let names = namespaces.first().map(|(_, namespace)| namespace.registry().list_services()).unwrap_or_default();
    let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
    println!("\nThe names are the same everywhere: {}.", names.join(", "));
    Ok(())
}

fn show_clean_up(foundation: &Foundation, reports: &[CleanupReport]) {
    heading("Cleaned up, all at once");
    let stopped: usize = reports.iter().map(|report| report.stopped.len()).sum();
    let killed: usize = reports.iter().map(|report| report.killed().count()).sum();
    let left = foundation.registry().stats();
    println!("Namespaces cleaned up: {}; actors stopped in order: {stopped}; killed: {killed}.", reports.len());
    println!("Test namespaces left: {}; names left in them: {}.", left.test_namespaces, left.tests);
}

/// How long each phase took, and how much memory the process has after it.
struct Phases {
    begun: Instant,
    table: Table<4>,
}

impl Phases {
    fn begin() -> Self {
        let mut phases =
            Self { begun: Instant::now(), table: Table::new(["phase", "took", "a namespace", "memory afterwards"]) };
        phases.table.row([&"(production alone)", &"-", &"-", &memory()]);
        phases
    }

    fn end(&mut self, name: &str) {
        let took = self.begun.elapsed();
        let (all, one) = (format!("{took:.1?}"), format!("{:.1?}", took / NAMESPACES as u32));
        self.table.row([&name, &all, &one, &memory()]);
        self.restart();
    }

    /// The time since the last phase counts for no phase.
    fn restart(&mut self) {
        self.begun = Instant::now();
    }

    fn show(&self) {
        heading("How long it took");
        print!("{}", self.table);
        println!("\nThe allocator keeps what is freed, for the next time; a leak would show in the last line.");
        if cfg!(debug_assertions) {
            println!("This build is not optimised; `cargo run --release --example isolated_tests` is quicker.");
        }
    }
}

/// The memory of this process that is in use, where the system has a file for it.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.map_or_else(|| "-".to_owned(), |kilobytes: f64| format!("{:.0} MB", kilobytes / 1024.0))
}
