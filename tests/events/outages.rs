//! A store whose log fails, whose disk is full or gone, or which no lookup finds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foundation::config::ConfigUpdateError;
use foundation::events::{
    EventLog, EventStorage, EventStoreError, LogError, LogErrorKind, MemoryLog, Query, Retention, SubscriptionSpec,
};
use foundation::health::Condition;
use foundation::names::RegistryError;
use foundation::supervision::{Backoff, RestartIntensity};
use foundation::{EventStore, Foundation, NewEvent, ServiceKey, TestNamespace};
use foundation_testkit::{
    Command, FaultyLog, InjectedError, Probe, SOON, TestDisk, at, configured, pid, unregister_event_store,
};
use futures::future::join_all;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::store::{counted, event, faulty, payloads, payloads_of};

#[tokio::test]
async fn a_log_that_fails_is_opened_again_with_all_its_events_and_the_failure_is_recorded() {
    let (storage, _) = faulty(|commit| (commit == 2).then_some(InjectedError::BeforeCommit));
    let foundation = Foundation::builder().events(storage).start().await.unwrap();
    let store = foundation.events();
    let actor = pid(foundation.production(), &EventStore::NAME);
    store.append_batch(counted(0..3)).await.unwrap();
    let error = store.append_batch(counted(3..6)).await.unwrap_err();
    assert_eq!(error.to_string(), "recording events failed in a faulty log: the disk took nothing");
    assert!(matches!(error, EventStoreError::NoAnswer { .. }));

    store.wait_until_up(SOON).await.unwrap();
    store.append_batch(counted(6..7)).await.unwrap();
    let numbers = Query::new().kind("counted".parse().unwrap());
    assert_eq!(payloads(&store.query(numbers).await.unwrap()), [0, 1, 2, 6]);
    let outages = store.query(Query::new().kind(EventStore::EVENT_STORE_OUTAGE)).await.unwrap();
    assert_eq!(outages[0].payload["tries"], 1);
    assert!(outages[0].payload["cause"].to_string().contains("the disk took nothing"), "{:?}", outages[0].payload);
    assert_eq!(pid(foundation.production(), &EventStore::NAME), actor, "no actor had to be restarted for it");
    foundation.shutdown().await;
}

/// Fills the disk, and lets the store notice.
async fn fill(disk: &TestDisk, store: &EventStore) {
    disk.set_full(true);
    let error = store.append(event("unclear", 0)).await.unwrap_err();
    assert!(matches!(error, EventStoreError::NoAnswer { .. }), "{error}");
}

fn assert_unavailable(error: EventStoreError) -> Vec<NewEvent> {
    let EventStoreError::Unavailable { since, cause, .. } = &error else { panic!("{error}") };
    assert_eq!(
        (*since, cause.to_string().as_str()),
        (at(7), "recording events failed in a file: no space left on device")
    );
    assert_eq!(cause.kind(), &LogErrorKind::Full);
    error.into_batch()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_appends_at_once_reads_continue_and_the_store_recovers_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let builder = Foundation::builder().events(disk.on(directory.path())).clock(|| at(7));
    let foundation = builder.start().await.unwrap();
    let store = foundation.events();
    let actor = pid(foundation.production(), &EventStore::NAME);
    let mut followed = store.subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
    let ids = store.append_batch(counted(0..300)).await.unwrap();

    fill(&disk, store).await;
    for number in 0..200 {
        let batch = assert_unavailable(store.append(event("refused", number)).await.unwrap_err());
        assert_eq!(payloads_of(&batch), [number]);
        assert_eq!(store.note(batch).map_err(assert_unavailable).unwrap_err().len(), 1);
    }
    assert_eq!(store.outage().unwrap().since, at(7));
    // By more readers than were open before, and by subscribers from the beginning.
    let reads = (0..16).map(|_| async { (store.get(ids[7]).await.unwrap(), store.query(Query::new()).await.unwrap()) });
    for (one, all) in join_all(reads).await {
        assert_eq!((one.unwrap().payload.as_u64(), all.len()), (Some(7), 300));
    }
    assert_eq!(store.stats().await.unwrap().recorded, 300);
    for id in &ids {
        assert_eq!(followed.next().await.unwrap().unwrap().id, *id);
    }
    let health = foundation.health().await;
    assert_eq!((health.condition(), health.services[1].name.as_str()), (Condition::Degraded, "event_store"));
    assert!(health.services[1].to_string().contains("no space left on device"), "{health}");

    disk.set_full(false);
    store.wait_until_up(SOON).await.unwrap();
    assert!(store.outage().is_none() && foundation.health().await.is_healthy());
    let next = store.append(event("counted", 300)).await.unwrap();
    // Between the two are the store's report of its outage, and other noted events.
    assert_eq!(followed.next().await.unwrap().unwrap().kind, EventStore::EVENT_STORE_OUTAGE);
    assert_eq!(followed.next().await.unwrap().unwrap().id, next);
    assert_eq!(pid(foundation.production(), &EventStore::NAME), actor);
    assert!(store.verify(|_| ()).await.unwrap().is_clean());
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_disk_that_stays_full_ends_no_service_and_the_shutdown_is_orderly() {
    let disk = TestDisk::default();
    let foundation = configured().events(disk.in_memory()).clock(|| at(7)).start().await.unwrap();
    let store = foundation.events();
    fill(&disk, store).await;
    // Several tries later.
    let before = store.wait_until_up(Duration::from_millis(400)).await.unwrap_err();
    assert!(matches!(before, RegistryError::WaitTimedOut { .. }), "{before}");
    let error = foundation.config().update("server.port", 1).await.unwrap_err();
    let ConfigUpdateError::NotRecorded(cause) = error else { panic!("{error}") };
    assert_eq!(assert_unavailable(cause)[0].kind().as_str(), "config_updated");
    assert_eq!(foundation.production().registry().counters().counter("supervisor.restarts").unwrap_or_default(), 0);
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_store_that_is_killed_while_its_disk_is_gone_restarts_reads_and_waits_for_its_log() {
    let disk = TestDisk::default();
    let foundation = Foundation::builder().test_events(disk.in_memory()).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let store = namespace.events();
    let id = store.append(event("counted", 1)).await.unwrap();
    disk.set_gone(true);
    namespace.kill(&EventStore::NAME).await.unwrap();
    let error = store.append(event("counted", 2)).await.unwrap_err();
    assert!(
        matches!(&error, EventStoreError::Unavailable { cause, .. } if cause.to_string().ends_with("no such device"))
    );
    assert_eq!(store.get(id).await.unwrap().unwrap().payload, 1);

    disk.set_gone(false);
    store.wait_until_up(SOON).await.unwrap();
    store.append_batch(error.into_batch()).await.unwrap();
    let numbers = Query::new().kind("counted".parse().unwrap());
    assert_eq!(payloads(&store.query(numbers).await.unwrap()), [1, 2]);
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

const CLERK: ServiceKey<Command> = ServiceKey::from_static("clerk");

/// Kills the clerk until its application has given up so often that production is restarted as a whole.
async fn collapse_production(foundation: &Foundation) {
    let actor = || foundation.production().registry().lookup_any(&EventStore::NAME);
    let store = actor().unwrap().actor_id();
    while !actor().is_ok_and(|now| now.actor_id() != store) {
        if let Ok(clerk) = foundation.production().lookup(&CLERK) {
            clerk.kill_and_wait(None).await.unwrap();
        }
        tokio::task::yield_now().await;
    }
}

async fn production_comes_back_without_its_log(disk: &TestDisk, storage: EventStorage) {
    let builder = configured().events(storage).intensity(RestartIntensity::new(0, Duration::from_secs(5)));
    let builder = builder.child(|services| services.child_spec(&CLERK, || (Probe::default(), ())));
    let foundation = builder.start().await.unwrap();
    let (services, store) = (foundation.production(), foundation.events());
    services.config().update("server.port", 1).await.unwrap();
    let id = store.append(event("counted", 1)).await.unwrap();
    disk.set_gone(true);
    collapse_production(&foundation).await;

    services.wait_for_service(&CLERK, SOON).await.unwrap();
    assert_eq!(services.config().get::<u16>("server.port").unwrap(), 1);
    let cause = store.outage().unwrap().cause.to_string();
    assert!(cause.ends_with("no such device"), "{cause}");
    for error in [store.append(event("counted", 2)).await.unwrap_err(), store.get(id).await.unwrap_err()] {
        assert!(matches!(error, EventStoreError::Unavailable { .. }), "{error}");
    }
    assert_eq!(foundation.health().await.condition(), Condition::Degraded);
    assert!(!foundation.registry().has_collapsed());

    disk.set_gone(false);
    store.wait_until_up(SOON).await.unwrap();
    store.append(event("counted", 2)).await.unwrap();
    let numbers = Query::new().kind("counted".parse().unwrap());
    assert_eq!(payloads(&store.query(numbers).await.unwrap()), [1, 2]);
    services.config().update("server.port", 2).await.unwrap();
    assert!(foundation.health().await.is_healthy());
    foundation.shutdown().await;
}

#[tokio::test]
async fn production_that_collapses_while_its_log_is_gone_serves_without_it_and_records_when_it_returns() {
    let disk = TestDisk::default();
    production_comes_back_without_its_log(&disk, disk.in_memory()).await;
}

#[tokio::test]
async fn production_that_collapses_while_its_file_is_gone_serves_without_it_and_records_when_it_returns() {
    let (disk, directory) = (TestDisk::default(), tempfile::tempdir().unwrap());
    production_comes_back_without_its_log(&disk, disk.on(directory.path())).await;
}

#[tokio::test(start_paused = true)]
async fn production_is_restarted_as_a_whole_after_the_backoff_of_the_services() {
    let builder = Foundation::builder().intensity(RestartIntensity::new(0, Duration::from_secs(5)));
    let builder = builder.child(|services| services.child_spec(&CLERK, || (Probe::default(), ())));
    let foundation = builder.service_backoff(Backoff::Constant(Duration::from_secs(7))).start().await.unwrap();
    let (begun, production) = (Instant::now(), foundation.production());
    // The application is restarted three times; its fourth failure ends production itself.
    for _ in 0..=RestartIntensity::default().max_restarts {
        assert_eq!(begun.elapsed(), Duration::ZERO);
        production.wait_for_service(&CLERK, SOON).await.unwrap().kill_and_wait(None).await.unwrap();
    }
    production.wait_for_service(&CLERK, SOON).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(7), "{:?}", begun.elapsed());
    assert!(foundation.health().await.is_healthy());
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_a_restarting_store_as_long_as_an_append_does() {
    for (seconds, comes_in_time) in [(1, true), (3, false)] {
        let backoff = Backoff::Constant(Duration::from_secs(seconds));
        let foundation = Foundation::builder().service_backoff(backoff).start().await.unwrap();
        let store = foundation.events();
        let id = store.append(event("counted", 1)).await.unwrap();
        let actor = foundation.production().registry().lookup_any(&EventStore::NAME).unwrap();
        actor.cell().kill_and_wait(None).await.unwrap();
        let begun = Instant::now();
        let (got, found, recent, stats) = futures::join!(
            async { store.get(id).await.map(|event| event.is_some()) },
            async { store.query(Query::new()).await.map(|events| events.iter().any(|event| event.id == id)) },
            async { store.recent(10).await.map(|events| !events.is_empty()) },
            async { store.stats().await.map(|stats| stats.recorded > 0) },
        );
        for read in [got, found, recent, stats] {
            match read {
                Ok(found) => assert!(found && comes_in_time),
                Err(error) => {
                    assert!(matches!(error, EventStoreError::NotDelivered { .. }) && !comes_in_time, "{error}")
                }
            }
        }
        let waited = Duration::from_secs(seconds.min(2));
        assert!(
            begun.elapsed() >= waited && begun.elapsed() < waited + Duration::from_millis(500),
            "{:?}",
            begun.elapsed()
        );
        foundation.shutdown().await;
    }
}

/// The retention has sent its request, which the writer will never reach.
#[tokio::test]
async fn a_log_that_fails_while_the_retention_waits_for_it_is_opened_again_all_the_same() {
    let (begun, mut beginning) = oneshot::channel();
    let (release, released) = std::sync::mpsc::channel();
    let (kept, first) = (MemoryLog::new("production"), Mutex::new(Some((begun, released))));
    let storage = EventStorage::with(move |_| {
        let mut first = first.lock().unwrap().take();
        Ok(FaultyLog::new(kept.clone(), move |log, group, now| {
            let Some((begun, released)) = first.take() else { return log.commit(group, now) };
            begun.send(()).unwrap();
            released.recv().unwrap();
            Err(LogError::new("committing", "/dev/full", "no space left on device"))
        }))
    });
    let (begun_looks, ended_looks) = <[Arc<AtomicU64>; 2]>::default().into();
    let (begins, ends) = (Arc::clone(&begun_looks), Arc::clone(&ended_looks));
    let clock = move || {
        begins.fetch_add(1, Ordering::SeqCst);
        at(1)
    };
    let storage = storage.retention(Retention::new().max_count(10).every(Duration::from_millis(1)));
    let foundation = Foundation::builder().events(storage).clock(clock).start().await.unwrap();
    let count = move |_: &foundation::telemetry::TelemetryEvent<'_>| _ = ends.fetch_add(1, Ordering::SeqCst);
    foundation.telemetry().attach("looks", ["event_store.retention"], count).unwrap();

    let store = foundation.events().clone();
    let append = tokio::spawn(async move { store.append(event("counted", 1)).await });
    (&mut beginning).await.unwrap();
    // A retention run that has begun and does not finish is waiting. The clock was read for the append, too.
    let waits = || begun_looks.load(Ordering::SeqCst) > ended_looks.load(Ordering::SeqCst) + 1;
    let mut turns = 0;
    while turns < 100 {
        turns = if waits() { turns + 1 } else { 0 };
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    let error = tokio::time::timeout(SOON, append).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "committing failed in /dev/full: no space left on device");
    foundation.events().wait_until_up(SOON).await.unwrap();
    foundation.events().append(event("counted", 2)).await.unwrap();
    foundation.shutdown().await;
}

#[tokio::test]
async fn noted_events_are_flushed_before_the_store_is_gone() {
    let (storage, kept) = faulty(|_| None);
    let foundation = Foundation::builder().events(storage).start().await.unwrap();
    for number in 0..1_000 {
        foundation.events().note(vec![event("counted", number)]).unwrap();
    }
    foundation.shutdown().await;
    assert_eq!(kept.stats().recorded, 1_000);
}

#[foundation::test(start_paused = true)]
async fn a_store_that_no_lookup_finds_is_reported_and_does_no_harm(namespace: TestNamespace) {
    let store = namespace.events();
    let id = store.append(event("counted", 1)).await.unwrap();
    unregister_event_store(namespace.services());
    let message = |error: EventStoreError| error.to_string().starts_with("no service event_store in namespace test:");
    assert!(message(store.get(id).await.unwrap_err()));
    assert!(message(store.chain(id).await.unwrap_err()));
    assert!(message(store.recent(1).await.unwrap_err()));
    assert!(message(store.prune_before(at(1)).await.unwrap_err()));
    assert_eq!(store.append_expecting(Some(id), counted(0..2)).await.unwrap_err().into_batch().len(), 2);
}
