//! Heartbeats, in paused time.

use std::time::Duration;

use foundation_discovery::InstanceCheck;
use foundation_discovery::health::CheckRole::Advisory;
use foundation_discovery::health::InstanceStatus;

use crate::setup::{World, all, check, name, until_status, world};

const TTL: Duration = Duration::from_secs(6);

async fn beat_for(world: &World, times: u32) {
    for _ in 0..times {
        world.discovery.heartbeat(&name("a")).unwrap();
        tokio::time::advance(TTL - Duration::from_secs(1)).await;
        assert_eq!(world.discovery.instance(&name("a")).unwrap().status(), InstanceStatus::Healthy);
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_silent_for_its_time_to_live_fails_until_the_next_heartbeat() {
    let world = world().await;
    world.spawn("a").await;
    check(&world, InstanceCheck::heartbeat(TTL));
    world.discovery.heartbeat(&name("a")).unwrap();
    until_status(&world, "a", InstanceStatus::Healthy).await;
    beat_for(&world, 20).await;
    let silent = until_status(&world, "a", InstanceStatus::Unhealthy).await;
    assert_eq!(silent, "unhealthy: failed: no heartbeat for 6.001s");
    world.discovery.heartbeat(&name("a")).unwrap();
    until_status(&world, "a", InstanceStatus::Healthy).await;
    beat_for(&world, 3).await;
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_never_sends_a_heartbeat_fails_after_its_time_to_live() {
    let world = world().await;
    world.spawn("a").await;
    check(&world, InstanceCheck::heartbeat(TTL));
    let health = until_status(&world, "a", InstanceStatus::Unhealthy).await;
    assert_eq!(health, "unhealthy: failed: no heartbeat for 6.001s");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_not_late_because_other_checks_hang() {
    let world = world().await;
    world.spawn("a").await;
    check(&world, InstanceCheck::function("hangs", |_| futures::future::pending::<()>()).role(Advisory));
    check(&world, InstanceCheck::heartbeat(TTL));
    world.discovery.heartbeat(&name("a")).unwrap();
    let degraded = until_status(&world, "a", InstanceStatus::Degraded).await;
    assert_eq!(degraded, "degraded: timed out after 1s (3 in a row)");
    for _ in 0..10 {
        world.discovery.heartbeat(&name("a")).unwrap();
        tokio::time::advance(TTL - Duration::from_secs(1)).await;
        assert_eq!(world.discovery.instance(&name("a")).unwrap().status(), InstanceStatus::Degraded);
    }
}

#[tokio::test]
async fn a_heartbeat_of_no_instance_is_refused() {
    let world = world().await;
    let error = world.discovery.heartbeat(&name("a")).unwrap_err().to_string();
    assert!(error.starts_with("there is no instance orders.a in namespace "), "{error}");
    assert!(world.discovery.instances(&all()).is_err());
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_older_than_its_check_has_a_whole_time_to_live_for_its_first_heartbeat() {
    let world = world().await;
    world.spawn("a").await;
    world.discovery.heartbeat(&name("a")).unwrap();
    tokio::time::advance(Duration::from_secs(3_600)).await;
    let declared = tokio::time::Instant::now();
    check(&world, InstanceCheck::heartbeat(TTL));
    until_status(&world, "a", InstanceStatus::Unhealthy).await;
    assert!(declared.elapsed() > TTL, "{:?}", declared.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_handle_gives_heartbeats_until_the_incarnation_is_gone() {
    let world = world().await;
    let actor = world.spawn("a").await;
    let heartbeat = world.discovery.heartbeat_of(&name("a")).unwrap();
    check(&world, InstanceCheck::heartbeat(TTL));
    heartbeat.beat().unwrap();
    until_status(&world, "a", InstanceStatus::Healthy).await;
    let mut watch = world.discovery.watch(all());
    watch.next().await;
    for _ in 0..20 {
        heartbeat.beat().unwrap();
        // It sleeps, so that the check looks meanwhile.
        tokio::time::timeout(TTL / 2, watch.next()).await.unwrap_err();
    }
    let last = tokio::time::Instant::now();
    heartbeat.beat().unwrap();
    until_status(&world, "a", InstanceStatus::Unhealthy).await;
    assert!(last.elapsed() >= TTL && last.elapsed() < TTL * 4 / 3 + Duration::from_secs(1), "{:?}", last.elapsed());
    heartbeat.beat().unwrap();
    until_status(&world, "a", InstanceStatus::Healthy).await;
    actor.stop_and_wait(None, None).await.unwrap();
    assert!(world.discovery.instance(&name("a")).is_none());
    assert_eq!(heartbeat.beat().unwrap_err().name, name("a"));
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_is_made_while_a_check_waits_is_late_by_a_third_at_most() {
    let world = world().await;
    world.spawn("a").await;
    check(&world, InstanceCheck::heartbeat(TTL));
    world.discovery.heartbeat(&name("a")).unwrap();
    until_status(&world, "a", InstanceStatus::Healthy).await;
    let heartbeat = world.discovery.heartbeat_of(&name("a")).unwrap();
    heartbeat.beat().unwrap();
    let beaten = tokio::time::Instant::now();
    until_status(&world, "a", InstanceStatus::Unhealthy).await;
    assert!(beaten.elapsed() <= TTL * 4 / 3 + Duration::from_millis(10), "{:?}", beaten.elapsed());
}
