//! Figures, and the end of all services.

use std::time::Duration;

use foundation::config::{ConfigSources, ExposeSecret, SecretString};
use foundation_managed::{LifecycleWatched, ManagedError, ServiceStatus};

use crate::setup::{ClerkMsg, Clerks, DESK, DOOR, broken, desk, needing, world, world_with};

#[tokio::test(start_paused = true)]
async fn a_shutdown_stops_each_service_after_those_that_need_it_and_refuses_requests() {
    let world = world().await;
    world.started(&DOOR, desk(1)).await;
    world.started(&DESK, needing(&["door"])).await;
    let mut watch = world.managed.watch();
    watch.next().await;
    let report = world.managed.shutdown(Duration::from_secs(5)).await.unwrap();
    for expected in [
        "desk: healthy to shutting_down",
        "desk: shutting_down to shutdown",
        "door: healthy to shutting_down",
        "door: shutting_down to shutdown",
    ] {
        let Some(LifecycleWatched::Change(change)) = watch.next().await else { panic!("nothing is missed") };
        assert_eq!(change.to_string(), expected);
    }
    assert_eq!((report.stopped, report.killed), (vec![DESK.clone(), DOOR.clone()], vec![]));
    assert_eq!(world.managed.by_status(ServiceStatus::Shutdown).len(), 2);
    for error in [
        world.managed.start(&DESK).await.unwrap_err(),
        world.managed.stop(&DESK, None).await.unwrap_err(),
        world.managed.restart(&DESK).await.unwrap_err(),
        world.managed.remove(&DESK).await.unwrap_err(),
        world.managed.configure::<Clerks>(&DESK, &desk(2)).await.unwrap_err(),
        world.managed.declare::<Clerks>(&DESK, &desk(2)).await.unwrap_err(),
    ] {
        assert!(matches!(error, ManagedError::ShuttingDown { .. }), "{error}");
    }
    assert_eq!(world.recorded().await, ["declared", "wanted", "declared", "wanted"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_stop_in_time_is_killed() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    world.started(&DOOR, desk(1)).await;
    world.hang(&DESK).await;
    let report = world.managed.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!((report.stopped, report.killed), (vec![DOOR.clone()], vec![DESK.clone()]));
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_over_within_its_time() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    world.hang(&DESK).await;
    let begun = tokio::time::Instant::now();
    world.managed.stop(&DESK, Duration::from_secs(2)).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn statistics_count_messages_and_failures_and_diagnostics_say_what_is_wrong() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    world.declared(&DOOR, broken("start")).await;
    world.managed.start(&DOOR).await.unwrap_err();
    for _ in 0..3 {
        world.answer(&DESK).await.unwrap();
    }
    world.send(&DESK, ClerkMsg::Fail);
    world.becomes(&DESK, ServiceStatus::Initializing).await;
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    let statistics = world.managed.statistics();
    assert_eq!(statistics.statuses, [(ServiceStatus::Healthy, 1), (ServiceStatus::Unhealthy, 1)]);
    let messages = statistics.services[0].messages.as_ref().unwrap();
    assert_eq!((messages.messages, messages.failures), (4, 1));
    let diagnostics = world.managed.diagnostics();
    assert_eq!((diagnostics.kinds, diagnostics.declared, diagnostics.problems.len()), (1, 2, 2));
    assert!(diagnostics.health.to_string().contains("no pen"), "{}", diagnostics.health);
    serde_json::to_string(&(statistics, diagnostics)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_export_has_all_services_and_no_secret() {
    let world = world().await;
    world.started(&DESK, desk(7)).await;
    let text = serde_json::to_string(&world.managed.export()).unwrap();
    assert!(text.contains(r#""desk""#) && text.contains(r#""answer":7"#) && !text.contains("hunter2"), "{text}");
}

// The types of secrets are those of the config server.
#[tokio::test(start_paused = true)]
async fn a_section_is_exported_by_its_path() {
    let sources = ConfigSources::new().section::<crate::sections::Office>().unwrap();
    let world = world_with(foundation::events::EventStorage::memory(), sources).await;
    world.managed.register_kind(crate::sections::Offices).unwrap();
    world.managed.declare_section::<crate::sections::Offices>(&DESK).await.unwrap();
    world.managed.start(&DESK).await.unwrap();
    let text = serde_json::to_string(&world.managed.export()).unwrap();
    assert!(text.contains(r#""section":"office""#) && !text.contains("hunter2"), "{text}");
    let shown = format!("{:?}", world.managed.status(&DESK).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(SecretString::from("hunter2").expose_secret(), "hunter2");
}
