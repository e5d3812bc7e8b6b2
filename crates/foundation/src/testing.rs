//! The harness behind `#[foundation::test]`: a fresh namespace, the test, and the check for leaks.

use std::fmt;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::{Duration, Instant};

use foundation_kernel::names::{CleanupReport, Namespace, NamespaceRemains, ProcessRegistry};
use futures::FutureExt;
use tokio::runtime::Handle;

use crate::{Foundation, FoundationBuilder, TestNamespace, Unfinished};

/// How the names of the foundation's own types begin.
const OUR_CRATES: [&str; 6] = [
    "foundation::",
    "foundation_config_server::",
    "foundation_discovery::",
    "foundation_events::",
    "foundation_kernel::",
    "foundation_telemetry::",
];

/// The number of turns that a task is given to end after its test, however long that takes.
const MIN_TURNS: u64 = 1_000;

/// How a test is run.
pub struct TestOptions {
    name: String,
    builder: FoundationBuilder,
    leaks: Leaks,
}

impl fmt::Debug for TestOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestOptions").field("name", &self.name).field("builder", &self.builder).finish_non_exhaustive()
    }
}

/// What is done about actors and tasks that outlive a test.
enum Leaks {
    Allowed,
    Refused { within: Duration },
}

impl TestOptions {
    /// A test of this name: an empty application, and no leaks after half a second.
    pub fn new(name: impl Into<String>) -> Self {
        let leaks = Leaks::Refused { within: Duration::from_millis(500) };
        Self { name: name.into(), builder: Foundation::builder(), leaks }
    }

    /// Starts the test's namespace as this builder says.
    pub fn builder(self, builder: FoundationBuilder) -> Self {
        Self { builder, ..self }
    }

    /// Lets actors and tasks outlive the test.
    pub fn allow_leaks(self) -> Self {
        Self { leaks: Leaks::Allowed, ..self }
    }

    /// How long, in real time, the last task may take to go after the test has ended. Without an effect if leaks are
    /// [allowed](Self::allow_leaks). There is always a limit: a task that stays would hang the test instead of failing it.
    pub fn leak_timeout(self, within: Duration) -> Self {
        match self.leaks {
            Leaks::Allowed => self,
            Leaks::Refused { .. } => Self { leaks: Leaks::Refused { within }, ..self },
        }
    }
}

/// What a test function may return: nothing, or any `Result`.
pub trait TestOutcome {
    /// Whether the test has failed.
    fn is_failure(&self) -> bool;
}

impl TestOutcome for () {
    fn is_failure(&self) -> bool {
        false
    }
}

impl<T, E> TestOutcome for Result<T, E> {
    fn is_failure(&self) -> bool {
        self.is_err()
    }
}

/// Runs a test in a fresh namespace, tears that down even after a panic, and checks for leaks. What the attribute
/// `#[foundation::test]` expands to; for a harness of your own.
///
/// # Panics
/// With the test's own panic; if the namespace cannot be started. If the test did not fail by itself: if an actor of
/// the namespace had to be killed, by name; if more tasks are alive on the runtime than before, by number; if the
/// namespace is still held when they are gone, by its extensions that still exist. That mostly is a cycle: a value that
/// holds its [`Services`](crate::Services), or another handle of the namespace, and that these hold in turn.
pub async fn run<F, Fut, T>(options: TestOptions, test: F) -> T
where
    F: FnOnce(TestNamespace) -> Fut,
    Fut: Future<Output = T>,
    T: TestOutcome,
{
    let TestOptions { name, builder, leaks } = options;
    let alive_before = alive();
    let (registry, services) = match builder.open_test().await {
        Ok(opened) => opened,
        Err(error) => panic!("the namespace of test {name} did not start: {error}"),
    };
    let unfinished = Unfinished::registry(&registry);
    let (remains, telemetry) = (services.registry().remains(), services.telemetry().clone());
    let namespace = TestNamespace::lent(services);
    let id = namespace.services().namespace();
    let outcome = AssertUnwindSafe(async { test(namespace).await }).catch_unwind().await;
    let report = tear_down(&registry, id).await;
    unfinished.finish();
    // Handlers outlive their namespace, and may hold it.
    telemetry.detach_all();
    drop((registry, telemetry));
    let value = outcome.unwrap_or_else(|panic| resume_unwind(panic));
    // What the test itself says comes first: leaks may be the consequence. A handle in the test's own value is one, too.
    if let (false, Leaks::Refused { within }) = (value.is_failure(), leaks) {
        refuse_killed(&name, &report);
        refuse_left(&name, alive_before, within).await;
        refuse_held(&name, &remains, within).await;
    }
    value
}

async fn tear_down(registry: &ProcessRegistry, namespace: Namespace) -> CleanupReport {
    let report = registry.cleanup_namespace(namespace).await;
    registry.shutdown().await;
    report.unwrap_or_else(|error| panic!("the test's namespace cannot be cleaned up: {error}"))
}

fn refuse_killed(name: &str, report: &CleanupReport) {
    let killed: Vec<_> = report.killed().map(|service| service.path.as_str()).collect();
    assert!(killed.is_empty(), "actors of test {name} did not stop and had to be killed: {}", killed.join(", "));
}

async fn refuse_left(name: &str, alive_before: usize, within: Duration) {
    match left_alive(alive_before, within).await {
        0 => {}
        1 => panic!("1 task or actor that test {name} started is still alive {within:?} after it"),
        left => panic!("{left} tasks or actors that test {name} started are still alive {within:?} after it"),
    }
}

async fn refuse_held(name: &str, remains: &NamespaceRemains, within: Duration) {
    let handles = until_none(|| remains.handles(), within).await;
    if handles == 0 {
        return;
    }
    // The foundation's own extensions of a namespace depend on the handles of its services, and say nothing more.
    let is_ours = |of_type: &&str| OUR_CRATES.iter().any(|ours| of_type.starts_with(ours));
    let extensions: Vec<_> = remains.extensions().into_iter().filter(|it| !is_ours(it)).collect();
    let holders = match extensions.is_empty() {
        true => "no extension of it is left, so what holds it is outside".to_owned(),
        false => format!("its extensions that are left, and may hold it, are {}", extensions.join(", ")),
    };
    let handles = if handles == 1 { "1 handle".to_owned() } else { format!("{handles} handles") };
    panic!("the namespace of test {name} is still held by {handles} {within:?} after it; {holders}");
}

fn alive() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// How many tasks too many are alive, once none is or the time is up. The end of a detached task is not reported, so
/// this counts again each time the others have had their turn; in real time, since a paused clock stands still here. On
/// a busy machine the time may pass without a turn for any task, so each is given some in any case.
async fn left_alive(before: usize, within: Duration) -> usize {
    until_none(|| alive().saturating_sub(before), within).await
}

async fn until_none(count: impl Fn() -> usize, within: Duration) -> usize {
    let (begun, mut turns) = (Instant::now(), 0);
    loop {
        let left = count();
        if left == 0 || (begun.elapsed() > within && turns > MIN_TURNS) {
            return left;
        }
        tokio::task::yield_now().await;
        turns += 1;
    }
}
