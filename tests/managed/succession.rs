//! What the next manager makes of what an earlier one has begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foundation::names::{NameChange, ServiceKey, Watched};
use foundation::supervision::{BoxError, ChildSpec, Supervisor, SupervisorKey};
use foundation_discovery::health::InstanceStatus;
use foundation_discovery::{Criteria, Discovery, InstanceCheck, InstanceRecord};
use foundation_managed::{
    Batch, BatchError, BatchPhase, LifecycleWatched, Managed, ManagedError, Need, ReplacementStrategy, ServiceContext,
    ServiceKind, ServiceRecord, ServiceStatus,
};
use foundation_testkit::soon;
use futures::FutureExt;

use crate::setup::{Clerk, ClerkMsg, Clerks, DESK, DOOR, Desk, World, broken, desk, passes, value, world};

/// Clerks whose pens can break, who are replaced by successors.
struct Pens {
    are_broken: Arc<AtomicBool>,
}

impl ServiceKind for Pens {
    type Config = Desk;
    const NAME: &'static str = "pens";

    fn child(&self, context: &ServiceContext, desk: Arc<Desk>) -> Result<ChildSpec, BoxError> {
        context.child_spec(move || (Clerk, (*desk).clone()))
    }

    fn needs(&self, desk: &Desk) -> Vec<Need> {
        desk.needs.iter().map(|need| Need::service(&need.parse().unwrap())).collect()
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
        ReplacementStrategy::BlueGreen { ready_within: 10 * minute, overlap: minute }
    }
}

async fn with_pen() -> (World, Arc<AtomicBool>) {
    let (world, are_broken) = (world().await, Arc::<AtomicBool>::default());
    world.managed.register_kind(Pens { are_broken: Arc::clone(&are_broken) }).unwrap();
    world.managed.declare::<Pens>(&DESK, &desk(1)).await.unwrap();
    world.managed.start(&DESK).await.unwrap();
    (world, are_broken)
}

/// Requests a configuration of the desk, and awaits no end.
fn configured(world: &World, desk: Desk) -> tokio::task::JoinHandle<Result<Arc<ServiceRecord>, ManagedError>> {
    let (managed, config) = (world.managed.clone(), value(serde_json::to_value(desk).unwrap()));
    tokio::spawn(async move { managed.configure_as(&DESK, config).await })
}

/// Returns when an instance of the desk is so.
async fn instance(world: &World, what: &str, is_so: impl Fn(&InstanceRecord) -> bool) {
    let discovery = Discovery::of(&world.names);
    let mut watch = discovery.watch(Criteria::service(&DESK));
    let showing = async {
        while !discovery.instances(&Criteria::service(&DESK)).unwrap().iter().any(&is_so) {
            watch.next().await;
        }
    };
    soon(format!("an instance is {what}"), showing).await;
}

/// Returns when the record of the desk is so.
async fn shows(world: &World, what: &str, is_so: impl Fn(&ServiceRecord) -> bool) {
    let mut watch = world.managed.watch();
    let showing = async {
        while !world.managed.status(&DESK).is_ok_and(|record| is_so(&record)) {
            let _ = tokio::time::timeout(Duration::from_millis(20), watch.next()).await;
        }
    };
    soon(format!("the desk is {what}"), showing).await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_a_killed_manager_has_left_is_withdrawn_at_once() {
    let (world, are_broken) = with_pen().await;
    are_broken.store(true, Ordering::SeqCst);
    let requested = configured(&world, desk(2));
    instance(&world, "beside", |it| it.name().id() == "next").await;
    world.manager_restarted().await;
    requested.abort();
    // The next successor is checked under the same name, and longer than it takes to begin.
    passes(Duration::from_secs(20)).await;
    assert_eq!(world.answer(&DESK).await, Ok(1));
    are_broken.store(false, Ordering::SeqCst);
    shows(&world, "replaced", |record| record.running == Some(record.generation) && record.generation > 1).await;
    assert_eq!(world.answer(&DESK).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_requested_during_a_takeover_is_given_as_its_kind_says() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let before = world.managed.status(&DESK).unwrap();
    world.manager_restarted().await;
    let after = world.managed.configure::<Clerks>(&DESK, &desk(2).replaced_by("reload")).await.unwrap();
    assert_eq!((after.actor, after.running), (before.actor, Some(after.generation)));
    assert_eq!(world.answer(&DESK).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_generation_that_is_to_be_replaced_is_checked_by_the_next_manager() {
    let (world, are_broken) = with_pen().await;
    let requested = configured(&world, Desk { needs: vec!["door".to_owned()], ..desk(2) });
    world.becomes(&DESK, ServiceStatus::Unhealthy).await;
    world.manager_restarted().await;
    requested.abort();
    are_broken.store(true, Ordering::SeqCst);
    instance(&world, "unhealthy", |it| it.status() == InstanceStatus::Unhealthy).await;
    assert_eq!(world.answer(&DESK).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_is_not_started_by_the_next_manager() {
    let world = world().await;
    world.declared(&DESK, broken("start")).await;
    world.managed.start(&DESK).await.unwrap_err();
    let before = world.managed.status(&DESK).unwrap();
    let mut watch = world.managed.watch();
    world.manager_restarted().await;
    world.started(&DOOR, desk(1)).await;
    passes(Duration::from_secs(60)).await;
    while let Some(Some(seen)) = watch.next().now_or_never() {
        let is_of_desk = matches!(&seen, LifecycleWatched::Change(change) if change.name == DESK);
        assert!(!is_of_desk, "{seen:?}");
    }
    let after = world.managed.status(&DESK).unwrap();
    assert_eq!((&after.state, &after.last_error), (&before.state, &before.last_error));
    // A request starts it.
    world.managed.configure::<Clerks>(&DESK, &desk(3)).await.unwrap();
    assert_eq!(world.answer(&DESK).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_successor_whose_manager_was_killed_starts_again_as_any_other() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let supervisor = world.names.supervisor(&SupervisorKey::<Supervisor>::new("managed").unwrap());
    let limit = async || supervisor.child_spec("desk.main").await.unwrap().start_limit();
    let before = limit().await;
    // Its predecessor does not finish before the manager ends.
    world.hang(&DESK).await;
    let requested = configured(&world, desk(2).replaced_by("patient_blue_green"));
    crate::setup::answers(&world, 2).await;
    assert_ne!(limit().await, before);
    world.manager_restarted().await;
    requested.abort();
    shows(&world, "taken over", |record| record.running == Some(record.generation)).await;
    passes(Duration::from_secs(1)).await;
    assert_eq!(limit().await, before);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_cut_off_is_taken_back_by_its_own_undo_and_no_call_is_refused() {
    let world = world().await;
    world.started(&DESK, desk(2).replaced_by("blue_green")).await;
    let before = world.managed.status(&DESK).unwrap();
    let next = Desk { provides: vec!["ink".to_owned()], ..desk(6) }.replaced_by("blue_green");
    let endless = Desk { needs: vec!["+ink".to_owned()], ..broken("pen") }.checked();
    let batch = Batch::new()
        .configure(&DESK, serde_json::to_value(next).unwrap())
        .declare(&DOOR, "clerks", serde_json::to_value(endless).unwrap())
        .start(&DOOR);
    let managed = world.managed.clone();
    let applying = tokio::spawn(async move { managed.apply_within(batch, Duration::from_secs(3_600)).await });
    crate::setup::answers(&world, 6).await;
    let mut watch = world.names.watch_service(&Managed::key::<ClerkMsg>(&DESK).unwrap());
    watch.next().await;
    let manager = ServiceKey::<()>::new("managed.manager").unwrap();
    world.names.lookup_any(manager.name()).unwrap().cell().kill();
    let cut_off = soon("an answer", applying).await.unwrap();
    assert!(matches!(cut_off, Err(BatchError::Unclear { .. })), "{cut_off:?}");
    crate::setup::answers(&world, 2).await;
    shows(&world, "as before", |record| {
        record.running == Some(before.generation) && record.status() == ServiceStatus::Healthy
    })
    .await;
    assert_eq!(world.recorded().await.last().unwrap(), "batch_ended");
    assert_eq!(world.managed.all().len(), 1);
    let changes = std::iter::from_fn(|| watch.next().now_or_never().flatten());
    let is_gap = |item: &Watched| matches!(item, Watched::Change(NameChange::Unregistered { .. }));
    assert_eq!(changes.filter(is_gap).count(), 0);
    assert!(!world.names.is_registered(&Managed::key::<()>(&DOOR).unwrap()));
}

#[tokio::test(start_paused = true)]
async fn an_undo_step_outlasts_the_stop_that_it_waits_for() {
    let world = world().await;
    world.declared(&DOOR, broken("pen").checked()).await;
    let desk = serde_json::to_value(desk(1)).unwrap();
    let batch = Batch::new().declare(&DESK, "clerks", desk).start(&DESK).start(&DOOR);
    let managed = world.managed.clone();
    let applying = tokio::spawn(async move { managed.apply_within(batch, Duration::from_secs(20)).await });
    crate::setup::answers(&world, 1).await;
    // It is killed when its time to finish is over, and not before.
    world.hang(&DESK).await;
    let undone = soon("the undo", applying).await.unwrap();
    assert!(matches!(undone, Err(BatchError::Undone { .. })), "{undone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_has_not_ended_and_what_it_left_behind_are_shown() {
    let world = world().await;
    assert_eq!((world.managed.diagnostics().batch, world.managed.diagnostics().unsettled), (None, None));
    let batch =
        Batch::new().declare(&DOOR, "clerks", serde_json::to_value(broken("pen").checked()).unwrap()).start(&DOOR);
    let managed = world.managed.clone();
    let applying = tokio::spawn(async move { managed.apply_within(batch, Duration::from_secs(20)).await });
    crate::setup::answers_of(&world, &DOOR, 9).await;
    let pending = world.managed.diagnostics().batch.unwrap();
    assert_eq!((pending.phase, pending.services), (BatchPhase::Running, vec![DOOR.clone()]));
    assert!(soon("the undo", applying).await.unwrap().is_err());
    passes(Duration::from_secs(1)).await;
    assert_eq!((world.managed.diagnostics().batch, world.managed.diagnostics().left_behind.len()), (None, 0));
    assert_eq!(serde_json::to_value(world.managed.export()).unwrap()["left_behind"], serde_json::json!([]));
}
