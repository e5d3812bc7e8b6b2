//! Liveness checks: instances that fail are restarted, as many as the budget allows. In paused time.

use std::sync::Arc;
use std::time::Duration;

use foundation::supervision::Health;
use foundation_discovery::health::{CheckRole, CheckRules, InstanceStatus, RestartBudget};
use foundation_discovery::{DiscoveryOptions, InstanceCheck, InstanceRecord};
use foundation_testkit::{Command, Puppet, soon};
use futures::future::{pending, ready};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout};

use crate::setup::{World, check, name, orders, until_other_than, until_status, world, world_with};

const SECOND: Duration = Duration::from_secs(1);

fn liveness(check: InstanceCheck) -> InstanceCheck {
    check.rules(CheckRules::new().fall(2)).role(CheckRole::Liveness)
}

/// A namespace that says which instances it would restart.
async fn world_that_says(budget: RestartBudget) -> (World, UnboundedReceiver<String>) {
    let (restarted, restarts) = unbounded_channel();
    let restart = move |instance: &InstanceRecord| restarted.send(instance.name().id().to_owned()).unwrap();
    (world_with(DiscoveryOptions::new().restart_budget(budget).restart_by(restart)).await, restarts)
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_hangs_is_killed_and_started_again_by_its_supervisor() {
    let world = world().await;
    let puppet = Puppet::default();
    let made = puppet.clone();
    let spec = world.discovery.child_spec(&orders("a").build().unwrap(), move || (made.actor(), ())).unwrap();
    world.names.supervise(spec).await.unwrap();
    let first = world.discovery.instance(&name("a")).unwrap();
    check(&world, liveness(InstanceCheck::call("answers", |reply| Command::Answer(true, reply))));
    until_status(&world, "a", InstanceStatus::Healthy).await;
    puppet.order(Command::Hang);
    until_other_than(&world, "a", InstanceStatus::Healthy).await;
    puppet.lived(2).await;
    until_status(&world, "a", InstanceStatus::Healthy).await;
    assert_ne!(world.discovery.instance(&name("a")).unwrap().actor, first.actor);
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_a_fifth_is_restarted_within_a_minute_and_the_others_say_why_not() {
    let (world, mut restarts) = world_that_says(RestartBudget::new()).await;
    for id in 0..10 {
        world.spawn(&format!("i{id}")).await;
    }
    check(&world, liveness(InstanceCheck::function("database", |_| ready(false))));
    let began = Instant::now();
    let two = [restarts.recv().await.unwrap(), restarts.recv().await.unwrap()];
    timeout(SECOND * 30, restarts.recv()).await.unwrap_err();
    let records = world.discovery.instances(&crate::setup::all()).unwrap();
    let withheld = records.iter().filter(|it| !two.contains(&it.name().id().to_owned()));
    for record in withheld {
        let health = record.health.to_string();
        assert!(health.ends_with("not restarted: 2 of its service were lately, 2 may be"), "{health}");
    }
    let third = restarts.recv().await.unwrap();
    assert!(!two.contains(&third) && began.elapsed() > SECOND * 60, "once an incarnation, and not within the minute");
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_panics_ends_no_check() {
    let panics = DiscoveryOptions::new().restart_by(|_: &InstanceRecord| panic!("no restart"));
    let world = world_with(panics).await;
    world.spawn("a").await;
    let runs = Arc::new(tokio::sync::Notify::new());
    let ran = Arc::clone(&runs);
    check(
        &world,
        liveness(InstanceCheck::function("fails", move |_| {
            ran.notify_one();
            ready(false)
        })),
    );
    for _ in 0..5 {
        runs.notified().await;
    }
    assert_eq!(world.discovery.instance(&name("a")).unwrap().status(), InstanceStatus::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn readiness_and_advisory_checks_restart_nothing() {
    let (world, mut restarts) = world_that_says(RestartBudget::new()).await;
    world.spawn("a").await;
    check(&world, InstanceCheck::function("ready", |_| ready(false)));
    check(&world, InstanceCheck::function("advice", |_| pending::<()>()).role(CheckRole::Advisory));
    until_status(&world, "a", InstanceStatus::Unhealthy).await;
    timeout(SECOND * 60, restarts.recv()).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_recorded_restarts_as_one_that_was_asked_for() {
    let (world, mut restarts) = world_that_says(RestartBudget::new()).await;
    world.spawn("a").await;
    let rules = CheckRules::new().fall(1).role(CheckRole::Liveness);
    world.discovery.record_check(&name("a"), "own", &rules, Health::Failed("stuck".to_owned())).unwrap();
    assert_eq!(restarts.recv().await.unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_does_not_end_the_incarnation_is_asked_for_again() {
    let (world, mut restarts) = world_that_says(RestartBudget::new().window(SECOND * 10)).await;
    world.spawn("a").await;
    check(&world, liveness(InstanceCheck::function("stuck", |_| ready(false))));
    assert_eq!(restarts.recv().await.unwrap(), "a");
    let (granted, health) = (Instant::now(), world.discovery.instance(&name("a")).unwrap().health.to_string());
    assert!(health.ends_with("its restart has begun"), "{health}");
    assert_eq!(timeout(SECOND * 60, restarts.recv()).await.unwrap().unwrap(), "a");
    assert!(granted.elapsed() >= SECOND * 20, "{:?}", granted.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_announced_instance_that_cannot_be_restarted_costs_no_restart() {
    let world = world_with(DiscoveryOptions::new().restart_budget(RestartBudget::new().share(0.0))).await;
    let remote = orders("remote").endpoint("http://10.0.0.7:80").build().unwrap();
    let _lease = world.discovery.announce(&remote, SECOND * 600).await.unwrap();
    let local = world.spawn("local").await;
    let rules = CheckRules::new().fall(1).role(CheckRole::Liveness);
    let stuck = || Health::Failed("stuck".to_owned());
    let health = world.discovery.record_check(&name("remote"), "own", &rules, stuck()).unwrap();
    assert_eq!(health.to_string(), "unhealthy: failed: stuck");
    world.discovery.record_check(&name("local"), "own", &rules, stuck()).unwrap();
    soon("its end", local.wait(None)).await.unwrap();
    assert!(world.discovery.instance(&name("remote")).is_some());
}
