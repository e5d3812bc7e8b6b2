//! Leases of instances outside of this process, in paused time.

use std::time::Duration;

use foundation_discovery::{DiscoveryError, InstanceLease, InstanceWatched};
use foundation_testkit::soon;
use tokio::time::Instant;

use crate::setup::{World, all, name, orders, world};

const TTL: Duration = Duration::from_secs(10);

async fn announce(world: &World, id: &str, port: u16) -> InstanceLease {
    let instance = orders(id).endpoint(format!("http://10.0.0.7:{port}")).build().unwrap();
    world.discovery.announce(&instance, TTL).await.unwrap()
}

/// The next change, as a text.
async fn next(watch: &mut foundation_discovery::InstanceWatch) -> String {
    match soon("the next change", watch.next()).await {
        Some(InstanceWatched::Change(change)) => change.to_string(),
        other => format!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_announced_instance_is_there_as_long_as_its_lease_is_renewed() {
    let world = world().await;
    let lease = announce(&world, "a", 80).await;
    let mut watch = world.discovery.watch(all());
    watch.next().await;
    for _ in 0..10 {
        tokio::time::advance(TTL - Duration::from_secs(1)).await;
        lease.renew().unwrap();
        assert_eq!(world.ids(), ["a"]);
    }
    let renewed = Instant::now();
    assert_eq!(
        next(&mut watch).await,
        "orders.a removed: its actor ended: shutdown: its lease ran out, which was not renewed for 10s"
    );
    assert!(renewed.elapsed() >= TTL && renewed.elapsed() < TTL + Duration::from_millis(10), "{:?}", renewed.elapsed());
    let lost = lease.renew().unwrap_err().to_string();
    assert_eq!(
        lost,
        "the lease of orders.a is lost: its keeper has ended or lost the name; announce the instance again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_dropped_or_withdrawn_takes_its_instance_along() {
    let world = world().await;
    let (dropped, withdrawn) = (announce(&world, "a", 80).await, announce(&world, "b", 81).await);
    let mut watch = world.discovery.watch(all());
    watch.next().await;
    drop(dropped);
    let given_back = "removed: its actor ended: shutdown: its lease was given back";
    assert_eq!(next(&mut watch).await, format!("orders.a {given_back}"));
    withdrawn.withdraw().await;
    assert_eq!(next(&mut watch).await, format!("orders.b {given_back}"));
    announce(&world, "b", 82).await.renew().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_holder_of_a_lease_updates_the_instance() {
    let world = world().await;
    let lease = announce(&world, "a", 80).await;
    world.discovery.update(lease.name(), lease.owner(), |it| it.endpoint("http://10.0.0.8:80")).unwrap();
    let record = world.discovery.instance(&name("a")).unwrap();
    assert_eq!(record.instance.endpoint().unwrap().address(), "10.0.0.8:80");
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_announced_once() {
    let world = world().await;
    let _lease = announce(&world, "a", 80).await;
    let again = orders("a").build().unwrap();
    let refused = world.discovery.announce(&again, TTL).await.unwrap_err();
    assert!(matches!(refused, DiscoveryError::Registry(_)), "{refused}");
    assert!(refused.to_string().contains("is already registered by actor"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_picked_for_each_call_and_one_whose_calls_fail_is_left_out() {
    let world = world().await;
    let _leases = [announce(&world, "a", 80).await, announce(&world, "b", 81).await, announce(&world, "c", 82).await];
    world.spawn("actor").await;
    let mut endpoints = world.discovery.endpoints(all());
    let mut ports = Vec::new();
    for _ in 0..200 {
        let picked = endpoints.pick().unwrap();
        let port = picked.record().instance.endpoint().unwrap().port();
        ports.push(port);
        if port == 80 { picked.failed() } else { picked.succeeded() }
    }
    let failed = ports.iter().filter(|port| **port == 80).count();
    assert!(failed > 0 && failed <= 5, "it is ejected after five failures in a row: {failed}");
    assert!(ports.contains(&81) && ports.contains(&82));
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_name_was_taken_away_is_lost_although_its_keeper_lives() {
    let world = world().await;
    let lease = announce(&world, "a", 80).await;
    lease.renew().unwrap();
    assert!(world.discovery.unregister(&name("a")));
    assert_eq!(lease.renew().unwrap_err().name, name("a"));
}
