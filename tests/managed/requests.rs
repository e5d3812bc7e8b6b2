//! What is requested is recorded, and then made.

use std::sync::Arc;
use std::time::Duration;

use foundation::ractor::{Actor, ActorRef};
use foundation_discovery::{Criteria, Discovery, Instance};
use foundation_managed::{DesiredState, Managed, ManagedError, ServiceStatus};
use foundation_testkit::soon;
use tokio::join;

use crate::setup::{Clerk, ClerkMsg, Clerks, DESK, DOOR, broken, changes_until, desk, needing, world};

#[tokio::test(start_paused = true)]
async fn a_service_is_declared_started_stopped_and_removed_and_each_is_recorded() {
    let world = world().await;
    world.declared(&DESK, desk(7)).await;
    let declared = world.managed.status(&DESK).unwrap();
    assert_eq!(
        (declared.status(), declared.wanted, declared.actor),
        (ServiceStatus::Unknown, DesiredState::Declared, None)
    );

    let (started, changes) = join!(world.managed.start(&DESK), changes_until(&world, &DESK, ServiceStatus::Healthy));
    assert_eq!(started.unwrap().status(), ServiceStatus::Healthy);
    assert_eq!(changes, ["unknown to initializing", "initializing to healthy"]);
    assert_eq!(world.answer(&DESK).await, Ok(7));

    let (stopped, changes) =
        join!(world.managed.stop(&DESK, None), changes_until(&world, &DESK, ServiceStatus::Shutdown));
    assert_eq!(stopped.unwrap().running, None);
    assert_eq!(changes, ["healthy to shutting_down", "shutting_down to shutdown"]);
    assert!(world.answer(&DESK).await.is_err());

    assert_eq!(world.managed.start(&DESK).await.unwrap().status(), ServiceStatus::Healthy);
    world.managed.remove(&DESK).await.unwrap();
    assert!(world.managed.all().is_empty() && world.managed.status(&DESK).is_err());
    assert!(!world.names.is_registered(&Managed::key::<ClerkMsg>(&DESK).unwrap()));
    assert_eq!(world.recorded().await, ["declared", "wanted", "wanted", "wanted", "removed"]);
}

#[tokio::test(start_paused = true)]
async fn a_managed_service_is_a_service_of_discovery() {
    let world = world().await;
    world.started(&DESK, desk(7)).await;
    let discovery = Discovery::of(&world.names);
    let mut clerks = discovery.selector(Criteria::service(&DESK).version("^1").unwrap());
    assert_eq!(clerks.call(ClerkMsg::Ask, Duration::from_secs(1)).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_is_started_again_and_a_restart_begins_a_new_generation() {
    let world = world().await;
    world.started(&DESK, desk(7)).await;
    let first = world.managed.status(&DESK).unwrap();
    let clerk = world.names.lookup(&Managed::key::<ClerkMsg>(&DESK).unwrap()).unwrap();
    let (_, changes) =
        join!(async { clerk.cast(ClerkMsg::Fail).unwrap() }, changes_until(&world, &DESK, ServiceStatus::Healthy));
    assert_eq!(changes, ["healthy to initializing", "initializing to healthy"]);
    assert_eq!(world.answer(&DESK).await, Ok(7));

    let again = world.managed.restart(&DESK).await.unwrap();
    assert!(again.generation > first.generation && again.running == Some(again.generation));
    assert_eq!(world.answer(&DESK).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_service_is_healthy_when_its_checks_have_succeeded() {
    let world = world().await;
    world.started(&DESK, desk(7).checked()).await;
    world.declared(&DOOR, broken("pen").checked()).await;
    let late = world.managed.start_within(&DOOR, Duration::from_secs(20)).await.unwrap_err();
    let ManagedError::NotYet { wanted: "healthy", .. } = &late else { panic!("{late}") };
    assert!(late.to_string().contains("its checks fail: unhealthy: failed: no pen"), "{late}");
    assert_eq!(world.status(&DOOR), ServiceStatus::Unhealthy);
    let health = world.managed.health().to_string();
    assert!(health.contains("door is unhealthy"), "{health}");
    world.managed.stop(&DOOR, None).await.unwrap();
    assert_eq!(world.managed.health().to_string(), "healthy");
}

#[tokio::test(start_paused = true)]
async fn a_service_waits_for_what_it_needs_and_lacks_it_when_it_goes() {
    let world = world().await;
    world.declared(&DESK, needing(&["door", "+lamp"])).await;
    let door = crate::setup::Desk { provides: vec!["lamp".to_owned()], ..desk(2) };
    world.declared(&DOOR, door).await;
    let lacking = world.managed.start_within(&DESK, Duration::from_secs(1)).await.unwrap_err().to_string();
    assert!(lacking.contains("it lacks service door and capability lamp"), "{lacking}");

    world.managed.start(&DOOR).await.unwrap();
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    let actor = world.managed.status(&DESK).unwrap().actor;

    world.managed.stop(&DOOR, None).await.unwrap();
    world.becomes(&DESK, ServiceStatus::Unhealthy).await;
    world.managed.start(&DOOR).await.unwrap();
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    assert_eq!(world.managed.status(&DESK).unwrap().actor, actor, "it was not started again");
}

#[tokio::test(start_paused = true)]
async fn kinds_are_listed_with_an_example_without_secrets_and_with_their_services() {
    let world = world().await;
    world.started(&DESK, desk(7)).await;
    world.declared(&DOOR, desk(8)).await;
    let [kind] = &world.managed.kinds()[..] else { panic!("one kind is registered") };
    assert_eq!((kind.name.as_str(), kind.declared, kind.running), ("clerks", 2, 1));
    let example = kind.example.as_ref().unwrap();
    assert_eq!((&example["answer"], &example["token"]), (&7.into(), &"[redacted]".into()));
    assert_eq!(kind.capabilities, ["stamp"]);
    let field = |path: &str| kind.fields.iter().find(|field| field.path == path).unwrap();
    assert_eq!((field("answer").optional, &field("answer").default), (true, &Some(1.into())));
    assert_eq!((field("token").secret, &field("token").default), (true, &None));
    assert!(world.managed.register_kind(Clerks::default()).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_declared_service_that_does_not_run_does_not_hide_one_outside() {
    let world = world().await;
    let door = crate::setup::Desk { provides: vec!["lamp".to_owned()], ..desk(2) };
    world.declared(&DOOR, door).await;
    world.declared(&DESK, needing(&["door", "+lamp"])).await;
    let managed = world.managed.clone();
    let start = tokio::spawn(async move { managed.start(&DESK).await });
    world.becomes(&DESK, ServiceStatus::Unhealthy).await;

    let discovery = Discovery::of(&world.names);
    let (porter, _): (ActorRef<ClerkMsg>, _) = Actor::spawn(None, Clerk, desk(3)).await.unwrap();
    let instance = Instance::builder(&DOOR, "outside").capability("lamp").build().unwrap();
    discovery.register(&instance, &porter).await.unwrap();
    soon("the start", start).await.unwrap().unwrap();
    // What is managed is no service outside.
    world.managed.start(&DOOR).await.unwrap();
    porter.stop(None);
    world.managed.stop(&DOOR, None).await.unwrap();
    world.becomes(&DESK, ServiceStatus::Unhealthy).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_is_shared_until_its_service_changes() {
    let world = world().await;
    world.started(&DESK, desk(7)).await;
    let before = world.managed.status(&DESK).unwrap();
    world.started(&DOOR, desk(8)).await;
    let after = world.managed.status(&DESK).unwrap();
    assert!(Arc::ptr_eq(&before, &after), "it is made once");
    world.managed.restart(&DESK).await.unwrap();
    assert_ne!(world.managed.status(&DESK).unwrap(), before);
}
