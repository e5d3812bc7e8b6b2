//! Checks that run at an interval, in paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foundation::supervision::Health;
use foundation_discovery::health::{CheckRules, InstanceStatus};
use foundation_discovery::{InstanceCheck, InstanceRecord};
use foundation_testkit::{Command, soon};
use futures::future::{pending, ready};
use tokio::sync::Notify;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, timeout};

use crate::setup::{all, check, check_of, name, orders, until_status, world};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn each_instance_is_checked_those_that_come_later_included() {
    let world = world().await;
    world.spawn("good").await;
    check(
        &world,
        InstanceCheck::function("disk", |record: InstanceRecord| async move {
            if record.name().id() == "bad" { Err("no disk") } else { Ok(()) }
        }),
    );
    until_status(&world, "good", InstanceStatus::Healthy).await;
    world.spawn("bad").await;
    let began = Instant::now();
    let health = until_status(&world, "bad", InstanceStatus::Unhealthy).await;
    assert_eq!(health, "unhealthy: failed: no disk (3 in a row)");
    let elapsed = began.elapsed();
    assert!(elapsed > SECOND && elapsed < SECOND * 4, "the phase and two intervals: {elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_or_panics_is_a_failure() {
    let world = world().await;
    world.spawn("a").await;
    let hangs = check(&world, InstanceCheck::function("hangs", |_| pending::<()>()).within(SECOND / 2));
    let health = until_status(&world, "a", InstanceStatus::Unhealthy).await;
    assert_eq!(health, "unhealthy: timed out after 500ms (3 in a row)");
    hangs.abort();
    assert!(world.discovery.end_check(&name("a"), "hangs"));
    check(&world, InstanceCheck::function("panics", |_| -> std::future::Ready<()> { panic!("it breaks") }));
    let health = until_status(&world, "a", InstanceStatus::Unhealthy).await;
    assert_eq!(health, "unhealthy: crashed: it breaks (3 in a row)");
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_asked_by_a_call() {
    let world = world().await;
    world.spawn("a").await;
    let yes = check(&world, InstanceCheck::call("open", |reply| Command::Answer(true, reply)));
    until_status(&world, "a", InstanceStatus::Healthy).await;
    yes.abort();
    check(&world, InstanceCheck::call("open", |reply| Command::Answer(false, reply)));
    let health = until_status(&world, "a", InstanceStatus::Unhealthy).await;
    assert_eq!(health, "unhealthy: failed: the check said no (3 in a row)");
}

#[tokio::test(start_paused = true)]
async fn never_two_checks_of_one_instance_run_at_a_time() {
    let world = world().await;
    world.spawn("a").await;
    let (running, most, ended) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let counters = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&ended));
    let slow = InstanceCheck::function("slow", move |_| {
        let (running, most, ended) = counters.clone();
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _ = timeout(SECOND * 5, pending::<()>()).await;
            running.fetch_sub(1, Ordering::SeqCst);
            ended.notify_one();
        }
    });
    check_of(&world, all(), slow.every(SECOND * 10).within(SECOND * 10));
    for run in 1..=5 {
        soon(format!("the end of run {run}"), ended.notified()).await;
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_meets_the_criteria_no_longer_is_not_checked_any_more() {
    let world = world().await;
    let owner = world.spawn_as(orders("a").label("checked", "yes")).await;
    let failing = InstanceCheck::function("disk", |_| ready(false)).rules(CheckRules::new().fall(1));
    check_of(&world, all().label("checked", "yes").healthy_only(), failing.every(SECOND));
    until_status(&world, "a", InstanceStatus::Unhealthy).await;
    world.discovery.update(&name("a"), &owner, |it| it.label("checked", "no")).unwrap();
    until_status(&world, "a", InstanceStatus::Unknown).await;
}

#[tokio::test(start_paused = true)]
async fn a_checker_that_is_dropped_leaves_results_that_become_too_old() {
    let world = world().await;
    world.spawn("a").await;
    let checker = check(&world, InstanceCheck::function("disk", |_| ready(Health::Healthy)));
    until_status(&world, "a", InstanceStatus::Healthy).await;
    checker.abort();
    let health = until_status(&world, "a", InstanceStatus::Unhealthy).await;
    assert_eq!(health, "unhealthy: no result for 6.001s", "five intervals and the limit of one");
}

#[tokio::test(start_paused = true)]
async fn an_instance_whose_actor_lives_is_alive_even_if_it_hangs() {
    let world = world().await;
    let actor = world.spawn("a").await;
    check(&world, InstanceCheck::alive());
    actor.cast(Command::Hang).unwrap();
    until_status(&world, "a", InstanceStatus::Healthy).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_takes_no_longer_than_its_interval() {
    let world = world().await;
    world.spawn("a").await;
    check(&world, InstanceCheck::function("hangs", |_| pending::<()>()).within(SECOND * 5));
    let health = until_status(&world, "a", InstanceStatus::Unhealthy).await;
    assert_eq!(health, "unhealthy: timed out after 1s (3 in a row)");
}

#[tokio::test(start_paused = true)]
async fn checks_end_with_the_namespace() {
    let world = world().await;
    world.spawn("a").await;
    let checker = check(&world, InstanceCheck::function("disk", |_| ready(true)));
    until_status(&world, "a", InstanceStatus::Healthy).await;
    world.names.cleanup().await.unwrap();
    soon("its end", checker).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_check_is_given_the_instance_as_its_owner_has_changed_it() {
    let world = world().await;
    let owner = world.spawn_as(orders("a").endpoint("http://10.0.0.7:80")).await;
    let (asked, mut asks) = unbounded_channel();
    check(
        &world,
        InstanceCheck::function("endpoint", move |record: InstanceRecord| {
            asked.send((record.instance.endpoint().unwrap().address(), record.health.status)).unwrap();
            ready(true)
        }),
    );
    let first = soon("the first run", asks.recv()).await.unwrap();
    assert_eq!(first, ("10.0.0.7:80".to_owned(), InstanceStatus::Unknown));
    world.discovery.update(&name("a"), &owner, |it| it.endpoint("http://10.0.0.8:80")).unwrap();
    let next = soon("the next run", asks.recv()).await.unwrap();
    assert_eq!(next, ("10.0.0.8:80".to_owned(), InstanceStatus::Healthy));
}

#[tokio::test(start_paused = true)]
async fn whether_its_actor_is_alive_says_nothing_of_an_announced_instance() {
    let world = world().await;
    let remote = orders("a").endpoint("http://10.0.0.7:80").build().unwrap();
    let _lease = world.discovery.announce(&remote, SECOND * 600).await.unwrap();
    check(&world, InstanceCheck::alive());
    let health = until_status(&world, "a", InstanceStatus::Unhealthy).await;
    assert!(health.starts_with("unhealthy: failed: it was announced, and has no actor here"), "{health}");
}

#[tokio::test(start_paused = true)]
async fn awaited_checks_run_one_at_a_time_for_an_instance() {
    let world = world().await;
    world.spawn("a").await;
    let record = world.discovery.instance(&name("a")).unwrap();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, highest) = (Arc::clone(&running), Arc::clone(&most));
    let slow = InstanceCheck::function("slow", move |_| {
        highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let now = Arc::clone(&now);
        async move {
            let _ = timeout(SECOND / 2, pending::<()>()).await;
            now.fetch_sub(1, Ordering::SeqCst);
        }
    });
    soon("both", async {
        tokio::join!(world.discovery.await_success(&record, &slow), world.discovery.await_success(&record, &slow))
    })
    .await;
    assert_eq!((most.load(Ordering::SeqCst), running.load(Ordering::SeqCst)), (1, 0));
}
