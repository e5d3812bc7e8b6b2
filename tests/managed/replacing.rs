//! A running service gets another configuration.

use foundation_managed::{Managed, ManagedError, ServiceStatus};

use crate::setup::{ClerkMsg, Clerks, DESK, broken, desk, world};

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
