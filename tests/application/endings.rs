//! The end of a foundation, as its services and its handles observe it, and cancelled futures.

use std::time::Duration;

use foundation::events::{EventStorage, SubscriptionSpec};
use foundation::names::{Collapse, RegistryError, ServiceName};
use foundation::ractor::ActorCell;
use foundation::supervision::{Backoff, RestartIntensity, StartError};
use foundation::{
    ConfigServer, EventStore, Foundation, FoundationBuilder, FoundationError, Namespace, NewEvent, Services, StopCause,
};
use foundation_testkit::{alive_tasks, configured, poll_and_drop, soon, until_tasks_left};
use futures::FutureExt;
use tokio::runtime::Builder;

const HOUR: Duration = Duration::from_secs(3_600);

fn actor(foundation: &Foundation, services: &Services, name: &ServiceName) -> Option<ActorCell> {
    Some(foundation.registry().get_all_services(services.namespace()).get(name)?.cell().clone())
}

/// Services for which three restarts exceed the intensity; by default no number does.
fn collapsing() -> FoundationBuilder {
    configured().service_intensity(RestartIntensity::default()).service_backoff(Backoff::None)
}

/// Kills a service repeatedly until its namespace gives up, or the whole foundation, if that is production's.
async fn collapse(foundation: &Foundation, services: &Services, name: &ServiceName) {
    while !services.registry().has_ended() {
        if let Some(actor) = actor(foundation, services, name) {
            drop(actor.kill_and_wait(None).await);
        }
        tokio::task::yield_now().await;
    }
}

async fn subscriptions_end(services: &Services, end: impl Future<Output = ()>) {
    let mut events = services.events().subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
    let mut changes = services.config().subscribe("server").unwrap();
    let waiting = services.clone();
    let waiting = tokio::spawn(async move { waiting.events().wait_until_up(HOUR).await });
    end.await;
    let events_end = async { while let Ok(Some(_)) | Err(_) = events.next().await {} };
    soon("the end of the events", events_end).await;
    let changes_end = async { while let Ok(Some(_)) | Err(_) = changes.next().await {} };
    soon("the end of the changes", changes_end).await;
    drop(soon("the end of the wait", waiting).await.unwrap());
    // A late subscriber does not wait for ever either.
    let mut late = services.config().subscribe("server").unwrap();
    assert_eq!(soon("the end of a late subscription", late.next()).await, Ok(None));
}

#[tokio::test]
async fn subscriptions_end_when_their_namespace_collapses() {
    let foundation = collapsing().start().await.unwrap();
    for name in [ConfigServer::NAME, EventStore::NAME] {
        let services = foundation.namespace(Namespace::test()).await.unwrap();
        subscriptions_end(&services, collapse(&foundation, &services, &name)).await;
        assert_eq!(foundation.registry().namespaces(), [Namespace::Production]);
        let again = foundation.namespace(services.namespace()).await.unwrap();
        again.events().append(NewEvent::new("opened").unwrap()).await.unwrap();
        again.registry().cleanup().await.unwrap();
    }
    assert!(foundation.health().await.is_healthy());
    foundation.shutdown().await;
}

#[tokio::test]
async fn subscriptions_end_when_the_whole_tree_collapses_and_the_report_shows_the_collapse() {
    let foundation = collapsing().start().await.unwrap();
    let production = foundation.production().clone();
    subscriptions_end(&production, collapse(&foundation, &production, &ConfigServer::NAME)).await;
    let refused = foundation.namespace(Namespace::Production).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NotRunning { .. }), "{refused}");
    let report = foundation.shutdown().await;
    assert_eq!((report.cause, report.exit_code()), (StopCause::Collapse, std::process::ExitCode::FAILURE));
    let Some(Collapse::GaveUp(cause)) = &report.collapse else { panic!("{report}") };
    assert_eq!(cause.intensity, RestartIntensity::default());
    assert!(report.to_string().contains(": too many restarts: more than 3 restarts within 5s: "), "{report}");
}

#[tokio::test]
async fn the_report_shows_that_the_root_was_killed() {
    let foundation = configured().start().await.unwrap();
    let application = foundation.production().application().unwrap().actor().unwrap();
    let root = application.try_get_supervisor().unwrap().try_get_supervisor().unwrap();
    root.kill();
    foundation.registry().wait_until_gone().await;
    let report = foundation.shutdown().await;
    assert_eq!((report.cause, &report.collapse), (StopCause::Collapse, &Some(Collapse::Killed)));
    assert!(report.to_string().contains(": the root supervisor was killed"), "{report}");
    assert!(!report.to_string().contains("restarts"), "{report}");
    assert_eq!(serde_json::to_value(&report).unwrap()["collapse"], "killed");
}

#[tokio::test]
async fn subscriptions_end_when_a_shutdown_is_cancelled() {
    let foundation = configured().start().await.unwrap();
    let production = foundation.production().clone();
    let end = async { assert!(foundation.shutdown().now_or_never().is_none()) };
    subscriptions_end(&production, end).await;
    let report = foundation.shutdown().await;
    assert_eq!((report.cause, report.exit_code()), (StopCause::Request, std::process::ExitCode::SUCCESS));
    assert!(report.namespaces[0].stopped.len() >= 4, "all that were stopped are reported: {report}");
}

#[tokio::test]
async fn subscriptions_end_when_the_runtime_of_the_foundation_is_dropped() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let foundation = runtime.spawn(configured().start()).await.unwrap().unwrap();
    let production = foundation.production().clone();
    let end = async { tokio::task::spawn_blocking(|| drop(runtime)).await.unwrap() };
    subscriptions_end(&production, end).await;
    let report = soon("a shutdown of what is gone", foundation.shutdown()).await;
    assert_eq!((report.cause, report.collapse), (StopCause::Collapse, Some(Collapse::RuntimeGone)));
}

#[tokio::test]
async fn a_shutdown_through_the_registry_is_no_collapse() {
    let foundation = configured().start().await.unwrap();
    foundation.registry().shutdown().await;
    let report = foundation.shutdown().await;
    assert_eq!((report.cause, report.collapse), (StopCause::Request, None));
}

/// Extensions may use the services of their namespace, also while they are made.
#[tokio::test]
async fn an_extension_may_be_made_of_services() {
    let foundation = configured().start().await.unwrap();
    let names = foundation.production().registry().clone();
    let made = names.extension(|| (EventStore::of(&names), foundation.production().clone()));
    made.0.append(NewEvent::new("opened").unwrap()).await.unwrap();
    foundation.shutdown().await;
    let kept = std::sync::Arc::downgrade(&made);
    drop(made);
    assert!(kept.upgrade().is_none(), "it has gone with its namespace");
}

// ---- cancelled ----

/// Cancels a start at each poll until it is complete, and checks that nothing is left of it.
async fn start_is_given_up(builder: impl Fn() -> FoundationBuilder) {
    let before = alive_tasks();
    for polls in 0.. {
        let started = poll_and_drop(polls, builder().start()).await;
        if let Some(foundation) = started {
            foundation.unwrap().shutdown().await;
            until_tasks_left(before).await;
            return;
        }
        until_tasks_left(before).await;
        let again = async {
            loop {
                // The thread that opens a file is not interrupted, and holds the file until it is done.
                match builder().start().await {
                    Err(error) if error.to_string().contains("has it open") => tokio::task::yield_now().await,
                    started => return started.unwrap(),
                }
            }
        };
        soon("the next start", again).await.shutdown().await;
        until_tasks_left(before).await;
    }
}

#[tokio::test]
async fn a_cancelled_start_leaves_nothing_behind() {
    start_is_given_up(configured).await;
}

#[tokio::test]
async fn a_cancelled_start_on_a_file_does_not_block_the_next() {
    let directory = tempfile::tempdir().unwrap();
    start_is_given_up(|| configured().events(EventStorage::sqlite(directory.path()))).await;
}

#[tokio::test]
async fn a_cancelled_test_namespace_is_cleaned_up_in_the_background() {
    let foundation = configured().start().await.unwrap();
    let before = alive_tasks();
    for polls in 0.. {
        if let Some(namespace) = poll_and_drop(polls, foundation.test_namespace()).await {
            namespace.unwrap().cleanup().await.unwrap();
            until_tasks_left(before).await;
            break;
        }
        until_tasks_left(before).await;
        assert_eq!(foundation.registry().namespaces(), [Namespace::Production], "after {polls} polls");
    }
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_cancelled_clean_up_of_a_test_namespace_continues() {
    let foundation = configured().start().await.unwrap();
    let before = alive_tasks();
    for polls in 0.. {
        let namespace = foundation.test_namespace().await.unwrap();
        let cleaned_up = poll_and_drop(polls, namespace.cleanup()).await;
        until_tasks_left(before).await;
        assert_eq!(foundation.registry().namespaces(), [Namespace::Production], "after {polls} polls");
        if cleaned_up.is_some() {
            break;
        }
    }
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_cancelled_test_leaves_nothing_behind() {
    let before = alive_tasks();
    for polls in 0..40 {
        let options = foundation::testing::TestOptions::new("given_up");
        poll_and_drop(polls, foundation::testing::run(options, |_| std::future::pending::<()>())).await;
        until_tasks_left(before).await;
    }
}

#[test]
fn a_foundation_without_timers_or_without_a_runtime_does_not_start() {
    let without_timers = Builder::new_current_thread().build().unwrap();
    let refused = without_timers.block_on(Foundation::builder().start()).unwrap_err();
    assert!(matches!(refused, FoundationError::Registry(StartError::NoTimers)), "{refused}");
    let refused = Foundation::builder().start().now_or_never().expect("at once").unwrap_err();
    assert!(matches!(refused, FoundationError::Registry(StartError::NoRuntime)), "{refused}");
}
