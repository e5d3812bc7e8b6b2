//! A running service gets another configuration.

use foundation::ractor::ActorCell;
use foundation::supervision::SupervisorKey;
use foundation_discovery::health::InstanceStatus;
use foundation_discovery::{Criteria, Discovery, InstanceRecord};
use foundation_managed::{Batch, Managed, ManagedError, ServiceKind, ServiceStatus};
use foundation_testkit::soon;

use crate::setup::{ClerkMsg, Clerks, DESK, DOOR, SLOW, broken, desk, world};

#[tokio::test(start_paused = true)]
async fn each_strategy_gives_the_running_service_its_configuration() {
    for (strategy, is_same_actor) in [("drain", false), ("blue_green", false), ("reload", true)] {
        let world = world().await;
        world.started(&DESK, desk(1).checked()).await;
        let before = world.managed.status(&DESK).unwrap();
        let after = world.managed.configure::<Clerks>(&DESK, &desk(2).checked().replaced_by(strategy)).await.unwrap();
        assert_eq!((after.actor == before.actor, after.running), (is_same_actor, Some(after.generation)), "{strategy}");
        assert_eq!((world.answer(&DESK).await, world.status(&DESK)), (Ok(2), ServiceStatus::Healthy), "{strategy}");

        // Its next life has the new configuration, too, and the name.
        let clerk = world.names.lookup(&Managed::key::<ClerkMsg>(&DESK).unwrap()).unwrap();
        clerk.cast(ClerkMsg::Fail).unwrap();
        world.becomes(&DESK, ServiceStatus::Initializing).await;
        world.becomes(&DESK, ServiceStatus::Healthy).await;
        assert_eq!(world.answer(&DESK).await, Ok(2), "{strategy}");
        world.registry.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_does_not_matter_waits_for_the_next_start() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let next = desk(2).replaced_by("nothing");
    world.managed.configure::<Clerks>(&DESK, &next).await.unwrap();
    assert_eq!(world.answer(&DESK).await, Ok(1));
    world.managed.restart(&DESK).await.unwrap();
    assert_eq!(world.answer(&DESK).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_does_not_rise_is_stopped_and_nothing_has_changed() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let before = world.managed.status(&DESK).unwrap();
    for fault in ["start", "pen"] {
        let next = broken(fault).checked().replaced_by("blue_green");
        let error = world.managed.configure::<Clerks>(&DESK, &next).await.unwrap_err();
        assert!(matches!(error, ManagedError::Replace { .. }), "{error}");
        assert!(error.to_string().contains(if fault == "start" { "no pen" } else { "within 5s" }), "{error}");
        let after = world.managed.status(&DESK).unwrap();
        assert_eq!(
            (after.actor, &after.config, after.status()),
            (before.actor, &before.config, ServiceStatus::Healthy)
        );
        assert_eq!(world.answer(&DESK).await, Ok(1));
        assert_eq!(world.names.list_services().iter().filter(|name| name.as_str().starts_with("desk")).count(), 1);
    }
    for fault in ["reload", "refused"] {
        let error = world.managed.configure::<Clerks>(&DESK, &broken(fault).replaced_by("reload")).await.unwrap_err();
        assert!(matches!(error, ManagedError::Replace { .. }), "{error}");
    }
    assert_eq!(
        world.managed.configure::<Clerks>(&DESK, &desk(3).replaced_by("blue_green")).await.unwrap().last_error,
        None
    );
    assert_eq!(world.answer(&DESK).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_run_is_configured_for_its_next_start() {
    let world = world().await;
    world.declared(&DESK, desk(1)).await;
    world.managed.configure::<Clerks>(&DESK, &desk(2)).await.unwrap();
    assert_eq!(world.status(&DESK), ServiceStatus::Unknown);
    world.managed.start(&DESK).await.unwrap();
    assert_eq!(world.answer(&DESK).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_predecessor_has_the_time_of_its_strategy_to_finish() {
    for strategy in ["patient_blue_green", "patient_drain"] {
        let world = world().await;
        world.started(&DESK, desk(1)).await;
        let clerk = world.names.lookup(&Managed::key::<ClerkMsg>(&DESK).unwrap()).unwrap();
        let (reply, answer) = tokio::sync::oneshot::channel();
        clerk.cast(ClerkMsg::AskSlowly(reply.into())).unwrap();
        world.managed.configure::<Clerks>(&DESK, &desk(2).replaced_by(strategy)).await.unwrap();
        assert_eq!((soon("the answer", answer).await, world.answer(&DESK).await), (Ok(1), Ok(2)), "{strategy}");
        world.registry.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_does_not_end_fails_and_its_service_can_be_configured_again() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let error = world.managed.configure::<Clerks>(&DESK, &broken("endless").replaced_by("reload")).await.unwrap_err();
    assert!(matches!(error, ManagedError::Replace { .. }), "{error}");
    assert!(error.to_string().contains("its reload has not ended within 30s"), "{error}");
    world.managed.configure::<Clerks>(&DESK, &desk(2).replaced_by("reload")).await.unwrap();
    assert_eq!(world.answer(&DESK).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_reloaded_or_replaced_keeps_its_place_in_the_start_order() {
    let world = world().await;
    world.started(&DOOR, desk(1)).await;
    world.started(&DESK, desk(1)).await;
    let supervisor = world.names.supervisor(&SupervisorKey::new("managed").unwrap());
    let children = async || {
        let children = supervisor.which_children().await.unwrap();
        children.into_iter().map(|child| child.id.to_string()).collect::<Vec<_>>()
    };
    let before = children().await;
    for strategy in ["reload", "blue_green"] {
        world.managed.configure::<Clerks>(&DESK, &desk(2).replaced_by(strategy)).await.unwrap();
        assert_eq!(children().await, before, "{strategy}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_successor_in_a_batch_waits_for_a_start_that_takes_longer_than_its_own_limit() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let next = serde_json::to_value(desk(2).checked().replaced_by("blue_green")).unwrap();
    let slow = serde_json::to_value(broken("slow")).unwrap();
    let batch = Batch::new().configure(&DESK, next).declare(&DOOR, Clerks::NAME, slow).start(&DOOR);
    let done = world.managed.apply(batch).await;
    assert!(done.is_ok(), "{done:?}");
    assert_eq!((world.answer(&DESK).await, world.answer(&DOOR).await), (Ok(2), Ok(9)));
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_ends_before_it_has_the_name_changes_nothing() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let supervisor = world.names.supervisor(&SupervisorKey::new("managed").unwrap());
    let before = world.managed.status(&DESK).unwrap().actor;
    // The successor is at the gate while the other service takes its time to start.
    let next = serde_json::to_value(desk(2).replaced_by("blue_green")).unwrap();
    let slow = serde_json::to_value(broken("slow")).unwrap();
    let batch = Batch::new().configure(&DESK, next).declare(&DOOR, Clerks::NAME, slow).start(&DOOR);
    let ends = async {
        let _ = tokio::time::timeout(SLOW / 2, std::future::pending::<()>()).await;
        let children = supervisor.child("managed.manager").await.unwrap().unwrap();
        let supervisor = children.try_get_supervisor().unwrap();
        let known = [Some(children.get_id()), before];
        supervisor.get_children().iter().filter(|it| !known.contains(&Some(it.get_id()))).for_each(ActorCell::kill);
    };
    let (done, ()) = tokio::join!(world.managed.apply(batch), ends);
    assert!(done.is_err(), "{done:?}");
    assert_eq!((world.answer(&DESK).await, world.managed.status(&DESK).unwrap().actor), (Ok(1), before));
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_the_checks_of_a_service() {
    let world = world().await;
    world.started(&DESK, desk(1).checked().replaced_by("reload")).await;
    let actor = world.managed.status(&DESK).unwrap().actor;
    // Without a check nothing is known of it, and what the former check found is forgotten.
    let discovery = Discovery::of(&world.names);
    let mut watch = discovery.watch(Criteria::service(&DESK));
    world.managed.configure::<Clerks>(&DESK, &desk(2).replaced_by("reload")).await.unwrap();
    let is_unknown = |record: &InstanceRecord| record.status() == InstanceStatus::Unknown;
    let unchecked = async {
        while !discovery.instances(&Criteria::service(&DESK)).unwrap().iter().any(is_unknown) {
            watch.next().await;
        }
    };
    soon("the check ends", unchecked).await;
    assert_eq!((world.answer(&DESK).await, world.status(&DESK)), (Ok(2), ServiceStatus::Healthy));

    // A check that fails makes it unhealthy.
    let (managed, next) = (world.managed.clone(), broken("pen").checked().replaced_by("reload"));
    let configuring = tokio::spawn(async move { managed.configure::<Clerks>(&DESK, &next).await });
    world.becomes(&DESK, ServiceStatus::Unhealthy).await;
    assert!(soon("an answer", configuring).await.unwrap().is_ok(), "it was healthy when it was reloaded");
    assert_eq!((world.answer(&DESK).await, world.managed.status(&DESK).unwrap().actor), (Ok(9), actor));
}
