use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use foundation::events::{Event, Query, SubscriptionSpec};
use foundation::health::Condition;
use foundation::names::{RegistryError, ServiceName};
use foundation::ractor::ActorStatus;
use foundation::supervision::{ChildKind, RestartIntensity, Shutdown, Start, StartError};
use foundation::{
    ChildSpec, Foundation, FoundationError, Namespace, NewEvent, Recording, ServiceKey, Services, TestNamespace, ask,
};
use foundation_testkit::{Behavior, Command, Log, Moment, Probe, Puppet, configured, error_text, soon};
use tokio::runtime::Builder;

const CLERK: ServiceKey<Command> = ServiceKey::from_static("clerk");

fn idle() -> (Probe, ()) {
    (Probe::default(), ())
}

/// `Foundation`: the tree does not end with its handles.
#[tokio::test]
async fn the_tree_outlives_the_handles_on_it() {
    let child = |services: &Services| services.child_spec(&CLERK, idle);
    let foundation = Foundation::builder().child(child).start().await.unwrap();
    let clerk = foundation.production().via(&CLERK).actor_ref().unwrap();
    drop(foundation);
    // Everything that would end because of it has its turn.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(soon("an answer", ask(&clerk, Command::Name)).await.unwrap(), "probe");
}

/// `Foundation::namespace`, `test_namespace` and `TestNamespace::cleanup`, after the end.
#[tokio::test]
async fn after_the_shutdown_no_namespace_starts_and_a_clean_up_finds_nothing_to_stop() {
    let foundation = Foundation::builder().start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let id = namespace.services().namespace();
    foundation.shutdown().await;
    for refused in [
        foundation.namespace(Namespace::Production).await.map(drop),
        foundation.namespace(id).await.map(drop),
        foundation.test_namespace().await.map(drop),
    ] {
        assert!(matches!(refused, Err(RegistryError::NotRunning { .. })), "{refused:?}");
    }
    assert!(foundation.cleanup(id).await.unwrap().stopped.is_empty());
    assert!(namespace.cleanup().await.unwrap().stopped.is_empty());
}

/// `Foundation::run_until_signal`: an error, after which the foundation still runs.
#[test]
fn a_run_on_a_runtime_without_io_is_refused_and_the_foundation_still_runs() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let foundation = Foundation::builder().start().await.unwrap();
        let refused = foundation.run_until_signal().await.unwrap_err();
        assert!(matches!(refused, FoundationError::Signals(_)));
        let expected = "signals cannot be listened for: the tokio runtime has no I/O: build it with enable_io() or \
                        enable_all()";
        assert_eq!(refused.to_string(), expected);
        assert!(foundation.health().await.is_healthy());
        foundation.shutdown().await;
    });
}

/// `TestNamespace::kill`: it returns when the actor has ended, without its `post_stop`; the error names the near misses.
#[foundation::test]
async fn a_service_that_was_killed_has_ended_without_its_post_stop(namespace: TestNamespace) {
    let log = Log::new();
    let puppet = Puppet::new("clerk", &log);
    let clerk = namespace.services().spawn(&CLERK, puppet.actor(), ()).await.unwrap().get_cell();
    namespace.kill(CLERK.name()).await.unwrap();
    assert_eq!(clerk.get_status(), ActorStatus::Stopped);
    assert_eq!(log.of(&[Moment::Up, Moment::Stopping, Moment::Down]), ["clerk up"]);
    let error = error_text(namespace.kill(&ServiceName::from_static("event_stor")).await);
    assert!(error.ends_with("did you mean event_store?"), "{error}");
}

/// `Services::check`: replaces one of the same name, after all others, until the namespace ends; and `drop_check`.
#[tokio::test]
async fn a_check_replaces_one_of_its_name_and_ends_with_its_namespace() {
    let child = |services: &Services| services.child_spec(&CLERK, idle).in_health();
    let foundation = Foundation::builder().child(child).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let services = namespace.services().clone();
    let kept = Arc::new(());
    let held = Arc::clone(&kept);
    services.check("licence", || ready(Err::<(), _>("it ended yesterday")));
    services.check("licence", move || {
        let _held = &held;
        ready(())
    });
    let health = services.health().await;
    let names: Vec<_> = health.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["telemetry", "event_store", "config_server", "discovery", "application", "clerk", "licence"]);
    assert!(health.is_healthy(), "{health}");

    namespace.cleanup().await.unwrap();
    assert_eq!(Arc::strong_count(&kept), 1, "the check has gone with its namespace, whatever handles there are");
    assert_eq!(services.health().await.condition(), Condition::Down);
    services.check("late", || ready(()));
    assert_eq!(services.health().await.services.len(), 5);
    assert!(!services.drop_check("late"));
    foundation.shutdown().await;
}

/// `EventStorage::memory`, and everything else in a namespace, is kept for as long as the namespace exists.
#[tokio::test]
async fn a_namespace_that_is_started_again_begins_anew() {
    let foundation = configured().start().await.unwrap();
    let id = Namespace::test();
    let first = foundation.namespace(id).await.unwrap();
    first.events().append(NewEvent::new("opened").unwrap()).await.unwrap();
    first.config().update("server.port", 1).await.unwrap();
    first.check("failing", || ready(Err::<(), _>("always")));
    foundation.cleanup(id).await.unwrap();

    let second = foundation.namespace(id).await.unwrap();
    assert_eq!(second.events().query(Query::new()).await.unwrap(), []);
    assert_eq!(second.config().get::<u16>("server.port").unwrap(), 8080);
    assert_eq!(second.config().status().await.unwrap().generation, 1);
    assert!(second.health().await.is_healthy());
    foundation.shutdown().await;
}

/// `Recording`: the table of kinds, and that each event has the supervisor's path as its source.
#[tokio::test(start_paused = true)]
async fn each_report_is_recorded_as_the_table_states() {
    let builder = Foundation::builder().record(Recording::Everything).intensity(RestartIntensity::UNLIMITED);
    let foundation = builder.start().await.unwrap();
    let application = foundation.production().application().unwrap();
    let unwanted = |_| ready(Ok::<_, StartError>(Start::Ignore));
    let unwanted = ChildSpec::from_fn("unwanted", ChildKind::Worker, unwanted);
    assert!(application.start_child(unwanted).await.unwrap().is_none());
    let stuck = || (Probe::default().stop(Behavior::Hang), ());
    for spec in [
        ChildSpec::worker("polite", idle),
        ChildSpec::worker("brutal", idle).shutdown(Shutdown::BrutalKill),
        ChildSpec::worker("stubborn", stuck).shutdown(Shutdown::Timeout(Duration::from_millis(10))),
    ] {
        let id = spec.id().to_string();
        application.start_child(spec).await.unwrap();
        application.terminate_child(&id).await.unwrap();
    }
    let faulty = application.start_child(ChildSpec::worker("faulty", idle)).await.unwrap().unwrap();
    faulty.kill();

    let path = application.path().to_string();
    let spec = SubscriptionSpec::from_beginning();
    let mut events = foundation.events().subscribe(spec).await.unwrap();
    let mut recorded = Vec::new();
    while recorded.last().is_none_or(|last: &(String, _, _)| last.1 != Recording::CHILD_RESTARTED.as_str()) {
        let event = soon("the next report", events.next()).await.unwrap().unwrap();
        if event.service() == Some(&path) {
            assert_eq!(event.payload["supervisor"], path.as_str());
            recorded.push(summary(&event));
        }
    }
    let expected = [
        ("unwanted", "child_not_wanted", vec!["child", "supervisor"]),
        ("polite", "child_started", vec!["actor", "child", "supervisor"]),
        ("polite", "child_stopped", vec!["actor", "brutally", "child", "supervisor"]),
        ("brutal", "child_started", vec!["actor", "child", "supervisor"]),
        ("brutal", "child_stopped", vec!["actor", "brutally", "child", "supervisor"]),
        ("stubborn", "child_started", vec!["actor", "child", "supervisor"]),
        ("stubborn", "child_killed", vec!["actor", "child", "supervisor"]),
        ("faulty", "child_started", vec!["actor", "child", "supervisor"]),
        ("faulty", "child_exited", vec!["actor", "child", "reason", "supervisor"]),
        ("faulty", "child_restarted", vec!["actor", "cause", "child", "supervisor"]),
    ];
    let owned = |(child, kind, fields): (&str, &str, Vec<&str>)| {
        (child.to_owned(), kind.to_owned(), fields.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(recorded, expected.map(owned));
    let stopped = Query::new().kind(Recording::CHILD_STOPPED);
    let stopped = foundation.events().query(stopped).await.unwrap();
    let brutally: Vec<_> = stopped.iter().map(|event| event.payload["brutally"].as_bool().unwrap()).collect();
    assert_eq!(brutally, [false, true]);
    foundation.shutdown().await;
}

/// The subject of an event, its kind, and its fields, in the order of names.
fn summary(event: &Event) -> (String, String, Vec<String>) {
    let mut fields: Vec<_> = event.payload.as_object().unwrap().keys().cloned().collect();
    fields.sort();
    (event.payload["child"].as_str().unwrap().to_owned(), event.kind.to_string(), fields)
}
