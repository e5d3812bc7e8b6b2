//! Draining instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use foundation_discovery::choice::{Choice, Policy};
use foundation_discovery::health::InstanceStatus;
use foundation_discovery::{DiscoveryError, Picked, Selector};
use foundation_testkit::{Command, eventually, soon, until};
use tokio::time::Instant;

use crate::setup::{World, all, name, world};

const LIMIT: Duration = Duration::from_secs(30);

fn selector(world: &World) -> Selector<Command> {
    world.discovery.selector(all()).choice(Choice::new().policy(Policy::RoundRobin))
}

/// Picks until it is this one.
fn pick(selector: &mut Selector<Command>, id: &str) -> Picked<Command> {
    loop {
        let picked = selector.pick().unwrap();
        if picked.record().name().id() == id {
            return picked;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_drained_when_its_last_call_has_ended() {
    let world = world().await;
    world.spawn("a").await;
    world.spawn("b").await;
    let mut selector = selector(&world);
    let (first, second) = (pick(&mut selector, "a"), pick(&mut selector, "a"));
    let name = name("a");
    let mut drained = std::pin::pin!(world.discovery.drain(&name, LIMIT));
    assert!(futures::poll!(&mut drained).is_pending());
    assert_eq!(world.discovery.instance(&name).unwrap().status(), InstanceStatus::Draining);
    for _ in 0..50 {
        let picked = selector.pick().unwrap();
        assert_eq!(picked.record().name().id(), "b");
        picked.succeeded();
    }
    first.succeeded();
    assert!(futures::poll!(&mut drained).is_pending(), "one is left");
    drop(second);
    let report = soon("its end", drained).await.unwrap();
    assert_eq!((report.began_with, report.in_flight, report.is_complete()), (2, 0, true));
    assert!(report.to_string().starts_with("orders.a is drained: its 2 calls in flight have ended within"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_end_in_time_are_reported_and_the_instance_can_be_resumed() {
    let world = world().await;
    world.spawn("a").await;
    let mut selector = selector(&world);
    let hangs = pick(&mut selector, "a");
    let began = Instant::now();
    let report = world.discovery.drain(&name("a"), LIMIT).await.unwrap();
    assert_eq!((report.in_flight, began.elapsed() >= LIMIT), (1, true));
    assert!(report.to_string().ends_with("1 of 1 calls are in flight"), "{report}");
    let error = selector.pick().unwrap_err().to_string();
    assert!(error.ends_with("none of 1 instances is in rotation: 1 draining"), "{error}");
    assert_eq!(world.discovery.resume(&name("a")).unwrap().status, InstanceStatus::Unknown);
    pick(&mut selector, "a").succeeded();
    drop(hangs);
}

#[tokio::test(start_paused = true)]
async fn the_next_incarnation_of_an_instance_that_was_drained_is_in_rotation() {
    let world = world().await;
    let actor = world.spawn("a").await;
    assert!(world.discovery.drain(&name("a"), LIMIT).await.unwrap().is_complete());
    actor.stop(None);
    eventually("its end", async || world.discovery.instance(&name("a")).is_none().then_some(())).await;
    let missed = world.discovery.resume(&name("a")).unwrap_err();
    assert!(matches!(missed, DiscoveryError::NotFound { .. }), "{missed}");
    world.spawn("a").await;
    pick(&mut selector(&world), "a").succeeded();
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_says_that_it_drains_stays_so_when_it_is_resumed() {
    let world = world().await;
    let owner = world.spawn("a").await;
    world.discovery.update(&name("a"), &owner, |it| it.draining(true)).unwrap();
    assert_eq!(world.discovery.resume(&name("a")).unwrap().status, InstanceStatus::Draining);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn no_call_begins_after_an_instance_is_drained() {
    let world = world().await;
    world.spawn("a").await;
    world.spawn("b").await;
    let (ended, calls) = (Arc::new(AtomicBool::new(false)), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let (mut selector, ended, calls) = (selector(&world), Arc::clone(&ended), Arc::clone(&calls));
            tokio::spawn(async move {
                while !ended.load(Ordering::SeqCst) {
                    let picked = selector.pick().unwrap();
                    // While it is in flight.
                    calls[usize::from(picked.record().name().id() == "b")].fetch_add(1, Ordering::SeqCst);
                    picked.succeeded();
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for _ in 0..300 {
        let report = world.discovery.drain(&name("a"), LIMIT).await.unwrap();
        assert!(report.is_complete(), "{report}");
        let [before, others] = [&calls[0], &calls[1]].map(|calls| calls.load(Ordering::SeqCst));
        until("calls of the other instance", async || calls[1].load(Ordering::SeqCst) >= others + 20).await;
        assert_eq!(calls[0].load(Ordering::SeqCst), before);
        world.discovery.resume(&name("a")).unwrap();
    }
    ended.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_when_the_instance_is_resumed_and_says_so() {
    let world = world().await;
    world.spawn("a").await;
    let mut selector = selector(&world);
    let hangs = pick(&mut selector, "a");
    let (began, name) = (Instant::now(), name("a"));
    let mut drained = std::pin::pin!(world.discovery.drain(&name, LIMIT));
    assert!(futures::poll!(&mut drained).is_pending());
    world.discovery.resume(&name).unwrap();
    let report = soon("its end", drained).await.unwrap();
    assert_eq!((report.in_flight, report.resumed, report.is_complete()), (1, true, false));
    assert!(report.to_string().starts_with("orders.a is not drained: it was resumed after"), "{report}");
    assert!(began.elapsed() < LIMIT);
    hangs.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_drain_and_a_resumption_at_the_same_time_leave_an_instance_in_one_state() {
    let world = world().await;
    world.spawn("a").await;
    let mut selector = selector(&world);
    for round in 0..2_000 {
        let (drains, resumes) = (world.discovery.clone(), world.discovery.clone());
        let drained = tokio::spawn(async move { drains.drain(&name("a"), Duration::ZERO).await });
        let resumed = tokio::spawn(async move { resumes.resume(&name("a")) });
        drained.await.unwrap().unwrap();
        resumed.await.unwrap().unwrap();
        let is_draining = world.discovery.instance(&name("a")).unwrap().status() == InstanceStatus::Draining;
        assert_eq!(selector.pick().is_err(), is_draining, "round {round}");
    }
}
