//! Health: results of checks, and what follows from them.

use std::time::Duration;

use foundation::supervision::Health;
use foundation_discovery::choice::{Choice, Policy};
use foundation_discovery::health::{CheckRules, InstanceStatus, ServiceCondition};
use foundation_discovery::limits::MAX_CHECKS;
use foundation_discovery::{Discovery, DiscoveryOptions, InstanceChange, InstanceCheck, InstanceWatched};
use foundation_testkit::{Command, Probe, eventually, soon};

use crate::setup::{ORDERS, World, all, name, orders, world, world_with};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn failed() -> Health {
    Health::Failed("no disk".to_owned())
}

fn status(world: &World, id: &str) -> InstanceStatus {
    world.discovery.instance(&name(id)).unwrap().status()
}

#[tokio::test]
async fn an_instance_is_as_healthy_as_the_results_of_its_checks() {
    let world = world().await;
    world.spawn("a").await;
    assert_eq!(status(&world, "a"), InstanceStatus::Unknown);
    let record = |result| world.discovery.record_check(&name("a"), "disk", &CheckRules::new(), result).unwrap();
    assert_eq!(record(Health::Healthy).status, InstanceStatus::Healthy);
    assert_eq!(record(failed()).status, InstanceStatus::Healthy);
    assert_eq!(record(failed()).status, InstanceStatus::Healthy);
    assert_eq!(record(failed()).to_string(), "unhealthy: failed: no disk (3 in a row)");
    assert_eq!(status(&world, "a"), InstanceStatus::Unhealthy);
    assert!(world.discovery.end_check(&name("a"), "disk") && !world.discovery.end_check(&name("a"), "disk"));
    assert_eq!(status(&world, "a"), InstanceStatus::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_stops_makes_its_instance_unhealthy() {
    let world = world().await;
    world.spawn("a").await;
    let rules = CheckRules::new().expires_after(Duration::from_secs(6));
    for _ in 0..10 {
        world.discovery.record_check(&name("a"), "heartbeat", &rules, Health::Healthy).unwrap();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(status(&world, "a"), InstanceStatus::Healthy);
    }
    tokio::time::advance(Duration::from_millis(1_001)).await;
    let record = world.discovery.instance(&name("a")).unwrap();
    assert_eq!(record.health.to_string(), "unhealthy: no result for 6.001s");
    world.discovery.record_check(&name("a"), "heartbeat", &rules, Health::Healthy).unwrap();
    assert_eq!(status(&world, "a"), InstanceStatus::Healthy);
}

#[tokio::test]
async fn the_next_incarnation_begins_without_a_check() {
    let world = world().await;
    let actor = world.spawn("a").await;
    world.discovery.record_check(&name("a"), "disk", &CheckRules::new().fall(1), failed()).unwrap();
    assert_eq!(status(&world, "a"), InstanceStatus::Unhealthy);
    soon("its stop", actor.stop_and_wait(None, None)).await.unwrap();
    world.spawn("a").await;
    assert_eq!(status(&world, "a"), InstanceStatus::Unknown);
}

#[tokio::test]
async fn an_instance_that_drains_is_draining_whatever_its_checks_say() {
    let world = world().await;
    let owner = world.spawn("a").await;
    world.discovery.record_check(&name("a"), "disk", &CheckRules::new(), Health::Healthy).unwrap();
    world.discovery.update(&name("a"), &owner, |it| it.draining(true)).unwrap();
    assert_eq!(status(&world, "a"), InstanceStatus::Draining);
    world.discovery.record_check(&name("a"), "disk", &CheckRules::new(), Health::Healthy).unwrap();
    assert_eq!(status(&world, "a"), InstanceStatus::Draining);
    world.discovery.update(&name("a"), &owner, |it| it.draining(false)).unwrap();
    assert_eq!(status(&world, "a"), InstanceStatus::Healthy);
}

#[tokio::test]
async fn a_service_is_as_healthy_as_its_instances_and_says_why() {
    let world = world().await;
    assert_eq!(world.discovery.service_health(&ORDERS).condition, ServiceCondition::Down);
    world.spawn("a").await;
    world.spawn_as(orders("b")).await;
    assert_eq!(world.discovery.service_health(&ORDERS).to_health(), Health::Healthy);
    world.discovery.record_check(&name("b"), "disk", &CheckRules::new().fall(1), failed()).unwrap();
    let text = "orders is degraded: 1 unknown, 1 unhealthy; b is unhealthy: failed: no disk";
    assert_eq!(world.discovery.service_health(&ORDERS).to_health(), Health::Degraded(text.to_owned()));
    let healthy = world.discovery.instances(&all().healthy_only()).unwrap_err().to_string();
    assert!(healthy.starts_with("none of 2 instances of orders fits: unhealthy (1), unknown (1)"), "{healthy}");
}

#[tokio::test]
async fn a_check_of_no_instance_is_refused_with_those_that_there_are() {
    let world = world().await;
    let record = |id| world.discovery.record_check(&name(id), "disk", &CheckRules::new(), failed()).unwrap_err();
    let namespace = world.names.namespace();
    let none = format!("there is no instance orders.c in namespace {namespace}; orders has no instance");
    assert_eq!(record("c").to_string(), none);
    world.spawn("a").await;
    world.spawn("b").await;
    assert_eq!(
        record("c").to_string(),
        format!("there is no instance orders.c in namespace {namespace}; orders has a, b")
    );
}

#[tokio::test]
async fn an_instance_has_a_limited_number_of_checks() {
    let world = world().await;
    world.spawn("a").await;
    let record = |check: usize| {
        world.discovery.record_check(&name("a"), &check.to_string(), &CheckRules::new(), Health::Healthy)
    };
    (0..MAX_CHECKS).for_each(|check| drop(record(check).unwrap()));
    let refused = record(MAX_CHECKS).unwrap_err();
    assert_eq!(
        refused.to_string(),
        r#"instance orders.a has 16 checks, as many as it may have; "16" is not one of them"#
    );
}

#[tokio::test(start_paused = true)]
async fn an_operator_takes_an_instance_out_for_a_time_or_until_it_is_put_back() {
    let world = world().await;
    world.spawn("a").await;
    world.discovery.record_check(&name("a"), "disk", &CheckRules::new().expires_after(DAY), Health::Healthy).unwrap();
    let set = |ttl| world.discovery.set_status(&name("a"), InstanceStatus::Unhealthy, "a new disk", ttl).unwrap();
    set(None);
    let health = || world.discovery.instance(&name("a")).unwrap().health.to_string();
    assert_eq!(health(), "unhealthy: set by an operator: a new disk");
    tokio::time::advance(DAY / 2).await;
    assert_eq!(health(), "unhealthy: set by an operator: a new disk");
    assert!(world.discovery.clear_status(&name("a")) && !world.discovery.clear_status(&name("a")));
    assert_eq!(health(), "healthy");
    set(Some(Duration::from_secs(30)));
    let mut watch = world.discovery.watch(all());
    soon("the snapshot", watch.next()).await;
    let item = soon("the end of its time", watch.next()).await.unwrap();
    assert!(matches!(item, InstanceWatched::Change(InstanceChange::StatusChanged { .. })), "{item:?}");
    assert_eq!(health(), "healthy", "its time is over");
}

#[tokio::test]
async fn what_an_operator_has_set_goes_with_the_incarnation() {
    let world = world().await;
    let actor = world.spawn("a").await;
    world.discovery.set_status(&name("a"), InstanceStatus::Degraded, "", None).unwrap();
    assert_eq!(status(&world, "a"), InstanceStatus::Degraded);
    actor.cast(Command::Stop(None)).unwrap();
    eventually("its end", async || world.ids().is_empty().then_some(())).await;
    let error = world.discovery.set_status(&name("a"), InstanceStatus::Healthy, "", None).unwrap_err();
    assert!(error.to_string().starts_with("there is no instance orders.a"), "{error}");
    world.spawn("a").await;
    assert_eq!(status(&world, "a"), InstanceStatus::Unknown);
}

#[tokio::test]
async fn a_service_that_should_have_instances_is_down_without_one_and_part_of_the_health() {
    let world = world_with(DiscoveryOptions::new().expects(&ORDERS, 2)).await;
    let health = || world.discovery.health().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(health(), ["orders is down: none, 2 expected"]);
    let actor = world.spawn("a").await;
    assert_eq!(health(), ["orders is degraded: 1 unknown, 2 expected"]);
    world.spawn("b").await;
    assert_eq!(health(), ["orders is healthy: 2 unknown"]);
    actor.kill_and_wait(None).await.unwrap();
    world.discovery.unregister(&name("b"));
    world.names.wait_until_free(&Discovery::key::<Command>(&name("a")), DAY).await.unwrap();
    soon("the end of a", async {
        let mut watch = world.discovery.watch(all());
        while world.discovery.instance(&name("a")).is_some() {
            watch.next().await;
        }
    })
    .await;
    assert_eq!(health(), ["orders is down: none, 2 expected"]);
}

#[tokio::test]
async fn a_service_that_has_lost_its_last_child_is_down_until_the_child_is_given_up() {
    let world = world().await;
    let spec = world.discovery.child_spec(&orders("a").build().unwrap(), || (Probe::default(), ())).unwrap();
    let health = || world.discovery.health().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(health(), ["orders is down: none"]);
    drop(spec);
    assert!(health().is_empty());
    let handle = world.discovery.check(all(), InstanceCheck::tcp()).unwrap();
    assert_eq!(health(), ["orders is down: none"]);
    handle.end();
    assert!(health().is_empty());
}

#[tokio::test]
async fn a_service_is_degraded_while_an_instance_of_it_is_ejected() {
    let world = world().await;
    for id in ["a", "b", "c"] {
        world.spawn(id).await;
    }
    let mut selector = world.discovery.selector::<Command>(all()).choice(Choice::new().policy(Policy::RoundRobin));
    for _ in 0..30 {
        let picked = selector.pick().unwrap();
        if picked.record().name() == &name("a") { picked.failed() } else { picked.succeeded() }
    }
    assert_eq!(world.discovery.service_health(&ORDERS).to_string(), "orders is degraded: 3 unknown, 1 ejected");
    assert_eq!(world.discovery.health()[0].ejected, 1);
}

#[tokio::test]
async fn the_options_of_the_first_handle_are_in_force() {
    let world = world_with(DiscoveryOptions::new().max_instances(1)).await;
    let other = Discovery::with_options(&world.names, DiscoveryOptions::new().max_instances(2));
    assert_eq!(other.options(), world.discovery.options());
    assert_ne!(*other.options(), DiscoveryOptions::new().max_instances(2));
}

#[tokio::test]
async fn a_service_whose_first_instance_is_being_registered_is_not_down() {
    let world = world().await;
    let described = world.discovery.describe(&orders("a").build().unwrap()).unwrap();
    assert!(world.discovery.health().is_empty());
    described.spawn(foundation_testkit::Probe::default(), ()).await.unwrap();
    let health: Vec<_> = world.discovery.health().iter().map(ToString::to_string).collect();
    assert_eq!(health, ["orders is healthy: 1 unknown"]);
}
