//! A service whose configuration is a section of the config server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use foundation::config::{ConfigSection, ConfigSources, ExposeSecret, SecretString};
use foundation::events::{EventLog, EventStorage, LogError, MemoryLog};
use foundation::names::ServiceKey;
use foundation::supervision::{BoxError, ChildSpec};
use foundation_managed::{Batch, ReplacementStrategy, ServiceContext, ServiceKind, ServiceStatus};
use foundation_testkit::{FaultyLog, soon, until};
use garde::Validate;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;
use tokio::time::Instant;

use crate::setup::{Clerk, ClerkMsg, DESK, DOOR, World, answers, desk, kept, passes, world_with};

#[derive(Debug, Serialize, Deserialize, Validate)]
pub(crate) struct Office {
    #[garde(range(min = 1, max = 100))]
    answer: u64,
    #[garde(skip)]
    #[serde(serialize_with = "hidden")]
    token: SecretString,
}

fn hidden<S: Serializer>(_: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_none()
}

impl ConfigSection for Office {
    const PATH: &'static str = "office";
    const UPDATABLE: &'static [&'static str] = &["answer"];
    const SECRETS: &'static [&'static str] = &["token"];

    fn defaults() -> serde_json::Value {
        json!({ "answer": 1, "token": "hunter2" })
    }
}

pub(crate) struct Offices;

impl ServiceKind for Offices {
    type Config = Office;
    const NAME: &'static str = "offices";
    const SECRETS: &'static [&'static str] = &["token"];

    fn child(&self, context: &ServiceContext, office: Arc<Office>) -> Result<ChildSpec, BoxError> {
        assert_eq!(office.token.expose_secret(), "hunter2");
        context.child_spec(move || (Clerk, desk(office.answer)))
    }

    fn replacement(&self, _: &Office, new: &Office) -> ReplacementStrategy {
        assert_ne!(new.answer, 13, "no luck");
        let second = Duration::from_secs(1);
        ReplacementStrategy::BlueGreen { ready_within: second, overlap: second }
    }
}

async fn world(storage: EventStorage) -> World {
    let sources = ConfigSources::new().section::<Office>().unwrap();
    let world = world_with(storage, sources).await;
    world.managed.register_kind(Offices).unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn a_change_of_its_section_replaces_a_service() {
    let world = world(EventStorage::memory()).await;
    world.managed.declare_section::<Offices>(&DESK).await.unwrap();
    world.managed.start(&DESK).await.unwrap();
    answers(&world, 1).await;
    world.config.update("office.answer", 2).await.unwrap();
    answers(&world, 2).await;
    assert_eq!(world.status(&DESK), ServiceStatus::Healthy);

    // The next manager follows it, too.
    world.manager_restarted().await;
    world.declared(&crate::setup::DOOR, desk(1)).await;
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    world.config.update("office.answer", 4).await.unwrap();
    answers(&world, 4).await;

    // What its kind cannot take leaves it as it is.
    world.config.update("office.answer", 13).await.unwrap();
    world.config.update("office.answer", 3).await.unwrap();
    answers(&world, 3).await;
}

#[tokio::test]
async fn a_next_process_reads_the_section_anew_and_waits_for_its_kind() {
    let storage = kept();
    let first = world(storage.clone()).await;
    first.managed.declare_section::<Offices>(&DESK).await.unwrap();
    first.managed.start(&DESK).await.unwrap();
    first.config.update("office.answer", 5).await.unwrap();
    answers(&first, 5).await;
    first.registry.shutdown().await;

    let second = world(storage).await;
    second.becomes(&DESK, ServiceStatus::Healthy).await;
    answers(&second, 5).await;
    let written = second.events.recent(100).await.unwrap();
    assert!(written.iter().all(|event| !event.payload.to_string().contains("hunter2")));
}

/// Kills the manager, and returns when it has ended.
async fn manager_killed(world: &World) {
    let manager = ServiceKey::<()>::new("managed.manager").unwrap();
    let mut watch = world.names.watch_service(&manager);
    watch.next().await;
    world.names.lookup_any(manager.name()).unwrap().cell().kill();
    watch.next().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_while_there_is_no_manager_is_found_by_the_next() {
    let world = world(EventStorage::memory()).await;
    world.managed.declare_section::<Offices>(&DESK).await.unwrap();
    world.managed.start(&DESK).await.unwrap();
    manager_killed(&world).await;
    assert!(world.managed.health().to_string().contains("the manager does not run"));
    world.config.update("office.answer", 2).await.unwrap();
    answers(&world, 2).await;
    world.becomes(&DESK, ServiceStatus::Healthy).await;

    // One that has changed nothing since replaces nothing.
    let actor = world.managed.status(&DESK).unwrap().actor;
    world.manager_restarted().await;
    world.declared(&DOOR, desk(1)).await;
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    assert_eq!(world.managed.status(&DESK).unwrap().actor, actor);
}

#[tokio::test]
async fn a_change_that_the_store_did_not_record_is_made_when_it_records_again() {
    let (is_full, log) = (Arc::new(AtomicBool::new(false)), MemoryLog::new("production"));
    let full = Arc::clone(&is_full);
    let storage = EventStorage::with(move |_| {
        let full = Arc::clone(&full);
        Ok(FaultyLog::new(log.clone(), move |log, group, now| {
            let mut kinds = group.iter().flat_map(|append| &append.batch).map(|event| event.kind().as_str());
            match kinds.any(|kind| kind == "service_configured") && full.swap(false, Ordering::SeqCst) {
                true => Err(LogError::new("recording events", "a full disk", "no room")),
                false => EventLog::commit(log, group, now),
            }
        }))
    });
    let world = world(storage).await;
    world.managed.declare_section::<Offices>(&DESK).await.unwrap();
    world.managed.start(&DESK).await.unwrap();
    is_full.store(true, Ordering::SeqCst);
    world.config.update("office.answer", 2).await.unwrap();
    answers(&world, 2).await;
}

#[tokio::test(start_paused = true)]
async fn the_next_manager_goes_on_with_what_a_service_was_given_and_not_with_what_its_kind_refused() {
    let world = world(EventStorage::memory()).await;
    world.managed.declare_section::<Offices>(&DESK).await.unwrap();
    let before = world.managed.start(&DESK).await.unwrap();
    world.config.update("office.answer", 13).await.unwrap();
    passes(Duration::from_secs(1)).await;
    let refused = world.managed.status(&DESK).unwrap();
    assert!(refused.last_error.as_ref().is_some_and(|error| error.contains("no luck")), "{refused:?}");
    world.manager_restarted().await;
    world.declared(&DOOR, desk(1)).await;
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    // The specification of what runs is settled by then.
    passes(Duration::from_secs(1)).await;
    world.send(&DESK, ClerkMsg::Fail);
    passes(Duration::from_secs(1)).await;
    world.becomes(&DESK, ServiceStatus::Healthy).await;
    assert_eq!(world.answer(&DESK).await, Ok(1));
    assert_eq!(world.managed.status(&DESK).unwrap().generation, before.generation);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_a_batch_starts_from_a_section_follows_it() {
    let world = world(EventStorage::memory()).await;
    let batch = Batch::new().declare_section(&DESK, Offices::NAME, Office::PATH).start(&DESK);
    world.managed.apply(batch).await.unwrap();
    answers(&world, 1).await;
    world.config.update("office.answer", 2).await.unwrap();
    passes(Duration::from_secs(1)).await;
    assert_eq!(world.answer(&DESK).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_replacement_is_not_lost_by_a_request_to_start() {
    let world = world(EventStorage::memory()).await;
    world.managed.declare_section::<Offices>(&DESK).await.unwrap();
    let first = world.managed.start(&DESK).await.unwrap();
    let mut watch = world.managed.watch();
    world.config.update("office.answer", 2).await.unwrap();
    let replacing = async {
        while world.managed.status(&DESK).unwrap().generation == first.generation {
            let _ = tokio::time::timeout(Duration::from_millis(1), watch.next()).await;
        }
    };
    soon("a replacement", replacing).await;
    let (changed, _) = tokio::join!(world.config.update("office.answer", 3), world.managed.start(&DESK));
    changed.unwrap();
    passes(Duration::from_secs(5)).await;
    assert_eq!(world.answer(&DESK).await, Ok(3));
}

#[tokio::test]
async fn a_change_that_the_store_goes_on_to_refuse_is_tried_after_growing_pauses() {
    let (is_full, tries, log) =
        (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), MemoryLog::new("production"));
    let (full, tried) = (Arc::clone(&is_full), Arc::clone(&tries));
    let storage = EventStorage::with(move |_| {
        let (full, tried) = (Arc::clone(&full), Arc::clone(&tried));
        Ok(FaultyLog::new(log.clone(), move |log, group, now| {
            let mut kinds = group.iter().flat_map(|append| &append.batch).map(|event| event.kind().as_str());
            match kinds.any(|kind| kind == "service_configured") && full.load(Ordering::SeqCst) {
                true => {
                    tried.fetch_add(1, Ordering::SeqCst);
                    Err(LogError::new("recording events", "a full disk", "no room"))
                }
                false => EventLog::commit(log, group, now),
            }
        }))
    });
    let world = world(storage).await;
    world.managed.declare_section::<Offices>(&DESK).await.unwrap();
    world.managed.start(&DESK).await.unwrap();
    is_full.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    world.config.update("office.answer", 2).await.unwrap();
    until("a third try", async || tries.load(Ordering::SeqCst) >= 3).await;
    // After 1 s and after another 2 s.
    assert!(begun.elapsed() >= Duration::from_millis(2_900), "{:?}", begun.elapsed());
    let unsettled = || world.managed.diagnostics().unsettled;
    until("a problem", async || unsettled().is_some_and(|problem| problem.contains("section"))).await;
    is_full.store(false, Ordering::SeqCst);
    answers(&world, 2).await;
    until("no problem", async || unsettled().is_none()).await;
}
