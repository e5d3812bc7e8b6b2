//! A manager, or the supervisor of the services, is killed at each step of its work: the next one compares what there is
//! with what is wanted, and goes on from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foundation::events::NewEvent;
use foundation::names::{NameChange, ServiceKey, ServiceName, Watched};
use foundation::ractor::{Actor, ActorRef};
use foundation::supervision::{BoxError, ChildSpec, Health, Supervisor, SupervisorKey};
use foundation_discovery::{Criteria, Discovery, InstanceCheck, InstanceRecord};
use foundation_managed::{
    Managed, ManagedError, ReplacementStrategy, ServiceContext, ServiceKind, ServiceRecord, ServiceStatus,
};
use foundation_testkit::soon;

use crate::setup::{
    Clerk, ClerkMsg, DESK, DOOR, Desk, World, answers, desk, filling_storage, kept, needing, world, world_in,
};

/// Clerks whose pens can break.
struct Pens {
    are_broken: Arc<AtomicBool>,
}

impl ServiceKind for Pens {
    type Config = Desk;
    const NAME: &'static str = "pens";

    fn child(&self, context: &ServiceContext, desk: Arc<Desk>) -> Result<ChildSpec, BoxError> {
        context.child_spec(move || (Clerk, (*desk).clone()))
    }

    fn checks(&self, _: &Desk) -> Vec<InstanceCheck> {
        let are_broken = Arc::clone(&self.are_broken);
        let check = InstanceCheck::function("pen", move |_| {
            let is_broken = are_broken.load(Ordering::SeqCst);
            async move { if is_broken { Err("no pen") } else { Ok(()) } }
        });
        vec![check.every(Duration::from_secs(1))]
    }

    fn replacement(&self, _: &Desk, _: &Desk) -> ReplacementStrategy {
        let minute = Duration::from_secs(60);
        ReplacementStrategy::BlueGreen { ready_within: minute, overlap: minute }
    }
}

/// A world in which a clerk with a pen runs.
async fn with_pen() -> (World, Arc<AtomicBool>) {
    let (world, are_broken) = (world().await, Arc::<AtomicBool>::default());
    world.managed.register_kind(Pens { are_broken: Arc::clone(&are_broken) }).unwrap();
    world.managed.declare::<Pens>(&DESK, &desk(1)).await.unwrap();
    world.managed.start(&DESK).await.unwrap();
    (world, are_broken)
}

/// Returns when the record of a service is so.
async fn shows(world: &World, name: &ServiceName, what: &str, is_so: impl Fn(&ServiceRecord) -> bool) {
    let mut watch = world.managed.watch();
    let showing = async {
        while !world.managed.status(name).is_ok_and(|record| is_so(&record)) {
            watch.next().await;
        }
    };
    soon(format!("{name} is {what}"), showing).await;
}

/// Returns when an instance of a service is so.
async fn instance(world: &World, name: &ServiceName, what: &str, is_so: impl Fn(&InstanceRecord) -> bool) {
    let discovery = Discovery::of(&world.names);
    let mut watch = discovery.watch(Criteria::service(name));
    let showing = async {
        while !discovery.instances(&Criteria::service(name)).unwrap().iter().any(&is_so) {
            watch.next().await;
        }
    };
    soon(format!("an instance of {name} is {what}"), showing).await;
}

/// Kills the manager while this is requested, when the instance is so.
async fn killed_during(world: &World, change: Desk, what: &str, is_so: impl Fn(&InstanceRecord) -> bool) {
    let managed = world.managed.clone();
    let requested = tokio::spawn(async move {
        let config = serde_json::to_value(&change).unwrap();
        managed.configure_as(&DESK, foundation_managed::ServiceConfig::Value(config)).await
    });
    instance(world, &DESK, what, is_so).await;
    world.manager_restarted().await;
    requested.abort();
}

#[tokio::test(start_paused = true)]
async fn the_services_run_again_when_their_supervisor_does() {
    let world = world().await;
    world.started(&DOOR, desk(1)).await;
    world.started(&DESK, needing(&["door"])).await;
    let before = world.managed.status(&DESK).unwrap().actor;
    let supervisor = SupervisorKey::<Supervisor>::new("managed").unwrap();
    world.names.supervisor(&supervisor).actor().unwrap().kill();
    shows(&world, &DESK, "healthy anew", |record| {
        record.status() == ServiceStatus::Healthy && record.actor.is_some() && record.actor != before
    })
    .await;
    assert_eq!(world.answer(&DESK).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn the_next_manager_runs_the_checks_of_what_runs() {
    let (world, are_broken) = with_pen().await;
    world.manager_restarted().await;
    are_broken.store(true, Ordering::SeqCst);
    world.becomes(&DESK, ServiceStatus::Unhealthy).await;
    are_broken.store(false, Ordering::SeqCst);
    world.becomes(&DESK, ServiceStatus::Healthy).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_first_replacement_is_completed_by_the_next_manager() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    // Its stop does not end before the manager does.
    world.hang(&DESK).await;
    killed_during(&world, desk(2), "draining", |it| it.instance.is_draining()).await;
    answers(&world, 2).await;
    shows(&world, &DESK, "as wanted", |record| record.running == Some(record.generation)).await;
    assert_eq!(world.status(&DESK), ServiceStatus::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_blue_green_replacement_has_no_gap_although_its_manager_is_killed() {
    let (world, are_broken) = with_pen().await;
    let mut watch = world.names.watch_service(&Managed::key::<ClerkMsg>(&DESK).unwrap());
    watch.next().await;
    are_broken.store(true, Ordering::SeqCst);
    killed_during(&world, desk(2), "beside", |it| it.name().id() == "next").await;
    assert_eq!(world.answer(&DESK).await, Ok(1));
    are_broken.store(false, Ordering::SeqCst);
    answers(&world, 2).await;
    let changes = std::iter::from_fn(|| futures::FutureExt::now_or_never(watch.next()).flatten());
    let is_gap = |item: &Watched| matches!(item, Watched::Change(NameChange::Unregistered { .. }));
    assert!(!changes.collect::<Vec<_>>().iter().any(is_gap));
}

#[tokio::test(start_paused = true)]
async fn what_was_reloaded_is_what_is_wanted_for_the_next_manager() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let changed = world.managed.configure_as(&DESK, config(&desk(2).replaced_by("reload"))).await.unwrap();
    world.manager_restarted().await;
    world.declared(&DOOR, desk(1)).await;
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    let record = world.managed.status(&DESK).unwrap();
    assert_eq!((record.actor, record.running), (changed.actor, Some(record.generation)));
    assert_eq!(world.answer(&DESK).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_replaced_is_what_is_wanted_for_the_next_manager() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let before = world.managed.status(&DESK).unwrap();
    let refused = Desk { broken: "start".to_owned(), ..desk(2) }.replaced_by("blue_green");
    let error = world.managed.configure_as(&DESK, config(&refused)).await.unwrap_err();
    assert!(matches!(error, ManagedError::Replace { .. }), "{error}");
    world.manager_restarted().await;
    world.declared(&DOOR, desk(1)).await;
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    let record = world.managed.status(&DESK).unwrap();
    assert_eq!((record.actor, record.running), (before.actor, Some(record.generation)));
    // Its child bears the generation that it was started as.
    world.send(&DESK, ClerkMsg::Fail);
    shows(&world, &DESK, "healthy anew", |record| {
        record.status() == ServiceStatus::Healthy && record.actor != before.actor && record.actor.is_some()
    })
    .await;
    assert_eq!(world.answer(&DESK).await, Ok(1));
}

fn config(desk: &Desk) -> foundation_managed::ServiceConfig {
    foundation_managed::ServiceConfig::Value(serde_json::to_value(desk).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_is_completed_by_the_next_manager_and_nothing_is_started() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    world.started(&DOOR, desk(1)).await;
    world.hang(&DESK).await;
    let managed = world.managed.clone();
    let shutdown = tokio::spawn(async move { managed.shutdown(Duration::from_secs(600)).await });
    world.becomes(&DESK, ServiceStatus::ShuttingDown).await;
    world.becomes(&DOOR, ServiceStatus::Shutdown).await;
    world.manager_restarted().await;
    shutdown.abort();
    soon("the shutdown", world.managed.shutdown(Duration::from_secs(60))).await.unwrap();
    assert_eq!(world.managed.by_status(ServiceStatus::Shutdown).len(), 2);
    for name in [&DESK, &DOOR] {
        assert!(!world.names.is_registered(&Managed::key::<()>(name).unwrap()));
    }
    let error = world.managed.start(&DESK).await.unwrap_err();
    assert!(matches!(error, ManagedError::ShuttingDown { .. }), "{error}");
}

#[tokio::test]
async fn the_services_go_on_although_neither_store_nor_manager_does() {
    let (is_full, storage) = filling_storage();
    let world = world_in(storage).await;
    world.started(&DESK, desk(1)).await;
    let before = world.managed.status(&DESK).unwrap();
    is_full.store(true, Ordering::SeqCst);
    world.managed.declare::<crate::setup::Clerks>(&DOOR, &desk(2)).await.unwrap_err();
    // More often than its supervisor would restart one that does not start.
    for _ in 0..3 {
        world.manager_restarted().await;
    }
    assert_eq!(world.answer(&DESK).await, Ok(1));
    assert!(world.managed.stop(&DESK, None).await.is_err());
    assert!(matches!(world.managed.health(), Health::Degraded(text) if text.contains("it is not known")));
    is_full.store(false, Ordering::SeqCst);
    world.events.wait_until_up(Duration::from_secs(600)).await.unwrap();
    // Nobody asks: the manager reads again by itself.
    let mut watch = world.managed.watch();
    let healthy = async {
        while world.managed.health() != Health::Healthy {
            let _ = tokio::time::timeout(Duration::from_millis(100), watch.next()).await;
        }
    };
    soon("the manager knows the services", healthy).await;
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    assert_eq!(world.managed.status(&DESK).unwrap().actor, before.actor);
    world.declared(&DOOR, desk(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_plain_actor_that_comes_meets_a_need() {
    let world = world().await;
    world.declared(&DESK, needing(&["porter"])).await;
    let managed = world.managed.clone();
    let start = tokio::spawn(async move { managed.start(&DESK).await });
    world.becomes(&DESK, ServiceStatus::Unhealthy).await;
    let (porter, _): (ActorRef<ClerkMsg>, _) = Actor::spawn(None, Clerk, desk(1)).await.unwrap();
    world.names.register(&ServiceKey::new("porter").unwrap(), &porter).await.unwrap();
    soon("the start", start).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_stop_shortens_the_first() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    world.hang(&DESK).await;
    let managed = world.managed.clone();
    let first = tokio::spawn(async move { managed.stop(&DESK, None).await });
    world.becomes(&DESK, ServiceStatus::ShuttingDown).await;
    let begun = tokio::time::Instant::now();
    world.managed.stop(&DESK, Duration::from_secs(2)).await.unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_secs(), 2);
    // The limit was that of this stop.
    world.managed.start(&DESK).await.unwrap();
    world.hang(&DESK).await;
    let begun = tokio::time::Instant::now();
    world.managed.stop(&DESK, None).await.unwrap();
    assert!(begun.elapsed().as_secs() > 2);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_named_and_the_namespace_starts() {
    let storage = kept();
    let first = world_in(storage.clone()).await;
    first.started(&DESK, desk(1)).await;
    let odd = NewEvent::new("service_wanted").unwrap().source("managed").payload("odd").unwrap();
    let id = first.events.append(odd).await.unwrap();
    first.registry.shutdown().await;

    let second = world_in(storage).await;
    let health = second.managed.health();
    let text = format!("event {id}, service_wanted");
    assert!(matches!(&health, Health::Degraded(it) if it.contains(&text)), "{health:?}");
    let error = second.managed.start(&DESK).await.unwrap_err();
    assert!(error.to_string().contains(&text), "{error}");
}
