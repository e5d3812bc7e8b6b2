//! Stops: of what is being replaced, of what is finishing, and with limits.

use std::time::Duration;

use foundation::names::{NameChange, Watched};
use foundation::supervision::{Supervisor, SupervisorKey};
use foundation_discovery::{Criteria, Discovery, InstanceChange, InstanceWatched};
use foundation_managed::{Batch, Managed, ServiceKind, ServiceStatus};
use foundation_testkit::soon;
use tokio::time::Instant;

use crate::setup::{ClerkMsg, Clerks, DESK, DOOR, Desk, SLOW, World, broken, desk, passes, world};

fn supervisor(world: &World) -> Supervisor {
    world.names.supervisor(&SupervisorKey::new("managed").unwrap())
}

/// Lets the service of this name work on a message for [`SLOW`].
fn works(world: &World, name: &foundation::names::ServiceName) {
    world.send(name, ClerkMsg::AskSlowly(tokio::sync::oneshot::channel().0.into()));
}

/// Configures the desk, and returns when its successor has the name.
async fn handed_over(world: &World, next: Desk) -> tokio::task::JoinHandle<bool> {
    let mut watch = world.names.watch_service(&Managed::key::<ClerkMsg>(&DESK).unwrap());
    let managed = world.managed.clone();
    let configuring = tokio::spawn(async move { managed.configure::<Clerks>(&DESK, &next).await.is_ok() });
    let handing =
        async { while !matches!(watch.next().await, Some(Watched::Change(NameChange::HandedOver { .. }))) {} };
    soon("the hand-over", handing).await;
    configuring
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_replacement_that_is_under_way() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let mut instances = Discovery::of(&world.names).watch(Criteria::service(&DESK));
    let (managed, next) = (world.managed.clone(), broken("pen").checked().replaced_by("blue_green"));
    let configuring = tokio::spawn(async move { managed.configure::<Clerks>(&DESK, &next).await });
    let beside =
        async { while !matches!(instances.next().await, Some(InstanceWatched::Change(InstanceChange::Added(_)))) {} };
    soon("a successor", beside).await;
    let begun = Instant::now();
    world.managed.stop(&DESK, None).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(soon("an answer", configuring).await.unwrap().is_ok(), "it is not to run");
    passes(Duration::from_secs(20)).await;
    assert_eq!(supervisor(&world).which_children().await.unwrap().len(), 1, "the manager");

    // It is started with the configuration that it has.
    let managed = world.managed.clone();
    tokio::spawn(async move { managed.start(&DESK).await });
    world.becomes(&DESK, ServiceStatus::Unhealthy).await;
    assert_eq!(world.answer(&DESK).await, Ok(9));
}

#[tokio::test(start_paused = true)]
async fn a_stop_with_a_limit_ends_a_predecessor_that_finishes() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    works(&world, &DESK);
    let configuring = handed_over(&world, desk(2).replaced_by("patient_blue_green")).await;
    let begun = Instant::now();
    let alive = foundation_testkit::alive_tasks();
    world.managed.stop(&DESK, Duration::from_secs(2)).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 2);
    assert!(foundation_testkit::alive_tasks() < alive);
    assert!(soon("an answer", configuring).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_stop_whose_limit_has_no_end_waits_for_a_predecessor_that_finishes() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    works(&world, &DESK);
    let configuring = handed_over(&world, desk(2).replaced_by("patient_blue_green")).await;
    let begun = Instant::now();
    world.managed.stop(&DESK, Duration::MAX).await.unwrap();
    assert!(begun.elapsed() > SLOW / 2, "{:?}", begun.elapsed());
    assert!(soon("an answer", configuring).await.unwrap());
    assert!(world.managed.status(&DESK).unwrap().last_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stop_under_way_is_given_a_limit_that_ends_a_predecessor_that_finishes() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    works(&world, &DESK);
    let _configuring = handed_over(&world, desk(2).replaced_by("patient_blue_green")).await;
    let (managed, begun) = (world.managed.clone(), Instant::now());
    let stopping = tokio::spawn(async move { managed.stop(&DESK, None).await });
    world.becomes(&DESK, ServiceStatus::ShuttingDown).await;
    world.managed.stop(&DESK, Duration::from_secs(2)).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 2);
    soon("an answer", stopping).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_kills_a_predecessor_that_finishes() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    works(&world, &DESK);
    let _configuring = handed_over(&world, desk(2).replaced_by("patient_blue_green")).await;
    let begun = Instant::now();
    let report = world.managed.shutdown(Duration::from_secs(2)).await.unwrap();
    assert_eq!((report.killed, report.left), (vec![DESK.clone()], Vec::new()));
    assert_eq!(begun.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_successor_is_noticed_while_its_predecessor_finishes() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    works(&world, &DESK);
    let configuring = handed_over(&world, broken("leaves").replaced_by("patient_blue_green")).await;
    world.send(&DESK, ClerkMsg::Fail);
    assert!(!soon("an answer", configuring).await.unwrap());
    assert_eq!(world.status(&DESK), ServiceStatus::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_being_stopped_is_not_taken_over_as_healthy() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let before = world.managed.status(&DESK).unwrap().actor;
    world.hang(&DESK).await;
    let supervisor = supervisor(&world);
    let terminating = tokio::spawn(async move { supervisor.terminate_child("desk.main").await });
    tokio::task::yield_now().await;
    world.manager_restarted().await;
    world.declared(&DOOR, desk(1)).await;
    assert_eq!(world.status(&DESK), ServiceStatus::ShuttingDown);
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    terminating.await.unwrap().unwrap();
    assert_ne!(world.managed.status(&DESK).unwrap().actor, before);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_stop_that_was_taken_back_is_not_that_of_the_next() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    // The start is decided before the stop is begun.
    let (stopped, started) =
        tokio::join!(world.managed.stop(&DESK, Duration::from_secs(1)), world.managed.start(&DESK));
    assert!(stopped.is_err() && started.is_ok(), "{stopped:?}");
    world.hang(&DESK).await;
    let begun = Instant::now();
    world.managed.stop(&DESK, None).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_counts_a_service_that_was_removed_and_is_not_gone() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    world.started(&DOOR, desk(1)).await;
    world.hang(&DESK).await;
    let managed = world.managed.clone();
    let removing = tokio::spawn(async move { managed.remove(&DESK).await });
    let mut watch = world.managed.watch();
    let stopping = async {
        while world.managed.status(&DESK).is_ok() {
            watch.next().await;
        }
    };
    soon("the removal is recorded", stopping).await;
    let report = world.managed.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!((report.stopped, report.killed), (vec![DOOR.clone()], vec![DESK.clone()]));
    assert!(soon("an answer", removing).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_during_a_batch_leaves_nothing_of_it_running() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let slow = serde_json::to_value(broken("slow")).unwrap();
    let batch = Batch::new().declare(&DOOR, Clerks::NAME, slow).start(&DOOR);
    let (done, report) = tokio::join!(world.managed.apply(batch), world.managed.shutdown(Duration::from_secs(600)));
    assert!(done.is_err(), "{done:?}");
    let stopped = report.unwrap().stopped;
    assert_eq!(stopped, [DESK.clone(), DOOR.clone()], "also what the batch may have started");
    let left = supervisor(&world).which_children().await.unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    passes(2 * SLOW).await;
    let left = supervisor(&world).which_children().await.unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
}
