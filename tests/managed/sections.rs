//! A service whose configuration is a section of the config server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foundation::config::{ConfigSection, ConfigSources, ExposeSecret, SecretString};
use foundation::events::{EventLog, EventStorage, LogError, MemoryLog};
use foundation::names::ServiceKey;
use foundation::supervision::{BoxError, ChildSpec};
use foundation_managed::{ReplacementStrategy, ServiceContext, ServiceKind, ServiceStatus};
use foundation_testkit::FaultyLog;
use garde::Validate;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use crate::setup::{Clerk, DESK, DOOR, World, answers, desk, kept, world_with};

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
