//! The harness: the input of a `#[foundation::test]`, and its checks afterwards.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use foundation::names::RegistryError;
use foundation::ractor::{Actor, ActorStatus};
use foundation::supervision::{Shutdown, StartError};
use foundation::testing::{TestOptions, run};
use foundation::{ChildSpec, Foundation, FoundationBuilder, Namespace, ServiceKey, TestNamespace};
use foundation_testkit::{Behavior, Command, Log, Moment, Probe, Puppet, SOON, assert_error, configured};
use tokio::runtime::{Builder, Handle, RuntimeFlavor};

const CLERK: ServiceKey<Command> = ServiceKey::from_static("clerk");

/// Runs a test as the attribute would, on a runtime of its own; its panic's text, or `Ok`.
fn outcome<Fut: Future<Output = ()>>(
    options: TestOptions,
    test: impl FnOnce(TestNamespace) -> Fut,
) -> Result<(), String> {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(options, test))));
    ended.map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().unwrap()).to_owned(),
    })
}

/// With a short limit for leaks, since some will remain; a task has some turns in any case.
fn options(name: &str) -> TestOptions {
    TestOptions::new(name).leak_timeout(Duration::from_millis(20))
}

// ---- the input of a test ----

#[test]
fn each_test_has_a_fresh_namespace_with_the_same_names() {
    let mut namespaces = Vec::new();
    for _ in 0..2 {
        let ended = outcome(options("fresh"), async |namespace| {
            let clerk = Probe::default();
            namespace.services().spawn(&CLERK, clerk, ()).await.unwrap();
            assert!(namespace.services().namespace().is_test());
            namespaces.push(namespace.services().namespace());
        });
        assert_eq!(ended, Ok(()));
    }
    assert_ne!(namespaces[0], namespaces[1]);
}

#[foundation::test]
async fn a_test_has_all_services_and_an_empty_application(namespace: TestNamespace) {
    let names: Vec<_> = namespace.registry().list_services().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["config_server", "discovery", "event_store", "telemetry"]);
    assert_eq!(namespace.services().application().unwrap().count_children().await.unwrap().specs, 0);
    assert!(namespace.health().await.is_healthy());
}

#[foundation::test]
async fn a_test_may_do_without_its_namespace() {
    assert_eq!(Handle::current().runtime_flavor(), RuntimeFlavor::CurrentThread);
}

#[foundation::test]
async fn a_test_may_return_a_result(namespace: TestNamespace) -> Result<(), foundation::names::RegistryError> {
    let clerk = Probe::default();
    namespace.services().spawn(&CLERK, clerk, ()).await?;
    namespace.services().lookup(&CLERK).map(drop)
}

fn with_a_clerk() -> FoundationBuilder {
    configured().child(|services| services.child_spec(&CLERK, || (Probe::default(), ())))
}

#[foundation::test(builder = with_a_clerk())]
async fn a_test_may_start_from_a_builder_of_its_own(namespace: TestNamespace) {
    assert_eq!(namespace.services().via(&CLERK).call(Command::Name, SOON).await.unwrap(), "probe");
    assert_eq!(namespace.config().get::<u16>("server.port").unwrap(), 8080);
}

#[foundation::test]
async fn a_child_whose_rule_is_to_be_killed_is_no_leak(namespace: TestNamespace) {
    let spec = namespace
        .services()
        .child_spec(&CLERK, || (Probe::default(), ()))
        .shutdown(foundation::supervision::Shutdown::BrutalKill);
    namespace.services().supervise(spec).await.unwrap();
}

#[foundation::test(start_paused = true)]
async fn a_test_may_pause_the_clock(namespace: TestNamespace) {
    let (begun, really_begun) = (tokio::time::Instant::now(), std::time::Instant::now());
    let found = namespace.services().wait_for_service(&CLERK, Duration::from_secs(3_600)).await;
    assert_error!(found, RegistryError::WaitTimedOut { .. });
    assert!(begun.elapsed() >= Duration::from_secs(3_600));
    assert!(really_begun.elapsed() < SOON);
}

#[foundation::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_test_may_have_several_threads(namespace: TestNamespace) {
    let runtime = Handle::current();
    assert_eq!((runtime.runtime_flavor(), runtime.metrics().num_workers()), (RuntimeFlavor::MultiThread, 3));
    assert!(namespace.health().await.is_healthy());
}

#[test]
fn a_namespace_that_does_not_start_fails_the_test_with_the_cause() {
    let builder = Foundation::builder().child(|_| {
        ChildSpec::from_fn("sleeper", foundation::supervision::ChildKind::Worker, |_| async {
            Err::<foundation::supervision::Started, _>(StartError::failed("overslept"))
        })
    });
    let message =
        outcome(options("early").builder(builder), async |_| unreachable!("the test does not run")).unwrap_err();
    assert!(message.starts_with("the namespace of test early did not start: namespace test:"), "{message}");
    assert!(message.ends_with("child sleeper did not start: overslept"), "{message}");
}

// ---- leaked handles ----

/// A value of a namespace that holds the namespace, and itself.
struct Notebook {
    services: foundation::Services,
    myself: std::sync::OnceLock<std::sync::Arc<Notebook>>,
}

fn notebook(namespace: &TestNamespace) -> std::sync::Arc<Notebook> {
    namespace
        .registry()
        .extension(|| Notebook { services: namespace.services().clone(), myself: std::sync::OnceLock::new() })
}

#[test]
fn a_namespace_that_a_cycle_keeps_alive_is_reported_with_the_extension_in_it() {
    let message = outcome(options("cycle"), async |namespace| {
        let notebook = notebook(&namespace);
        let _ = notebook.myself.set(std::sync::Arc::clone(&notebook));
    });
    let message = message.unwrap_err();
    assert!(message.starts_with("the namespace of test cycle is still held by "), "{message}");
    assert!(
        message.contains("; its extensions that are left, and may hold it, are ") && message.ends_with("::Notebook"),
        "{message}"
    );
}

#[test]
fn a_namespace_that_is_held_from_outside_is_reported() {
    let mut kept = None;
    let message = outcome(options("kept"), async |namespace| kept = Some(namespace.events().clone())).unwrap_err();
    assert!(message.ends_with("no extension of it is left, so what holds it is outside"), "{message}");
}

#[test]
fn a_cycle_that_the_end_of_the_namespace_or_of_the_test_breaks_is_no_leak() {
    let ended = outcome(options("broken"), async |namespace| {
        assert!(notebook(&namespace).services.health().await.is_healthy());
        let services = namespace.services().clone();
        namespace.services().check("itself", move || std::future::ready(services.namespace().is_test()));
        let services = namespace.services().clone();
        let count = move |_: &foundation::telemetry::TelemetryEvent<'_>| assert!(services.namespace().is_test());
        namespace.telemetry().attach("itself", ["noted"], count).unwrap();
    });
    assert_eq!(ended, Ok(()));
}

// ---- teardown ----

#[test]
fn a_test_that_panics_is_torn_down_in_order_and_its_own_panic_is_shown() {
    let log = Log::new();
    let clerk = Puppet::new("clerk", &log).actor();
    let mut cell = None;
    let message = outcome(options("panics"), async |namespace| {
        cell = Some(namespace.services().spawn(&CLERK, clerk, ()).await.unwrap().get_cell());
        tokio::spawn(std::future::pending::<()>());
        panic!("the test's own words");
    });
    assert_eq!(message, Err("the test's own words".to_owned()));
    assert_eq!(cell.unwrap().get_status(), ActorStatus::Stopped);
    assert_eq!(log.of(&[Moment::Up, Moment::Down]), ["clerk up", "clerk down"], "its post_stop has run");
}

#[test]
fn an_error_that_the_test_returns_is_not_hidden_by_what_it_left_behind() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let returned = runtime.block_on(run(options("fails"), async |_| {
        tokio::spawn(std::future::pending::<()>());
        Err::<(), _>("the test's own error")
    }));
    assert_eq!(returned, Err("the test's own error"));
}

#[test]
fn a_namespace_that_was_cleaned_up_by_the_test_itself_is_no_fault() {
    let ended = outcome(options("tidy"), async |namespace| {
        namespace.cleanup().await.unwrap();
    });
    assert_eq!(ended, Ok(()));
}

// ---- detected leaks ----

#[test]
fn a_task_that_outlives_its_test_is_found() {
    let message = outcome(options("leaks"), async |_| {
        tokio::spawn(std::future::pending::<()>());
    });
    let expected = "1 task or actor that test leaks started is still alive 20ms after it";
    assert_eq!(message, Err(expected.to_owned()));
}

#[test]
fn plain_ractor_actors_that_outlive_their_test_are_found() {
    let message = outcome(options("leaks"), async |_| {
        for _ in 0..2 {
            Actor::spawn(None, Probe::default(), ()).await.unwrap();
        }
    });
    let expected = "2 tasks or actors that test leaks started are still alive 20ms after it";
    assert_eq!(message, Err(expected.to_owned()));
}

#[test]
fn a_task_that_is_just_ending_is_waited_for() {
    let ended = outcome(options("ends"), async |_| {
        tokio::spawn(async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        });
    });
    assert_eq!(ended, Ok(()));
}

#[test]
fn an_actor_that_was_started_elsewhere_and_registered_is_stopped_and_no_leak() {
    let log = Log::new();
    let clerk = Puppet::new("clerk", &log).actor();
    let ended = outcome(options("registers"), async |namespace| {
        let (actor, _) = Actor::spawn(None, clerk, ()).await.unwrap();
        namespace.services().register(&CLERK, &actor).await.unwrap();
    });
    assert_eq!(ended, Ok(()));
    assert_eq!(log.of(&[Moment::Up, Moment::Down]), ["clerk up", "clerk down"]);
}

#[test]
fn leaks_may_be_allowed() {
    let ended = outcome(options("careless").allow_leaks(), async |_| {
        tokio::spawn(std::future::pending::<()>());
    });
    assert_eq!(ended, Ok(()));
}

#[test]
fn leaks_stay_allowed_whatever_time_is_given_and_so_do_actors_that_have_to_be_killed() {
    let options = TestOptions::new("careless").allow_leaks().leak_timeout(Duration::ZERO);
    let ended = outcome(options, async |namespace| {
        let hanging = || (Probe::default().stop(Behavior::Hang), ());
        let spec = ChildSpec::worker("hanging", hanging).shutdown(Shutdown::Timeout(Duration::from_secs(1)));
        namespace.services().supervise(spec).await.unwrap();
        tokio::spawn(std::future::pending::<()>());
    });
    assert_eq!(ended, Ok(()));
}

#[foundation::test(allow_leaks)]
async fn leaks_may_be_allowed_by_the_attribute() {
    tokio::spawn(std::future::pending::<()>());
}

#[foundation::test(leak_timeout_ms = 20)]
#[should_panic(expected = "is still alive 20ms after it")]
async fn the_time_for_the_last_task_may_be_set_by_the_attribute(_namespace: TestNamespace) {
    tokio::spawn(std::future::pending::<()>());
}

#[test]
fn an_actor_that_has_to_be_killed_is_named() {
    let mut id = None;
    let message = outcome(options("stubborn"), async |namespace: TestNamespace| {
        id = Some(namespace.services().namespace());
        let hanging = || (Probe::default().stop(Behavior::Hang), ());
        let spec = ChildSpec::worker("hanging", hanging).shutdown(Shutdown::Timeout(Duration::from_secs(1)));
        namespace.services().supervise(spec).await.unwrap();
    });
    let (id, message): (Namespace, String) = (id.unwrap(), message.unwrap_err());
    assert!(message.starts_with("actors of test stubborn did not stop and had to be killed: "), "{message}");
    assert!(message.ends_with(&format!("{id}/application/hanging")), "{message}");
}
