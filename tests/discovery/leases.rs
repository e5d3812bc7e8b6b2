//! Leases of instances outside of this process, in paused time.

use std::time::Duration;

use foundation_discovery::lease::{LeaseTerms, PreservationRules};
use foundation_discovery::{
    DiscoveryError, DiscoveryOptions, InstanceChange, InstanceLease, InstanceWatched, RemovalCause,
};
use foundation_testkit::soon;
use tokio::time::Instant;

use crate::setup::{World, all, name, orders, world, world_with};

const TTL: Duration = Duration::from_secs(10);

const SECOND: Duration = Duration::from_secs(1);

async fn announce(world: &World, id: &str, port: u16) -> InstanceLease {
    announce_with(world, id, port, TTL.into()).await
}

async fn announce_with(world: &World, id: &str, port: u16, terms: LeaseTerms) -> InstanceLease {
    let instance = orders(id).endpoint(format!("http://10.0.0.7:{port}")).build().unwrap();
    world.discovery.announce(&instance, terms).await.unwrap()
}

async fn announce_many(world: &World, leases: u16) -> Vec<InstanceLease> {
    let mut held = Vec::new();
    for number in 0..leases {
        held.push(announce(world, &format!("i{number:02}"), number + 1).await);
    }
    held
}

/// The next instance that is removed, and why.
async fn removed(watch: &mut foundation_discovery::InstanceWatch) -> RemovalCause {
    loop {
        match tokio::time::timeout(TTL * 100, watch.next()).await.expect("a removal") {
            Some(InstanceWatched::Change(InstanceChange::Removed { cause, .. })) => return cause,
            Some(_) => {}
            None => panic!("the namespace has ended"),
        }
    }
}

fn status(world: &World, id: &str) -> String {
    world.discovery.instance(&name(id)).unwrap().health.to_string()
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
    let RemovalCause::Expired { silent_for } = removed(&mut watch).await else { panic!("it has not expired") };
    assert!(silent_for >= TTL && silent_for < TTL + Duration::from_millis(10), "{silent_for:?}");
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
    let given_back = "removed: it was withdrawn: its lease was given back";
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
    let again = orders("a").endpoint("http://10.0.0.7:81").build().unwrap();
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

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_renewed_in_time_is_suspect_until_it_is() {
    let world = world().await;
    let lease = announce(&world, "a", 80).await;
    let mut watch = world.discovery.watch(all());
    watch.next().await;
    let began = Instant::now();
    let change = next(&mut watch).await;
    assert!(change.starts_with("orders.a was unknown and is degraded: its lease was not renewed for 6.6"), "{change}");
    assert!(began.elapsed() < TTL * 2 / 3 + Duration::from_millis(10));
    lease.renew().unwrap();
    assert_eq!(next(&mut watch).await, "orders.a was degraded and is unknown");
    assert!(began.elapsed() < TTL * 2 / 3 + Duration::from_millis(10), "its keeper is woken by the renewal");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_outlives_its_holder_runs_out_by_itself() {
    let world = world().await;
    let lease = announce_with(&world, "a", 80, LeaseTerms::new(TTL).outlives_holder(true)).await;
    let mut watch = world.discovery.watch(all());
    watch.next().await;
    let dropped = Instant::now();
    drop(lease);
    let RemovalCause::Expired { silent_for } = removed(&mut watch).await else { panic!("it has not expired") };
    assert!(silent_for >= TTL && dropped.elapsed() >= TTL && dropped.elapsed() < TTL + SECOND);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_renew_a_lease_until_they_are_dropped() {
    let world = world().await;
    let heartbeats = announce(&world, "a", 80).await.heartbeats();
    let withdrawn = announce(&world, "b", 81).await.heartbeats();
    let mut watch = world.discovery.watch(all());
    watch.next().await;
    tokio::time::timeout(TTL * 10, watch.next()).await.unwrap_err();
    assert_eq!(status(&world, "a"), "unknown");
    assert_eq!(heartbeats.lease().unwrap().name(), &name("a"));
    drop(heartbeats);
    assert_eq!(removed(&mut watch).await, RemovalCause::Withdrawn);
    withdrawn.withdraw().await;
    assert_eq!(removed(&mut watch).await, RemovalCause::Withdrawn);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_say_that_their_lease_is_lost() {
    let world = world().await;
    let taken = announce(&world, "a", 80).await.heartbeats();
    let ended = announce(&world, "b", 81).await.heartbeats();
    world.discovery.unregister(&name("a"));
    assert_eq!(soon("the loss", taken.lost()).await.name, name("a"));
    world.names.cleanup().await.unwrap();
    assert_eq!(soon("the loss", ended.lost()).await.name, name("b"));
}

#[tokio::test(start_paused = true)]
async fn if_many_leases_run_out_together_they_are_kept_and_come_back() {
    let world = world().await;
    let leases = announce_many(&world, 10).await;
    let heartbeats: Vec<_> = leases.iter().take(4).collect();
    let mut watch = world.discovery.watch(all());
    // Six of ten are silent for longer than their time to live.
    for _ in 0..12 {
        tokio::time::advance(TTL / 3).await;
        heartbeats.iter().for_each(|lease| lease.renew().unwrap());
        tokio::task::yield_now().await;
    }
    assert_eq!(world.ids().len(), 10);
    assert_eq!(status(&world, "i00"), "unknown");
    let kept = status(&world, "i09");
    assert!(kept.starts_with("unhealthy: its lease has run out, not renewed for 1"), "the status is true: {kept}");
    leases.iter().for_each(|lease| lease.renew().unwrap());
    while status(&world, "i09") != "unknown" {
        soon("the next status", watch.next()).await.unwrap();
    }
    // All are there, so what runs out expires again.
    tokio::time::advance(TTL / 2).await;
    leases.iter().skip(1).for_each(|lease| lease.renew().unwrap());
    assert!(matches!(removed(&mut watch).await, RemovalCause::Expired { .. }));
    assert_eq!(world.ids().len(), 9);
}

#[tokio::test(start_paused = true)]
async fn leases_that_are_kept_expire_in_the_end_a_few_at_a_time() {
    let world = world().await;
    let mut leases = announce_many(&world, 10).await;
    let silent = leases.split_off(5);
    let _heartbeats: Vec<_> = leases.into_iter().map(InstanceLease::heartbeats).collect();
    let mut watch = world.discovery.watch(all());
    watch.next().await;
    let (began, mut after) = (Instant::now(), Vec::new());
    for _ in 0..5 {
        assert!(matches!(removed(&mut watch).await, RemovalCause::Expired { .. }));
        after.push(began.elapsed().as_secs());
    }
    assert_eq!(after, [190, 190, 250, 250, 310], "steady for three windows, and then two of ten in each");
    assert!(silent.iter().all(|lease| lease.renew().is_err()));
    assert_eq!(world.ids().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn without_preservation_all_leases_expire_at_once() {
    let rules = PreservationRules::new().min_leases(usize::MAX);
    let world = world_with(DiscoveryOptions::new().preservation(rules)).await;
    let _silent = announce_many(&world, 10).await;
    let mut watch = world.discovery.watch(all());
    watch.next().await;
    let began = Instant::now();
    for _ in 0..10 {
        assert!(matches!(removed(&mut watch).await, RemovalCause::Expired { .. }));
    }
    assert!(began.elapsed() < TTL + SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_orderly_departure_of_all_but_one_does_not_keep_the_last_when_it_runs_out() {
    let world = world().await;
    let mut leases = announce_many(&world, 50).await;
    let _last = leases.split_off(49);
    let mut watch = world.discovery.watch(all());
    watch.next().await;
    for lease in leases {
        lease.withdraw().await;
    }
    for _ in 0..49 {
        assert_eq!(removed(&mut watch).await, RemovalCause::Withdrawn);
    }
    assert!(matches!(removed(&mut watch).await, RemovalCause::Expired { .. }));
}

#[tokio::test(start_paused = true)]
async fn one_crash_among_holders_that_renew_late_begins_no_preservation() {
    let world = world().await;
    let leases = announce_many(&world, 12).await;
    let mut watch = world.discovery.watch(all());
    watch.next().await;
    // Each is renewed after nine tenths of its time to live, at another time; the last one crashes.
    let mut crashed = None;
    for step in 0..48 {
        tokio::time::advance(TTL * 3 / 40).await;
        leases[step % 12].renew().unwrap();
        if step == 47 {
            crashed = Some(Instant::now());
        }
    }
    let crashed = crashed.unwrap();
    for step in 48..64 {
        if step % 12 != 11 {
            leases[step % 12].renew().unwrap();
        }
        let removed = tokio::time::timeout(TTL * 3 / 40, removed(&mut watch)).await;
        if let Ok(cause) = removed {
            assert!(matches!(cause, RemovalCause::Expired { .. }));
            assert!(crashed.elapsed() < TTL + SECOND, "{:?}", crashed.elapsed());
            return;
        }
    }
    panic!("it is kept");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_by_heartbeats_without_a_time() {
    let world = world().await;
    let lease = announce(&world, "a", 80).await;
    let heartbeat = lease.heartbeat();
    let mut watch = world.discovery.watch(all());
    watch.next().await;
    for _ in 0..30 {
        heartbeat.beat().unwrap();
        // It sleeps, so that the keeper looks meanwhile.
        tokio::time::timeout(TTL / 2, watch.next()).await.unwrap_err();
    }
    let last = Instant::now();
    heartbeat.beat().unwrap();
    assert!(matches!(removed(&mut watch).await, RemovalCause::Expired { .. }));
    assert!(last.elapsed() >= TTL && last.elapsed() <= TTL * 4 / 3 + SECOND, "{:?}", last.elapsed());
    let late = heartbeat.beat().unwrap_err().to_string();
    assert_eq!(late, "a heartbeat of orders.a comes too late: its incarnation is gone, or its lease is lost");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_wakes_the_keeper_of_a_lease_that_is_suspect() {
    let world = world().await;
    let lease = announce(&world, "a", 80).await;
    let mut watch = world.discovery.watch(all());
    watch.next().await;
    let change = next(&mut watch).await;
    assert!(change.starts_with("orders.a was unknown and is degraded"), "{change}");
    let began = Instant::now();
    lease.heartbeat().beat().unwrap();
    assert_eq!(next(&mut watch).await, "orders.a was degraded and is unknown");
    assert!(began.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_suspect_before_its_instance_is_known_is_shown_afterwards() {
    let world = world().await;
    let terms = LeaseTerms::new(TTL).suspect_after(Duration::ZERO);
    let _lease = announce_with(&world, "a", 80, terms).await;
    let mut watch = world.discovery.watch(all());
    let began = Instant::now();
    while status(&world, "a") == "unknown" {
        soon("the next status", watch.next()).await.unwrap();
    }
    assert!(status(&world, "a").starts_with("degraded: its lease was not renewed"), "{}", status(&world, "a"));
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lease_updates_its_instance_and_watches_see_it() {
    let world = world().await;
    let lease = announce(&world, "a", 80).await;
    let mut watch = world.discovery.watch(all());
    watch.next().await;
    let updated = lease.update(|it| it.weight(5).version("1.2.3").label("rack", "7").capability("refund")).unwrap();
    assert_eq!((updated.weight(), updated.label("rack")), (5, Some("7")));
    assert_eq!(next(&mut watch).await, "orders.a updated, unknown");
    assert_eq!(*world.discovery.instance(&name("a")).unwrap().instance, updated);
    let invalid = lease.update(|it| it.weight(0)).unwrap_err();
    assert!(matches!(invalid, DiscoveryError::Field(_)), "{invalid}");
    assert_eq!(world.discovery.instance(&name("a")).unwrap().instance.weight(), 5);
    world.discovery.unregister(&name("a"));
    let lost = lease.update(|it| it.weight(6)).unwrap_err();
    assert!(matches!(lost, DiscoveryError::LeaseLost(_)), "{lost}");
}
