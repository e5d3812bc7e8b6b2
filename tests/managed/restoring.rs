//! A next process, and a next manager, bring about what is wanted.

use std::time::{Duration, SystemTime};

use foundation_managed::{Managed, ServiceStatus};

use crate::setup::{Clerks, DESK, DOOR, desk, kept, needing, world, world_in};

#[tokio::test]
async fn a_next_process_starts_what_was_wanted_with_its_last_configuration() {
    let storage = kept();
    let first = world_in(storage.clone()).await;
    first.started(&DOOR, desk(1)).await;
    first.started(&DESK, needing(&["door"])).await;
    first.managed.configure::<Clerks>(&DESK, &crate::setup::Desk { answer: 5, ..needing(&["door"]) }).await.unwrap();
    first.declared(&"idle".parse().unwrap(), desk(2)).await;
    first.started(&"stopped".parse().unwrap(), desk(2)).await;
    first.managed.stop(&"stopped".parse().unwrap(), None).await.unwrap();
    first.registry.shutdown().await;

    let second = world_in(storage).await;
    second.becomes(&DESK, ServiceStatus::Healthy).await;
    assert_eq!((second.answer(&DESK).await, second.answer(&DOOR).await), (Ok(5), Ok(1)));
    assert_eq!(second.managed.by_status(ServiceStatus::Healthy).len(), 2);
    assert_eq!(second.managed.by_status(ServiceStatus::Unknown).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_is_started_again_takes_over_what_runs() {
    let world = world().await;
    world.started(&DESK, desk(1).checked()).await;
    let before = world.managed.status(&DESK).unwrap();
    world.manager_restarted().await;
    world.declared(&DOOR, desk(2)).await;
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    assert_eq!(world.managed.status(&DESK).unwrap().actor, before.actor);
    world.managed.stop(&DESK, None).await.unwrap();
    assert!(!world.names.is_registered(&Managed::key::<()>(&DESK).unwrap()));
}

#[tokio::test]
async fn what_is_wanted_outlives_the_events_that_recorded_it() {
    let storage = kept();
    let first = world_in(storage.clone()).await;
    first.started(&DESK, desk(4)).await;
    first.declared(&DOOR, desk(1)).await;
    first.managed.remove(&DOOR).await.unwrap();
    let later = SystemTime::now() + Duration::from_secs(60);
    first.events.prune_before(later).await.unwrap();
    assert_eq!(first.recorded().await, ["roster_checkpoint", "roster_service"]);
    first.managed.configure::<Clerks>(&DESK, &desk(5)).await.unwrap();
    first.registry.shutdown().await;

    let second = world_in(storage.clone()).await;
    second.becomes(&DESK, ServiceStatus::Healthy).await;
    assert_eq!((second.answer(&DESK).await, second.managed.all().len()), (Ok(5), 1));
    // Without a service nothing is held.
    second.managed.remove(&DESK).await.unwrap();
    second.events.prune_before(later).await.unwrap();
    assert!(second.recorded().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_ends_again_and_again_ends_no_service() {
    let world = world().await;
    world.started(&DESK, desk(7)).await;
    let actor = world.managed.status(&DESK).unwrap().actor;
    for _ in 0..10 {
        world.manager_restarted().await;
    }
    world.declared(&DOOR, desk(1)).await;
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    assert_eq!(world.managed.status(&DESK).unwrap().actor, actor);
}
