//! Watches of instances.

use std::time::Duration;

use foundation::ractor::Actor;
use foundation::supervision::Health;
use foundation_discovery::health::CheckRules;
use foundation_discovery::{Criteria, InstanceWatch, InstanceWatched};
use foundation_testkit::{Command, Probe, soon};

use crate::setup::{all, ids, name, orders, world};

/// The next item, as a text.
async fn next(watch: &mut InstanceWatch) -> String {
    match soon("the next item", watch.next()).await {
        Some(InstanceWatched::Snapshot(records)) => format!("snapshot of {:?}", ids(&records)),
        Some(InstanceWatched::Change(change)) => change.to_string(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_watch_shows_what_there_is_and_then_each_change_with_its_cause() {
    let world = world().await;
    let first = world.spawn("a").await;
    let mut watch = world.discovery.watch(all());
    assert_eq!(next(&mut watch).await, r#"snapshot of ["a"]"#);
    let second = world.spawn("b").await;
    assert_eq!(next(&mut watch).await, "orders.b added, unknown");
    world.discovery.update(&name("b"), &second, |it| it.weight(5)).unwrap();
    assert_eq!(next(&mut watch).await, "orders.b updated, unknown");
    let rules = CheckRules::new().fall(1);
    world.discovery.record_check(&name("b"), "disk", &rules, Health::Failed("no disk".to_owned())).unwrap();
    assert_eq!(next(&mut watch).await, "orders.b was unknown and is unhealthy: failed: no disk");
    first.cast(Command::Fail("it breaks")).unwrap();
    assert_eq!(next(&mut watch).await, "orders.a removed: its actor ended: failed: it breaks");
    world.discovery.unregister(&name("b"));
    assert_eq!(next(&mut watch).await, "orders.b removed: its name was taken from its actor");
}

#[tokio::test]
async fn a_watch_of_some_instances_shows_when_one_begins_to_fit_and_when_it_no_longer_does() {
    let world = world().await;
    let owner = world.spawn("a").await;
    world.spawn_as(orders("b").capability("refund")).await;
    let mut watch = world.discovery.watch(all().capability("refund").unwrap().healthy_only());
    assert_eq!(next(&mut watch).await, "snapshot of []");
    let rules = CheckRules::new().fall(1);
    world.discovery.record_check(&name("b"), "disk", &rules, Health::Healthy).unwrap();
    assert_eq!(next(&mut watch).await, "orders.b added, healthy");
    world.discovery.record_check(&name("a"), "disk", &rules, Health::Healthy).unwrap();
    world.discovery.update(&name("a"), &owner, |it| it.capability("refund")).unwrap();
    assert_eq!(next(&mut watch).await, "orders.a added, healthy");
    world.discovery.record_check(&name("b"), "disk", &rules, Health::Failed("no".to_owned())).unwrap();
    assert_eq!(next(&mut watch).await, "orders.b removed: it does not meet the criteria any more");
}

#[tokio::test(start_paused = true)]
async fn a_watch_shows_a_result_that_becomes_too_old_without_another_reader() {
    let world = world().await;
    world.spawn("a").await;
    let rules = CheckRules::new().expires_after(Duration::from_secs(6));
    world.discovery.record_check(&name("a"), "heartbeat", &rules, Health::Healthy).unwrap();
    let mut watch = world.discovery.watch(all());
    assert_eq!(next(&mut watch).await, r#"snapshot of ["a"]"#);
    let began = tokio::time::Instant::now();
    assert_eq!(next(&mut watch).await, "orders.a was healthy and is unhealthy: no result for 6.001s");
    assert!(began.elapsed() < Duration::from_millis(6_100));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_waits_already_shows_a_first_result_that_becomes_too_old() {
    let world = world().await;
    world.spawn("a").await;
    let mut watch = world.discovery.watch(all());
    assert_eq!(next(&mut watch).await, r#"snapshot of ["a"]"#);
    let mut change = std::pin::pin!(next(&mut watch));
    assert!(futures::poll!(&mut change).is_pending());
    // One failure of three: the status stays unknown.
    let rules = CheckRules::new().expires_after(Duration::from_secs(6));
    world.discovery.record_check(&name("a"), "disk", &rules, Health::Failed("no".to_owned())).unwrap();
    assert_eq!(change.await, "orders.a was unknown and is unhealthy: no result for 6.001s");
}

#[tokio::test]
async fn an_instance_that_was_checked_before_the_watch_saw_it_has_its_health() {
    let world = world().await;
    let mut watch = world.discovery.watch(Criteria::any());
    assert_eq!(next(&mut watch).await, "snapshot of []");
    world.spawn("a").await;
    world.discovery.record_check(&name("a"), "disk", &CheckRules::new(), Health::Healthy).unwrap();
    assert_eq!(next(&mut watch).await, "orders.a added, unknown");
    assert_eq!(next(&mut watch).await, "orders.a was unknown and is healthy");
}

#[tokio::test]
async fn a_reader_that_is_too_slow_gets_all_instances_again_and_the_number_of_changes_it_missed() {
    let world = world().await;
    world.spawn("a").await;
    let mut watch = world.discovery.watch(all());
    assert_eq!(next(&mut watch).await, r#"snapshot of ["a"]"#);
    let owner = world.spawn("b").await;
    for weight in 1..=600_u16 {
        world.discovery.update(&name("b"), &owner, |it| it.weight(weight)).unwrap();
        world.discovery.update(&name("b"), &owner, |it| it.weight(weight + 1)).unwrap();
    }
    world.discovery.unregister(&name("a"));
    match soon("all instances", watch.next()).await {
        Some(InstanceWatched::Lagged { missed, snapshot }) => {
            assert_eq!(ids(&snapshot), ["b"]);
            assert_eq!(snapshot[0].instance.weight(), 601);
            assert!(missed > 0);
        }
        other => panic!("{other:?}"),
    }
    world.discovery.unregister(&name("b"));
    assert_eq!(next(&mut watch).await, "orders.b removed: its name was taken from its actor", "the changes go on");
}

#[tokio::test]
async fn a_watch_ends_with_its_namespace() {
    let world = world().await;
    world.spawn("a").await;
    let mut watch = world.discovery.watch(all());
    assert_eq!(next(&mut watch).await, r#"snapshot of ["a"]"#);
    world.names.cleanup().await.unwrap();
    soon("its end", async { while watch.next().await.is_some() {} }).await;
}

#[tokio::test]
async fn a_status_is_shown_before_all_of_many_unread_changes_of_names() {
    let world = world().await;
    world.spawn("a").await;
    let mut watch = world.discovery.watch(all());
    assert_eq!(next(&mut watch).await, r#"snapshot of ["a"]"#);
    let (actor, _) = Actor::spawn(None, Probe::default(), ()).await.unwrap();
    for _ in 0..200 {
        world.discovery.register(&orders("b").build().unwrap(), &actor).await.unwrap();
        assert!(world.discovery.unregister(&name("b")));
    }
    let rules = CheckRules::new().fall(1);
    world.discovery.record_check(&name("a"), "disk", &rules, Health::Failed("no disk".to_owned())).unwrap();
    let mut before = 0;
    while !next(&mut watch).await.starts_with("orders.a was unknown") {
        before += 1;
    }
    assert!(before < 200, "{before} of 400 changes of names came first");
}

#[tokio::test]
async fn each_of_many_watches_shows_each_status_of_many_instances() {
    let world = world().await;
    let ids: Vec<_> = (0..50).map(|at| format!("i{at:02}")).collect();
    for id in &ids {
        world.spawn(id).await;
    }
    let mut watches: Vec<_> = (0..10).map(|_| world.discovery.watch(all())).collect();
    for watch in &mut watches {
        assert!(next(watch).await.starts_with("snapshot"));
    }
    let rules = CheckRules::new().fall(1);
    for round in 0..2 {
        let result = if round % 2 == 0 { Health::Healthy } else { Health::Failed("no disk".to_owned()) };
        for id in &ids {
            world.discovery.record_check(&name(id), "disk", &rules, result.clone()).unwrap();
        }
        for watch in &mut watches {
            let mut shown = Vec::new();
            for _ in &ids {
                shown.push(next(watch).await.split(' ').next().unwrap_or_default().to_owned());
            }
            shown.sort();
            assert_eq!(shown, ids.iter().map(|id| format!("orders.{id}")).collect::<Vec<_>>());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_registered_again_is_found_although_the_reason_of_the_former_end_is_still_to_come() {
    let world = world().await;
    // It is read before, so that each end has a reason to come.
    assert!(world.ids().is_empty());
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (discovery, instance) = (world.discovery.clone(), orders(&format!("i{task}")).build().unwrap());
            tokio::spawn(async move {
                for round in 0..100 {
                    let actor = discovery.spawn(&instance, Probe::default(), ()).await.unwrap();
                    let found = discovery.instance(instance.name()).map(|it| it.actor);
                    assert_eq!(found, Some(actor.get_id()), "round {round}");
                    actor.kill_and_wait(None).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
