//! The services on files: the state in the next process, and the effects of a failing disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foundation::config::{ChangeNote, ConfigUpdateError};
use foundation::events::{
    DurableSubscription, Event, EventId, EventKind, EventStorage, EventStoreError, LogError, Query, SqliteLog,
    SqliteOptions, SubscriptionError, SubscriptionName, SubscriptionSpec,
};
use foundation::{EventStore, Foundation, NewEvent};
use foundation_testkit::{ErrorInjector, FaultyDisk, InjectedError, SOON, WrittenPart, assert_error, configured, soon};

const COUNTED: EventKind = EventKind::from_static("counted");
const BILLING: SubscriptionName = SubscriptionName::from_static("billing");

/// An event that can be appended again, and of which a few make a page.
fn counted(number: usize) -> NewEvent {
    let payload = serde_json::json!({ "number": number, "weight": "x".repeat(1_000) });
    NewEvent::of(COUNTED).payload(payload).unwrap().idempotency_key(number.to_string())
}

fn batch(numbers: std::ops::Range<usize>) -> Vec<NewEvent> {
    numbers.map(counted).collect()
}

/// Appends, and again until it is answered.
async fn insist(store: &EventStore, numbers: std::ops::Range<usize>) {
    let recorded = async {
        while store.append_batch(batch(numbers.clone())).await.is_err() {
            store.wait_until_up(SOON).await.unwrap();
        }
    };
    soon("an answer", recorded).await;
}

async fn numbers(foundation: &Foundation) -> Vec<usize> {
    let events = foundation.events().query(Query::new().kind(COUNTED)).await.unwrap();
    let numbers = events.iter().map(|event| event.payload["number"].as_u64().unwrap());
    numbers.map(|number| number.try_into().unwrap()).collect()
}

async fn on(storage: EventStorage) -> Foundation {
    configured().events(storage).start().await.unwrap()
}

async fn on_files(directory: &Path) -> Foundation {
    on(EventStorage::sqlite(directory)).await
}

async fn assert_sound(foundation: &Foundation) {
    let verification = foundation.events().verify(|_| ()).await.unwrap();
    assert!(verification.is_clean(), "{verification}");
    let events = foundation.events().query(Query::new()).await.unwrap();
    assert!(events.iter().map(|event| event.id.get()).eq(1..=events.len() as u64), "ids have gaps");
}

// ---- the next process ----

#[tokio::test]
async fn a_store_on_files_has_its_events_again_in_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    for start in 0..3 {
        let foundation = on_files(directory.path()).await;
        let id = foundation.events().append(counted(start)).await.unwrap();
        assert_eq!(id.get(), 1 + start as u64);
        assert_eq!(numbers(&foundation).await, (0..=start).collect::<Vec<_>>());
        foundation.shutdown().await;
    }
    assert!(directory.path().join("production.db").is_file());
}

#[tokio::test]
async fn a_directory_has_one_foundation_at_a_time_and_the_error_of_another_names_the_holder() {
    let directory = tempfile::tempdir().unwrap();
    let foundation = on_files(directory.path()).await;
    let other = Foundation::builder().events(EventStorage::sqlite(directory.path())).start().await;
    let refused = other.map(drop).unwrap_err().to_string();
    assert!(refused.contains("production.db") && refused.contains("this process has it open"), "{refused}");
    foundation.events().append(counted(0)).await.unwrap();
    foundation.shutdown().await;
    on_files(directory.path()).await.shutdown().await;
}

#[tokio::test]
async fn fnd_7_noted_events_are_on_the_disk_when_the_foundation_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let foundation = on_files(directory.path()).await;
    for number in 0..500 {
        foundation.events().note(batch(number..number + 1)).unwrap();
    }
    foundation.shutdown().await;

    let foundation = on_files(directory.path()).await;
    assert_eq!(numbers(&foundation).await, (0..500).collect::<Vec<_>>());
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_durable_subscription_continues_in_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    for start in 0..3 {
        let foundation = on_files(directory.path()).await;
        let spec = SubscriptionSpec::from_beginning().kind(COUNTED);
        let mut billing = foundation.events().subscribe_durable(BILLING, spec).await.unwrap();
        assert_eq!(billing.acknowledged().map_or(0, EventId::get), 3 * start as u64);
        // An event that was delivered and not acknowledged before is delivered again, and waits for no append.
        let mut shown = Vec::new();
        if start > 0 {
            shown.push(next(&mut billing).await);
        }
        foundation.events().append_batch(batch(start * 4..start * 4 + 4)).await.unwrap();
        while shown.len() < 4 {
            shown.push(next(&mut billing).await);
        }
        let numbers: Vec<_> = shown.iter().map(|event| event.payload["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (3 * start as u64..).take(4).collect::<Vec<_>>());
        billing.ack(shown[2].id).await.unwrap();
        drop(billing);
        foundation.shutdown().await;
    }
}

async fn next(subscription: &mut DurableSubscription) -> Arc<Event> {
    soon("the next event", subscription.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn fnd_7_changes_at_run_time_are_kept_in_the_next_process_with_their_history() {
    let directory = tempfile::tempdir().unwrap();
    let foundation = on_files(directory.path()).await;
    let alice = foundation.config().with_note(ChangeNote::by("alice"));
    alice.update("server.port", 1).await.unwrap();
    alice.update("limits.ratio", 0.25).await.unwrap();
    alice.reset("limits.ratio").await.unwrap();
    foundation.shutdown().await;

    let foundation = on_files(directory.path()).await;
    assert_eq!(foundation.config().get::<u16>("server.port").unwrap(), 1);
    assert_eq!(foundation.config().get::<f64>("limits.ratio").unwrap(), 0.5);
    let history = foundation.config().history("server").await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].note, ChangeNote::by("alice"));
    foundation.config().rollback(history[0].event).await.unwrap();
    foundation.config().reset("server.port").await.unwrap();
    foundation.shutdown().await;

    let foundation = on_files(directory.path()).await;
    assert_eq!(foundation.config().get::<u16>("server.port").unwrap(), 8080);
    foundation.shutdown().await;
}

// ---- the file is moved away ----

#[tokio::test]
async fn no_append_is_acknowledged_once_the_file_is_gone_and_the_file_is_not_recreated() {
    let directory = tempfile::tempdir().unwrap();
    let foundation = on_files(directory.path()).await;
    let store = foundation.events();
    store.append_batch(batch(0..20)).await.unwrap();
    let file = directory.path().join("production.db");
    std::fs::remove_file(&file).unwrap();

    let error = store.append(counted(20)).await.unwrap_err();
    assert!(matches!(error, EventStoreError::Displaced { .. }), "{error}");
    assert!(error.to_string().contains("production.db is not there any more"), "{error}");
    for number in 21..25 {
        assert_error!(
            store.append(counted(number)).await,
            EventStoreError::Displaced { .. } | EventStoreError::Unavailable { .. }
        );
    }
    assert_eq!(store.position(), EventId::new(20));
    foundation.shutdown().await;
    assert!(!file.exists());
}

#[tokio::test]
async fn a_database_that_is_moved_away_before_its_first_event_and_back_has_all_acknowledged_events() {
    let [directory, elsewhere] = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let foundation = on_files(directory.path()).await;
    let store = foundation.events();
    let move_all = |from: &Path, to: &Path| {
        for file in ["production.db-shm", "production.db-wal", "production.db"] {
            std::fs::rename(from.join(file), to.join(file)).unwrap();
        }
    };
    move_all(directory.path(), elsewhere.path());
    assert_error!(
        store.append(counted(0)).await,
        EventStoreError::Displaced { .. } | EventStoreError::Unavailable { .. }
    );
    assert_error!(
        store.append(counted(0)).await,
        EventStoreError::Displaced { .. } | EventStoreError::Unavailable { .. }
    );
    assert!(!directory.path().join("production.db").exists());

    move_all(elsewhere.path(), directory.path());
    store.wait_until_up(SOON).await.unwrap();
    store.append_batch(batch(1..20)).await.unwrap();
    foundation.shutdown().await;
    let foundation = on_files(directory.path()).await;
    assert!(numbers(&foundation).await.ends_with(&(1..20).collect::<Vec<_>>()));
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_file_with_fewer_events_is_not_accepted_in_place_of_the_original() {
    let [directory, other] = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let smaller = on_files(other.path()).await;
    smaller.events().append(counted(0)).await.unwrap();
    smaller.shutdown().await;

    let foundation = on_files(directory.path()).await;
    let store = foundation.events();
    store.append_batch(batch(0..20)).await.unwrap();
    std::fs::rename(other.path().join("production.db"), directory.path().join("production.db")).unwrap();
    let error = store.append(counted(20)).await.unwrap_err();
    assert!(matches!(error, EventStoreError::Displaced { .. }), "{error}");
    assert_error!(
        store.append(counted(20)).await,
        EventStoreError::Displaced { .. } | EventStoreError::Unavailable { .. }
    );
    assert_eq!(store.position(), EventId::new(20));
    foundation.shutdown().await;
}

// ---- the disk fails ----

#[tokio::test]
async fn fnd_7_an_event_store_whose_disk_fails_during_a_batch_keeps_all_of_it_or_nothing() {
    for written in WrittenPart::ALL {
        let disk = FaultyDisk::new(3, written).unwrap();
        let foundation = on(disk.storage()).await;
        let store = foundation.events();
        store.append_batch(batch(0..10)).await.unwrap();
        store.append_batch(batch(10..20)).await.unwrap();

        let error = store.append_batch(batch(20..30)).await.unwrap_err();
        assert!(matches!(error, EventStoreError::NoAnswer { .. }), "{error}");
        let text = error.to_string();
        assert!(text.starts_with("recording events failed in ") && text.ends_with(": the power has failed"), "{text}");
        store.wait_until_up(SOON).await.unwrap();
        let recorded = if written == WrittenPart::All { 30 } else { 20 };
        assert_eq!(numbers(&foundation).await, (0..recorded).collect::<Vec<_>>(), "{written:?}");

        // A repeated append is recorded once, in either case.
        let ids = store.append_batch(batch(20..30)).await.unwrap();
        assert!(ids.windows(2).all(|pair| pair[0].get() + 1 == pair[1].get()));
        assert_eq!(numbers(&foundation).await, (0..30).collect::<Vec<_>>(), "{written:?}");
        assert_eq!(disk.failures(), 1);
        assert_sound(&foundation).await;
        foundation.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_retry_have_each_event_recorded_once_whatever_part_reached_the_disk() {
    for written in WrittenPart::ALL {
        let disk = FaultyDisk::new(7, written).unwrap();
        let foundation = on(disk.storage()).await;
        let clients = (0..16).map(|client| {
            let store = foundation.events().clone();
            tokio::spawn(async move {
                for number in (client * 10)..(client * 10 + 10) {
                    insist(&store, number..number + 1).await;
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        let mut recorded = numbers(&foundation).await;
        recorded.sort_unstable();
        assert_eq!(recorded, (0..160).collect::<Vec<_>>(), "{written:?}");
        assert_eq!(disk.failures(), 1);
        assert_sound(&foundation).await;
        foundation.shutdown().await;
    }
}

#[tokio::test]
async fn fnd_7_subscribers_see_each_event_once_over_a_failure_of_the_disk() {
    for written in WrittenPart::ALL {
        let disk = FaultyDisk::new(3, written).unwrap();
        let foundation = on(disk.storage()).await;
        let store = foundation.events();
        let spec = SubscriptionSpec::from_beginning().kind(COUNTED);
        let mut live = store.subscribe(spec.clone()).await.unwrap();
        let mut durable = store.subscribe_durable(BILLING, spec).await.unwrap();
        store.append_batch(batch(0..4)).await.unwrap();
        let mut seen = [Vec::new(), Vec::new()];
        for _ in 0..4 {
            seen[0].push(live.next().await.unwrap().unwrap().id);
            seen[1].push(durable.next().await.unwrap().unwrap().id);
        }
        // The second of the appends meets the failure.
        for numbers in [4..8, 8..12, 12..16] {
            insist(store, numbers).await;
        }
        assert_eq!(disk.failures(), 1);
        for _ in 4..16 {
            // While the store is away a read may fail; the next call continues from the same place.
            seen[0].push(shown(async || live.next().await.map(|event| event.unwrap().id)).await);
            seen[1].push(shown(async || durable.next().await.map(|event| event.unwrap().id)).await);
        }
        let recorded = store.query(Query::new().kind(COUNTED)).await.unwrap();
        let recorded: Vec<_> = recorded.iter().map(|event| event.id).collect();
        assert_eq!(seen, [recorded.clone(), recorded.clone()], "{written:?}");
        durable.ack(recorded[15]).await.unwrap();
        foundation.shutdown().await;
    }
}

async fn shown<T>(mut next: impl AsyncFnMut() -> Result<T, SubscriptionError>) -> T {
    let shown = async {
        loop {
            match next().await {
                Ok(shown) => return shown,
                Err(SubscriptionError::Store(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    soon("the next event", shown).await
}

#[tokio::test]
async fn fnd_7_an_update_in_which_the_disk_fails_is_made_if_it_is_recorded_and_refused_if_it_is_not() {
    for written in WrittenPart::ALL {
        let disk = FaultyDisk::new(2, written).unwrap();
        let foundation = on(disk.storage()).await;
        let config = foundation.config();
        config.update("server.port", 1).await.unwrap();
        // The server asks the restarted store for the outcome.
        let outcome = config.update("server.port", 2).await;
        let expected = if written == WrittenPart::All {
            assert_eq!(outcome.unwrap().event.map(EventId::get), Some(2));
            2
        } else {
            let error = outcome.unwrap_err();
            assert!(matches!(error, ConfigUpdateError::NotRecorded { .. }), "{error}");
            assert!(error.to_string().ends_with(": the power has failed"), "{error}");
            1
        };
        assert_eq!(disk.failures(), 1);
        assert_eq!(config.get::<u16>("server.port").unwrap(), expected, "{written:?}");
        foundation.shutdown().await;

        let foundation = on(disk.storage()).await;
        assert_eq!(foundation.config().get::<u16>("server.port").unwrap(), expected, "{written:?}");
        assert_eq!(foundation.config().history("server").await.unwrap().len(), usize::from(expected));
        assert_sound(&foundation).await;
        foundation.shutdown().await;
    }
}

#[tokio::test]
async fn a_store_whose_file_cannot_be_opened_for_a_while_recovers_with_all_its_events() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_owned();
    let (faults, opened) =
        (ErrorInjector::new(|commit| (commit == 2).then_some(InjectedError::AfterCommit)), AtomicUsize::new(0));
    let storage = EventStorage::with(move |namespace| match opened.fetch_add(1, Ordering::SeqCst) {
        1 | 2 => Err(LogError::new("opening the event log", "a file", "stale file handle")),
        _ => Ok(faults.of(SqliteLog::open_in(&place, namespace, SqliteOptions::default())?)),
    });
    let foundation = on(storage).await;
    foundation.events().append(counted(0)).await.unwrap();
    foundation.events().append(counted(1)).await.unwrap_err();
    foundation.events().wait_until_up(SOON).await.unwrap();
    assert_eq!(numbers(&foundation).await, [0, 1]);
    assert_sound(&foundation).await;
    foundation.shutdown().await;
}
