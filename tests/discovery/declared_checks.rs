//! Checks that are declared, in paused time: no task of the user runs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foundation_discovery::health::{CheckRules, InstanceStatus};
use foundation_discovery::{CheckHandle, Discovery, InstanceCheck};
use foundation_testkit::soon;
use futures::future::ready;
use tokio::task::JoinHandle;

use crate::setup::{World, all, until_status, world};

const SECOND: Duration = Duration::from_secs(1);

/// What a namespace's discovery service does.
fn run_declared(world: &World) -> JoinHandle<()> {
    let discovery = world.discovery.clone();
    tokio::spawn(async move { discovery.run_declared_checks().await })
}

fn failing(name: &str) -> InstanceCheck {
    InstanceCheck::function(name, |_| ready(false)).every(SECOND).rules(CheckRules::new().fall(1))
}

#[tokio::test(start_paused = true)]
async fn a_declared_check_is_of_all_instances_until_it_is_ended() {
    let world = world().await;
    world.spawn("a").await;
    let before = world.discovery.check(all(), failing("disk")).unwrap();
    run_declared(&world);
    until_status(&world, "a", InstanceStatus::Unhealthy).await;
    world.spawn("b").await;
    until_status(&world, "b", InstanceStatus::Unhealthy).await;
    before.end();
    until_status(&world, "a", InstanceStatus::Unknown).await;
    until_status(&world, "b", InstanceStatus::Unknown).await;
    drop(world.discovery.check(all(), failing("disk")).unwrap());
    until_status(&world, "a", InstanceStatus::Unhealthy).await;
}

#[tokio::test(start_paused = true)]
async fn a_second_check_of_one_name_is_refused() {
    let world = world().await;
    let first = world.discovery.check(all(), failing("disk")).unwrap();
    let error = world.discovery.check(all(), failing("disk")).unwrap_err();
    let taken = r#"a check "disk" of orders is declared already: end it, or give this one another name"#;
    assert_eq!((error.to_string().as_str(), first.name()), (taken, "disk"));
    first.end();
    world.discovery.check(all(), failing("disk")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_two_tasks_that_run_the_checks_one_waits_to_take_over() {
    let world = world().await;
    world.spawn("a").await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let check = InstanceCheck::function("disk", move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        ready(true)
    });
    world.discovery.check(all(), check.every(SECOND).jitter(0.0)).unwrap();
    let (first, second) = (run_declared(&world), run_declared(&world));
    until_status(&world, "a", InstanceStatus::Healthy).await;
    let before = runs.load(Ordering::SeqCst);
    tokio::time::timeout(SECOND * 10, futures::future::pending::<()>()).await.unwrap_err();
    assert!(runs.load(Ordering::SeqCst) - before <= 11, "each second once");
    first.abort();
    let before = runs.load(Ordering::SeqCst);
    tokio::time::timeout(SECOND * 10, futures::future::pending::<()>()).await.unwrap_err();
    assert!(runs.load(Ordering::SeqCst) - before >= 9);
    world.names.cleanup().await.unwrap();
    soon("its end", second).await.unwrap();
}

/// Ends a declared check and declares another one when it is dropped.
struct Redeclares(Option<(Discovery, CheckHandle)>);

impl Drop for Redeclares {
    fn drop(&mut self) {
        let Some((discovery, handle)) = self.0.take() else { return };
        handle.end();
        discovery.check(all(), failing("another")).unwrap();
    }
}

#[tokio::test]
async fn a_check_that_is_refused_may_use_discovery_when_it_is_dropped() {
    let world = world().await;
    world.discovery.check(all(), failing("disk")).unwrap();
    let other = world.discovery.check(all(), failing("other")).unwrap();
    let (discovery, redeclares) = (world.discovery.clone(), Redeclares(Some((world.discovery.clone(), other))));
    let refused = InstanceCheck::function("disk", move |_| {
        let _kept = &redeclares;
        ready(true)
    });
    // A thread of its own: one that is blocked could not be given a time limit here.
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || ended.send(discovery.check(all(), refused).is_err()));
    assert!(soon("its return", end).await.unwrap(), "it is refused");
    world.discovery.check(all(), failing("another")).unwrap_err();
    world.discovery.check(all(), failing("other")).unwrap();
}
