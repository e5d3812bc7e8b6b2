//! A change that failed is taken back, also if that cannot be recorded at first: what ran is what is wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foundation::supervision::{BoxError, ChildSpec};
use foundation_discovery::InstanceBuilder;
use foundation_managed::{
    Batch, BatchError, Managed, ManagedError, Need, ReplacementStrategy, ServiceContext, ServiceKind, ServiceRecord,
    ServiceStatus,
};
use foundation_testkit::{soon, until};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;

use crate::setup::{
    Clerk, Clerks, DESK, DOOR, Desk, World, broken, desk, filling_storage, needing, value, world, world_in,
};
use crate::unanswered::SilentLog;

/// Clerks whose second configuration fails when it is said.
#[derive(Clone, Default)]
struct Fickle {
    /// Whether no child is made of a configuration that has a broken part.
    fails: Arc<AtomicBool>,
    /// Whether what is to be recorded after a reload cannot be.
    at_reload: Arc<AtomicBool>,
    /// Lets a reload go on.
    goes_on: Arc<Notify>,
}

impl ServiceKind for Fickle {
    type Config = Desk;
    const NAME: &'static str = "fickle";

    fn child(&self, context: &ServiceContext, desk: Arc<Desk>) -> Result<ChildSpec, BoxError> {
        if desk.broken == "fickle" && self.fails.load(Ordering::SeqCst) {
            return Err("no mood".into());
        }
        context.child_spec(move || (Clerk, (*desk).clone()))
    }

    fn describe(&self, instance: InstanceBuilder, desk: &Desk) -> InstanceBuilder {
        Clerks::default().describe(instance, desk)
    }

    fn needs(&self, desk: &Desk) -> Vec<Need> {
        Clerks::default().needs(desk)
    }

    fn replacement(&self, old: &Desk, new: &Desk) -> ReplacementStrategy {
        Clerks::default().replacement(old, new)
    }

    fn reload(&self, _: &ServiceContext, _: Arc<Desk>) -> BoxFuture<'static, Result<(), BoxError>> {
        let Self { at_reload, goes_on, .. } = self.clone();
        async move {
            goes_on.notified().await;
            at_reload.store(true, Ordering::SeqCst);
            Err("not today".into())
        }
        .boxed()
    }
}

fn fickle(answer: u64) -> Desk {
    Desk { broken: "fickle".to_owned(), ..desk(answer) }
}

fn config(desk: &Desk) -> foundation_managed::ServiceConfig {
    value(serde_json::to_value(desk).unwrap())
}

/// A fickle desk runs.
async fn with_fickle(world: &World, kind: &Fickle) -> Arc<ServiceRecord> {
    world.managed.register_kind(kind.clone()).unwrap();
    world.managed.declare::<Fickle>(&DESK, &desk(1)).await.unwrap();
    world.managed.start(&DESK).await.unwrap()
}

/// Returns when the record of the desk is so.
async fn shows(world: &World, what: &str, is_so: impl Fn(&ServiceRecord) -> bool) -> Arc<ServiceRecord> {
    let mut watch = world.managed.watch();
    let showing = async {
        loop {
            match world.managed.status(&DESK) {
                Ok(record) if is_so(&record) => return record,
                // A record changes without its lifecycle, too.
                _ => drop(tokio::time::timeout(Duration::from_millis(20), watch.next()).await),
            }
        }
    };
    soon(format!("the desk is {what}"), showing).await
}

#[tokio::test(start_paused = true)]
async fn a_change_that_failed_leaves_the_generation_and_its_own_number_is_not_used_again() {
    let world = world().await;
    world.started(&DESK, desk(1)).await;
    let before = world.managed.status(&DESK).unwrap();
    let failing = broken("start").replaced_by("blue_green");
    let error = world.managed.configure::<Clerks>(&DESK, &failing).await.unwrap_err();
    assert!(matches!(error, ManagedError::Replace { .. }), "{error}");
    let after = world.managed.status(&DESK).unwrap();
    assert_eq!((after.generation, after.running), (before.generation, before.running));
    let next = world.managed.configure::<Clerks>(&DESK, &desk(3).replaced_by("blue_green")).await.unwrap();
    assert_eq!((next.generation, next.running), (before.generation + 2, Some(before.generation + 2)));
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_requested_again_while_another_one_fails_restarts_nothing() {
    let world = world().await;
    let first = desk(1).replaced_by("blue_green");
    world.started(&DESK, first.clone()).await;
    let before = world.managed.status(&DESK).unwrap();
    let (managed, failing) = (world.managed.clone(), broken("pen").checked().replaced_by("blue_green"));
    let configuring = tokio::spawn(async move { managed.configure::<Clerks>(&DESK, &failing).await });
    shows(&world, "to be replaced", |record| record.generation > before.generation).await;
    let after = world.managed.configure::<Clerks>(&DESK, &first).await.unwrap();
    assert!(soon("an answer", configuring).await.unwrap().is_err(), "another request came before its end");
    assert_eq!((after.actor, &after.config, after.running), (before.actor, &before.config, Some(after.generation)));
    assert_eq!((world.answer(&DESK).await, world.status(&DESK)), (Ok(1), ServiceStatus::Healthy));
}

#[tokio::test]
async fn what_could_not_be_recorded_as_taken_back_is_recorded_when_the_store_is_back() {
    let (is_full, storage) = filling_storage();
    let (world, kind) = (world_in(storage).await, Fickle { at_reload: Arc::clone(&is_full), ..Fickle::default() });
    let before = with_fickle(&world, &kind).await;
    kind.goes_on.notify_one();
    let refused = world.managed.configure_as(&DESK, config(&desk(2).replaced_by("reload"))).await;
    assert!(matches!(refused, Err(ManagedError::Replace { .. })), "{refused:?}");
    is_full.store(false, Ordering::SeqCst);
    world.events.wait_until_up(Duration::from_secs(600)).await.unwrap();
    // Another request finds out first that the store is back.
    world.declared(&DOOR, desk(1)).await;
    let after = shows(&world, "as before", |record| record.config == before.config).await;
    assert_eq!((after.actor, after.running, after.generation), (before.actor, before.running, before.generation));
}

#[tokio::test]
async fn what_is_recorded_without_an_answer_during_a_batch_is_known_when_that_has_ended() {
    let (log, kind) = (SilentLog::new(), Fickle::default());
    let world = world_in(log.storage()).await;
    let before = with_fickle(&world, &kind).await;
    let managed = world.managed.clone();
    let refused = config(&desk(2).replaced_by("reload"));
    let configuring = tokio::spawn(async move { managed.configure_as(&DESK, refused).await });
    shows(&world, "to be reloaded", |record| record.config != before.config).await;
    let late = Desk { broken: "late".to_owned(), ..desk(3) }.checked();
    let managed = world.managed.clone();
    let batch = Batch::new().declare(&DOOR, "clerks", serde_json::to_value(late).unwrap()).start(&DOOR);
    let applying = tokio::spawn(async move { managed.apply(batch).await });
    until("the batch begins", async || world.recorded().await.last().is_some_and(|kind| kind == "batch_begun")).await;
    log.is_silent_once();
    kind.goes_on.notify_one();
    assert!(soon("an answer", configuring).await.unwrap().is_err());
    log.opens();
    assert!(soon("the batch", applying).await.unwrap().is_ok());
    let after = shows(&world, "as before", |record| record.config == before.config).await;
    assert_eq!((after.actor, after.running), (before.actor, Some(after.generation)));
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_next_generation_cannot_be_made_goes_on() {
    let (world, kind) = (world().await, Fickle::default());
    let before = with_fickle(&world, &kind).await;
    world.declared(&DOOR, desk(1)).await;
    let managed = world.managed.clone();
    let next = Desk { needs: vec!["door".to_owned()], ..fickle(2) };
    let configuring = tokio::spawn(async move { managed.configure_as(&DESK, config(&next)).await });
    world.becomes(&DESK, ServiceStatus::Unhealthy).await;
    // The next manager knows it by its configuration only.
    world.manager_restarted().await;
    configuring.abort();
    kind.fails.store(true, Ordering::SeqCst);
    world.managed.start(&DOOR).await.unwrap();
    let after = shows(&world, "healthy as before", |record| {
        record.status() == ServiceStatus::Healthy && record.running == Some(record.generation)
    })
    .await;
    assert_eq!((after.actor, &after.config), (before.actor, &before.config));
    assert!(after.last_error.as_ref().is_some_and(|error| error.contains("no mood")), "{:?}", after.last_error);
    assert_eq!(world.answer(&DESK).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_handed_back_is_not_taken_for_handed_back() {
    let (world, kind) = (world().await, Fickle::default());
    world.managed.register_kind(kind.clone()).unwrap();
    world.managed.declare::<Fickle>(&DESK, &fickle(1).replaced_by("blue_green")).await.unwrap();
    world.managed.start(&DESK).await.unwrap();
    let next = Desk { provides: vec!["ink".to_owned()], ..desk(6) }.replaced_by("blue_green");
    let lacking = Desk { broken: "pen".to_owned(), ..needing(&["+ink"]) }.checked();
    let batch = Batch::new()
        .configure(&DESK, serde_json::to_value(next).unwrap())
        .declare(&DOOR, "clerks", serde_json::to_value(lacking).unwrap())
        .start(&DOOR);
    let managed = world.managed.clone();
    let applying = tokio::spawn(async move { managed.apply_within(batch, Duration::from_secs(5)).await });
    shows(&world, "another generation", |record| record.running.is_some_and(|it| it > record.generation)).await;
    kind.fails.store(true, Ordering::SeqCst);
    let undone = soon("the undo", applying).await.unwrap();
    assert!(matches!(undone, Err(BatchError::UndoFailed { .. })), "{undone:?}");
    let left = world.managed.export().left_behind;
    assert!(left.iter().any(|left| left.reason.contains("no mood")), "{left:?}");
    crate::setup::passes(Duration::from_secs(5)).await;
    let record = world.managed.status(&DESK).unwrap();
    let is_former = world.answer(&DESK).await == Ok(1);
    assert_eq!(record.running == Some(record.generation), is_former, "{record:?}");
    assert!(world.names.is_registered(&Managed::key::<()>(&DESK).unwrap()));
}
