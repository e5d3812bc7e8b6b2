//! The event store: positions, keys, cursors, chains, retention, transfer, and failures of its log.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foundation::ractor::{Actor, ActorProcessingErr, ActorRef};
use foundation::{
    Backoff, Condition, ConfigUpdateError, Event, EventError, EventId, EventLog, EventStorage, EventStore,
    EventStoreError, Foundation, LogFailure, MemoryLog, Namespace, NewEvent, Order, Query, RegistryError,
    RestartIntensity, Retention, ServiceKey, SqliteLog, SqliteOptions, SubscriptionSpec, TestNamespace, TransferError,
};
use foundation_testkit::{
    Fault, Faults, FaultyLog, SOON, TestClock, assert_error, at, configured, crash, pid, unregister_event_store,
};
use futures::future::join_all;
use tokio::sync::oneshot;
use tokio::time::Instant;

fn event(kind: &str, payload: u64) -> NewEvent {
    NewEvent::new(kind).unwrap().payload(payload).unwrap()
}

fn counted(numbers: std::ops::Range<u64>) -> Vec<NewEvent> {
    numbers.map(|number| event("counted", number)).collect()
}

fn payloads_of(events: &[NewEvent]) -> Vec<u64> {
    events.iter().map(|event| event.clone().record(EventId::FIRST, "", at(0)).payload.as_u64().unwrap()).collect()
}

fn payloads(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.payload.as_u64().unwrap()).collect()
}

async fn one(store: &EventStore, id: EventId) -> Arc<Event> {
    store.get(id).await.unwrap().unwrap()
}

/// A log in memory that works on a thread of its own and fails like this, and a handle on its events.
fn faulty(fails: fn(usize) -> Option<Fault>) -> (EventStorage, MemoryLog) {
    let (kept, faults) = (MemoryLog::new("production"), Faults::new(fails));
    let log = kept.clone();
    (EventStorage::with(move |_| Ok(faults.of(log.clone()))), kept)
}

// ---- writing ----

#[foundation::test]
async fn an_append_that_expects_another_position_is_a_conflict_and_is_given_back(namespace: TestNamespace) {
    let store = namespace.events();
    assert_eq!(store.position(), None);
    let first = store.append_expecting(None, counted(0..2)).await.unwrap();
    assert_eq!(store.position(), Some(first[1]));
    let error = store.append_expecting(Some(first[0]), counted(2..3)).await.unwrap_err();
    assert_eq!(error.to_string(), "the log is at event 2, and the writer expected it at event 1");
    let EventStoreError::Log(EventError::Conflict { actual, .. }) = &error else { panic!("{error}") };
    let actual = *actual;
    store.append_expecting(actual, error.into_batch()).await.unwrap();
    assert_eq!(payloads(&store.query(Query::new()).await.unwrap()), [0, 1, 2]);
}

#[foundation::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_appends_that_expect_one_position_exactly_one_succeeds(namespace: TestNamespace) {
    let racers = (0..16).map(|number| {
        let store = namespace.events().clone();
        tokio::spawn(async move { store.append_expecting(None, vec![event("won", number)]).await })
    });
    let outcomes = join_all(racers).await;
    assert_eq!(outcomes.into_iter().filter(|outcome| outcome.as_ref().unwrap().is_ok()).count(), 1);
    assert_eq!(namespace.events().stats().await.unwrap().recorded, 1);
}

#[foundation::test]
async fn an_append_is_repeated_without_harm_under_one_key_even_over_a_restart(namespace: TestNamespace) {
    let store = namespace.events();
    let paid = || event("paid", 12).idempotency_key("order 7");
    let first = store.append(paid()).await.unwrap();
    assert_eq!(store.append(paid()).await.unwrap(), first);
    crash(&namespace, &EventStore::NAME).await;
    assert_eq!(store.append(paid()).await.unwrap(), first);
    let paid = Query::new().kind("paid".parse().unwrap());
    assert_eq!(store.query(paid).await.unwrap().len(), 1);
}

#[foundation::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_producers_get_ids_without_gap_or_duplicate_from_a_log_on_its_own_thread(_namespace: TestNamespace) {
    let (storage, _) = faulty(|_| None);
    let foundation = Foundation::builder().events(storage).start().await.unwrap();
    let producers = (0..16).map(|_| {
        let store = foundation.events().clone();
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for number in 0..100 {
                ids.push(store.append(event("counted", number)).await.unwrap().get());
                assert!(store.position().unwrap().get() >= *ids.last().unwrap());
            }
            ids
        })
    });
    let mut ids: Vec<_> = join_all(producers).await.into_iter().flat_map(Result::unwrap).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(1..=1_600));
    assert!(foundation.events().verify(|_| ()).await.unwrap().is_clean());
    foundation.shutdown().await;
}

// ---- a store that is restarted ----

#[foundation::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_wait_for_a_store_that_is_restarted_and_each_is_recorded_once(namespace: TestNamespace) {
    let (stop, _) = tokio::sync::watch::channel(false);
    let (begun, mut beginnings) = tokio::sync::mpsc::unbounded_channel();
    let producers = (0..8).map(|_| {
        let (store, stop, begun) = (namespace.events().clone(), stop.subscribe(), begun.clone());
        tokio::spawn(async move {
            let mut ids = Vec::new();
            while !*stop.borrow() {
                ids.push(store.append(event("counted", 1)).await.unwrap().get());
                let _ = begun.send(());
                tokio::task::yield_now().await;
            }
            ids
        })
    });
    let producers: Vec<_> = producers.collect();
    for _ in 0..3 {
        beginnings.recv().await.unwrap();
        crash(&namespace, &EventStore::NAME).await;
        while beginnings.try_recv().is_ok() {}
        beginnings.recv().await.unwrap();
    }
    stop.send(true).unwrap();
    let ids: Vec<u64> = join_all(producers).await.into_iter().flat_map(Result::unwrap).collect();
    let counted =
        namespace.events().query(Query::new().kind("counted".parse().unwrap()).limit(usize::MAX)).await.unwrap();
    let mut recorded: Vec<_> = counted.iter().map(|event| event.id.get()).collect();
    let mut returned = ids;
    returned.sort_unstable();
    recorded.sort_unstable();
    assert_eq!(returned, recorded);
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_store_takes_the_configured_time_and_none_if_the_store_cannot_return() {
    let foundation = Foundation::builder().start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let store = namespace.events().clone();
    unregister_event_store(&namespace);
    let begun = tokio::time::Instant::now();
    let error = store.append(event("counted", 1)).await.unwrap_err();
    assert!(error.to_string().starts_with("no service event_store in namespace test:"), "{error}");
    assert_eq!((begun.elapsed(), error.into_batch().len()), (Duration::from_secs(2), 1));

    namespace.cleanup().await.unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(store.append(event("counted", 1)).await.unwrap_err().into_batch().len(), 1);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    foundation.shutdown().await;
}

// ---- failing ----

#[tokio::test]
async fn a_log_that_fails_is_opened_again_with_all_its_events_and_the_failure_is_recorded() {
    let (storage, _) = faulty(|commit| (commit == 2).then_some(Fault::Before));
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
    let outages = store.query(Query::new().kind(EventStore::OUTAGE)).await.unwrap();
    assert_eq!(outages[0].payload["tries"], 1);
    assert!(outages[0].payload["cause"].to_string().contains("the disk took nothing"), "{:?}", outages[0].payload);
    assert_eq!(pid(foundation.production(), &EventStore::NAME), actor, "no actor had to be restarted for it");
    foundation.shutdown().await;
}

/// A log that accepts nothing while its disk is full, and cannot even be opened while its disk is gone.
#[derive(Clone, Default)]
struct Disk {
    is_full: Arc<AtomicBool>,
    is_gone: Arc<AtomicBool>,
}

impl Disk {
    fn storage<L: EventLog>(
        &self,
        open: impl Fn(Namespace) -> Result<L, LogFailure> + Send + Sync + 'static,
    ) -> EventStorage {
        let disk = self.clone();
        EventStorage::with(move |namespace| {
            if disk.is_gone.load(Ordering::SeqCst) {
                return Err(LogFailure::new("opening the event log", "a file", "no such device"));
            }
            let is_full = Arc::clone(&disk.is_full);
            Ok(FaultyLog::new(open(namespace)?, move |log, group, now| match is_full.load(Ordering::SeqCst) {
                true => Err(LogFailure::new("recording events", "a file", "no space left on device")),
                false => log.commit(group, now),
            }))
        })
    }

    fn in_memory(&self) -> EventStorage {
        let kept = MemoryLog::new("production");
        self.storage(move |_| Ok(kept.clone()))
    }

    fn on(&self, directory: &Path) -> EventStorage {
        let directory = directory.to_owned();
        self.storage(move |namespace| SqliteLog::open_in(&directory, namespace, SqliteOptions::default()))
    }

    /// Fills the disk, and lets the store notice.
    async fn fill(&self, store: &EventStore) {
        self.is_full.store(true, Ordering::SeqCst);
        let error = store.append(event("unclear", 0)).await.unwrap_err();
        assert!(matches!(error, EventStoreError::NoAnswer { .. }), "{error}");
    }

    fn empty(&self) {
        self.is_full.store(false, Ordering::SeqCst);
    }
}

fn assert_unavailable(error: EventStoreError) -> Vec<NewEvent> {
    let EventStoreError::Unavailable { since, cause, .. } = &error else { panic!("{error}") };
    assert_eq!(
        (*since, cause.to_string().as_str()),
        (at(7), "recording events failed in a file: no space left on device")
    );
    error.into_batch()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_appends_at_once_reads_continue_and_the_store_recovers_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let builder = Foundation::builder().events(disk.on(directory.path())).clock(|| at(7));
    let foundation = builder.start().await.unwrap();
    let store = foundation.events();
    let actor = pid(foundation.production(), &EventStore::NAME);
    let mut followed = store.subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
    let ids = store.append_batch(counted(0..300)).await.unwrap();

    disk.fill(store).await;
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

    disk.empty();
    store.wait_until_up(SOON).await.unwrap();
    assert!(store.outage().is_none() && foundation.health().await.is_healthy());
    let next = store.append(event("counted", 300)).await.unwrap();
    // Between the two are the store's report of its outage, and other noted events.
    assert_eq!(followed.next().await.unwrap().unwrap().kind, EventStore::OUTAGE);
    assert_eq!(followed.next().await.unwrap().unwrap().id, next);
    assert_eq!(pid(foundation.production(), &EventStore::NAME), actor);
    assert!(store.verify(|_| ()).await.unwrap().is_clean());
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_disk_that_stays_full_ends_no_service_and_the_shutdown_is_orderly() {
    let disk = Disk::default();
    let foundation = configured().events(disk.in_memory()).clock(|| at(7)).start().await.unwrap();
    let store = foundation.events();
    disk.fill(store).await;
    // Several tries later.
    let before = store.wait_until_up(Duration::from_millis(400)).await.unwrap_err();
    assert!(matches!(before, RegistryError::WaitTimedOut { .. }), "{before}");
    let error = foundation.config().update("server.port", 1).await.unwrap_err();
    let ConfigUpdateError::NotRecorded(cause) = error else { panic!("{error}") };
    assert_eq!(assert_unavailable(cause)[0].kind().as_str(), "config_updated");
    assert_eq!(foundation.production().counters().counter("supervisor.restarts").unwrap_or_default(), 0);
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_store_that_is_killed_while_its_disk_is_gone_restarts_reads_and_waits_for_its_log() {
    let disk = Disk::default();
    let foundation = Foundation::builder().test_events(disk.in_memory()).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let store = namespace.events();
    let id = store.append(event("counted", 1)).await.unwrap();
    disk.is_gone.store(true, Ordering::SeqCst);
    namespace.kill(&EventStore::NAME).await.unwrap();
    let error = store.append(event("counted", 2)).await.unwrap_err();
    assert!(
        matches!(&error, EventStoreError::Unavailable { cause, .. } if cause.to_string().ends_with("no such device"))
    );
    assert_eq!(store.get(id).await.unwrap().unwrap().payload, 1);

    disk.is_gone.store(false, Ordering::SeqCst);
    store.wait_until_up(SOON).await.unwrap();
    store.append_batch(error.into_batch()).await.unwrap();
    let numbers = Query::new().kind("counted".parse().unwrap());
    assert_eq!(payloads(&store.query(numbers).await.unwrap()), [1, 2]);
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

/// Does nothing, until it is killed.
struct Clerk;

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Clerk {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

const CLERK: ServiceKey<()> = ServiceKey::new("clerk");

/// Kills the clerk until its application has given up so often that production is restarted as a whole.
async fn collapse_production(foundation: &Foundation) {
    let actor = || foundation.registry().get_all_services(Namespace::Production).remove(&EventStore::NAME);
    let store = actor().unwrap().get_id();
    while actor().is_none_or(|now| now.get_id() == store) {
        if let Ok(clerk) = foundation.production().lookup(&CLERK) {
            clerk.kill_and_wait(None).await.unwrap();
        }
        tokio::task::yield_now().await;
    }
}

async fn production_comes_back_without_its_log(disk: &Disk, storage: EventStorage) {
    let builder = configured().events(storage).intensity(RestartIntensity::new(0, Duration::from_secs(5)));
    let builder = builder.child(|services| services.child_spec(&CLERK, || (Clerk, ())));
    let foundation = builder.start().await.unwrap();
    let (services, store) = (foundation.production(), foundation.events());
    services.config().update("server.port", 1).await.unwrap();
    let id = store.append(event("counted", 1)).await.unwrap();
    disk.is_gone.store(true, Ordering::SeqCst);
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

    disk.is_gone.store(false, Ordering::SeqCst);
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
    let disk = Disk::default();
    production_comes_back_without_its_log(&disk, disk.in_memory()).await;
}

#[tokio::test]
async fn production_that_collapses_while_its_file_is_gone_serves_without_it_and_records_when_it_returns() {
    let (disk, directory) = (Disk::default(), tempfile::tempdir().unwrap());
    production_comes_back_without_its_log(&disk, disk.on(directory.path())).await;
}

#[tokio::test(start_paused = true)]
async fn production_is_restarted_as_a_whole_after_the_backoff_of_the_services() {
    let builder = Foundation::builder().intensity(RestartIntensity::new(0, Duration::from_secs(5)));
    let builder = builder.child(|services| services.child_spec(&CLERK, || (Clerk, ())));
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
        foundation.registry().get_all_services(Namespace::Production)[&EventStore::NAME]
            .kill_and_wait(None)
            .await
            .unwrap();
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
            Err(LogFailure::new("committing", "/dev/full", "no space left on device"))
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
    let count = move |_: &foundation::TelemetryEvent<'_>| _ = ends.fetch_add(1, Ordering::SeqCst);
    foundation.telemetry().attach("looks", ["event_store.retention"], count).await.unwrap();

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
    unregister_event_store(&namespace);
    let message = |error: EventStoreError| error.to_string().starts_with("no service event_store in namespace test:");
    assert!(message(store.get(id).await.unwrap_err()));
    assert!(message(store.chain(id).await.unwrap_err()));
    assert!(message(store.recent(1).await.unwrap_err()));
    assert!(message(store.prune_before(at(1)).await.unwrap_err()));
    assert_eq!(store.append_expecting(Some(id), counted(0..2)).await.unwrap_err().into_batch().len(), 2);
}

// ---- reading ----

#[foundation::test]
async fn pages_by_cursor_show_each_event_once_while_others_are_recorded_and_pruned(namespace: TestNamespace) {
    let store = namespace.events();
    store.append_batch(counted(0..10)).await.unwrap();
    let (mut seen, mut page) = (Vec::new(), Query::new().order(Order::Descending).limit(3));
    loop {
        let events = store.query(page.clone()).await.unwrap();
        let Some(last) = events.last() else { break };
        seen.extend(payloads(&events));
        page = page.after(last.id);
        store.append(event("counted", 99)).await.unwrap();
    }
    assert_eq!(seen, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(payloads(&store.recent(2).await.unwrap()), [99, 99]);
}

#[foundation::test]
async fn a_chain_crosses_requests_and_begins_with_the_oldest_ancestor(namespace: TestNamespace) {
    let store = namespace.events();
    let placed = store.append(NewEvent::new("order_placed").unwrap().source("shop")).await.unwrap();
    let placed = one(store, placed).await;
    store.append(event("unrelated", 0)).await.unwrap();
    let paid = store.append(event("order_paid", 1).child_of(&placed)).await.unwrap();
    let paid = one(store, paid).await;
    // A request of its own, and then one that continues in it.
    let packed = store.append(event("parcel_packed", 2).caused_by(&paid)).await.unwrap();
    let packed = one(store, packed).await;
    let sent = store.append(event("parcel_sent", 3).child_of(&packed)).await.unwrap();
    store.append(event("order_confirmed", 4).child_of(&placed)).await.unwrap();
    let drawn = "\
1 order_placed by shop
├─ 3 order_paid
│  └─ 4 parcel_packed
│     └─ 5 parcel_sent
└─ 6 order_confirmed";
    for id in [placed.id, packed.id, sent] {
        assert_eq!(store.chain(id).await.unwrap().unwrap().to_string(), drawn);
    }
    assert_eq!(store.by_correlation(packed.correlation_id).await.unwrap().len(), 2);
    assert_eq!(store.chain(EventId::new(77).unwrap()).await.unwrap(), None);
}

// ---- retention ----

#[tokio::test(start_paused = true)]
async fn fnd_7_retention_prunes_by_age_and_count_is_reported_and_continues_after_a_restart() {
    let clock = TestClock::default();
    let minute = Duration::from_secs(60);
    // By a clock that is set by hand, each time of day is exact.
    let retention =
        Retention::new().max_age(minute).max_count(1_500).every(minute).jump_confirmed_after(Duration::ZERO);
    let storage = EventStorage::memory().retention(retention);
    let foundation = Foundation::builder().clock(clock.read()).test_events(storage).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let (sender, mut looks) = tokio::sync::mpsc::unbounded_channel();
    let send = move |event: &foundation::TelemetryEvent<'_>| sender.send(event.metadata.clone()).unwrap();
    namespace.telemetry().attach("looks", ["event_store.retention"], send).await.unwrap();

    clock.set(100);
    namespace.events().append_batch(counted(0..500)).await.unwrap();
    clock.set(200);
    namespace.events().append_batch(counted(500..2_500)).await.unwrap();
    let look = looks.recv().await.unwrap();
    assert_eq!((&look["by_age"], &look["by_count"]), (&500.into(), &500.into()));
    assert_eq!(namespace.events().stats().await.unwrap().held, 1_500);

    crash(&namespace, &EventStore::NAME).await;
    clock.set(300);
    let look = loop {
        let look = looks.recv().await.unwrap();
        if look["by_age"] != 0 || look["by_count"] != 0 {
            break look;
        }
    };
    assert!(look["by_age"].as_u64().unwrap() >= 1_500, "{look}");
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

// ---- export and import ----

#[foundation::test]
async fn exported_events_are_imported_with_their_ids_and_new_ids_follow_them(namespace: TestNamespace) {
    let store = namespace.events();
    store.append_batch(counted(0..1_200)).await.unwrap();
    let (mut lines, mut progress) = (Vec::new(), Vec::new());
    let written = store.export(Query::new().after(EventId::FIRST), &mut lines, |count| progress.push(count)).await;
    assert_eq!((written.unwrap(), progress), (1_199, vec![500, 1_000, 1_199]));

    let other = Foundation::builder().start().await.unwrap();
    assert_eq!(other.events().import(&lines[..], |_| ()).await.unwrap(), 1_199);
    let [theirs, ours] = [other.events(), store].map(|store| store.query(Query::new().after(EventId::FIRST)));
    assert_eq!(theirs.await.unwrap(), ours.await.unwrap());
    assert_eq!(other.events().position(), EventId::new(1_200));
    assert_eq!(other.events().append(event("counted", 0)).await.unwrap().get(), 1_201);
    assert!(other.events().verify(|_| ()).await.unwrap().is_clean());
    other.shutdown().await;
}

#[foundation::test]
async fn a_forged_or_broken_line_is_refused_by_its_number_and_the_page_with_it(namespace: TestNamespace) {
    let store = namespace.events();
    store.append_batch(counted(0..3)).await.unwrap();
    let mut lines = Vec::new();
    store.export(Query::new(), &mut lines, |_| ()).await.unwrap();
    let good = String::from_utf8(lines).unwrap();
    let other = Foundation::builder().start().await.unwrap();
    let deep = format!("\n{}", "[".repeat(1_000_000));
    let cases = [
        (good.replace("\"payload\":1", "\"payload\":7"), "line 2 cannot be imported: event 2 has the checksum"),
        (good.replace("\"id\":1", "\"id\":0"), "line 1 cannot be imported: "),
        (format!("{good}\n\nno json"), "line 6 cannot be imported: "),
        (deep, "line 2 cannot be imported: "),
        (format!("{good}{good}"), "event 1 cannot be imported: event 4 comes next"),
        ("x".repeat((16 << 20) + 1), "line 1 cannot be imported: it has more than 16777216 bytes"),
    ];
    for (text, expected) in cases {
        let error = other.events().import(text.as_bytes(), |_| ()).await.unwrap_err();
        let TransferError::Store { events: 0, cause } = &error else { panic!("{error}") };
        assert!(cause.to_string().starts_with(expected), "{cause}");
        assert_eq!(other.events().position(), None);
    }
    other.shutdown().await;
}

// ---- hostile input ----

#[foundation::test]
async fn hostile_queries_find_nothing_and_do_no_harm(namespace: TestNamespace) {
    let store = namespace.events();
    let long = "/a".repeat(100_000);
    assert_error!(Query::new().payload("a' or 1=1--", 1), EventError::InvalidPointer { .. });
    store.append_batch(counted(0..3)).await.unwrap();
    let sources = ["' or '1'='1", "\u{0}", "%", ""].map(|source| Query::new().source(source));
    let pointers = ["/' or 1=1--", "/%", "/\u{0}", &long].map(|pointer| Query::new().payload(pointer, 1).unwrap());
    for query in sources.into_iter().chain(pointers) {
        assert_eq!(store.query(query).await.unwrap(), []);
    }
    let far = Query::new().after(EventId::new(u64::MAX).unwrap()).offset(usize::MAX).limit(usize::MAX);
    assert_eq!(store.query(far).await.unwrap(), []);
    assert_eq!(store.get(EventId::new(u64::MAX).unwrap()).await.unwrap(), None);
    assert_eq!(store.stats().await.unwrap().held, 3);
}
