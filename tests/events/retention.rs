//! The retention of events over several runs, and its effects on the log.

use std::time::Duration;

use foundation::events::{EventId, EventLog, EventStorage, Retention, SqliteLog, SqliteOptions};
use foundation::telemetry::TelemetryEvent;
use foundation::{EventStore, Foundation, NewEvent, Services};
use foundation_testkit::{TestClock, crash};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::recording_log::{LogCall, RecordingLog};

const MINUTE: Duration = Duration::from_secs(60);

/// The result of each run, from now on.
async fn looks(services: &Services) -> UnboundedReceiver<Value> {
    let (sender, looks) = unbounded_channel();
    let send = move |event: &TelemetryEvent<'_>| drop(sender.send(event.metadata.clone()));
    services.telemetry().attach("looks", ["event_store.retention"], send).unwrap();
    looks
}

async fn append(services: &Services, count: usize) {
    services.events().append_batch(vec![NewEvent::new("counted").unwrap(); count]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_retention_runs_repeatedly() {
    let storage = EventStorage::memory().retention(Retention::new().max_count(2).every(MINUTE));
    let foundation = Foundation::builder().events(storage).start().await.unwrap();
    let mut looks = looks(foundation.production()).await;
    for _ in 0..3 {
        append(foundation.production(), 5).await;
        let before = foundation.events().stats().await.unwrap().held;
        let look = looks.recv().await.unwrap();
        assert_eq!((&look["by_count"], &look["by_bytes"]), (&(before - 2).into(), &0.into()));
        assert_eq!(foundation.events().stats().await.unwrap().held, 2);
    }
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn events_that_are_pruned_for_their_bytes_are_reported_as_such() {
    let storage = EventStorage::memory().retention(Retention::new().max_bytes(1).every(MINUTE));
    let foundation = Foundation::builder().events(storage).start().await.unwrap();
    let mut looks = looks(foundation.production()).await;
    append(foundation.production(), 5).await;
    let look = looks.recv().await.unwrap();
    assert_eq!((&look["by_bytes"], &look["by_count"], &look["by_age"]), (&5.into(), &0.into(), &0.into()));
    let snapshot = foundation.telemetry().snapshot();
    assert_eq!(snapshot.histogram("event_store.retention.pruned").unwrap().sum, 5.0);
    foundation.shutdown().await;
}

async fn start_on(log: RecordingLog) -> (Foundation, UnboundedReceiver<Value>) {
    let retention = Retention::new().max_count(2).every(Duration::from_millis(1));
    let foundation = Foundation::builder().events(log.storage().retention(retention)).start().await.unwrap();
    let looks = looks(foundation.production()).await;
    (foundation, looks)
}

#[tokio::test]
async fn a_log_is_maintained_when_its_bounds_are_met_until_nothing_is_left_to_do() {
    let (log, mut asked) = RecordingLog::new();
    let (foundation, mut looks) = start_on(log.with_upkeep(2)).await;
    looks.recv().await.unwrap();
    for more in [true, true, false] {
        assert_eq!(asked.recv().await, Some(LogCall::Maintain { more }));
    }
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_retention_run_that_fails_is_reported_with_its_failure() {
    let (log, asked) = RecordingLog::new();
    let (foundation, mut looks) = start_on(log.full()).await;
    let look = looks.recv().await.unwrap();
    let failure = "the event store records nothing at present and will try again: \
                   pruning failed in /dev/full: no space left on device";
    assert_eq!((&look["error"], &look["by_count"]), (&failure.into(), &0.into()));
    foundation.shutdown().await;
    assert!(asked.is_empty(), "nothing more was asked of it");
}

// ---- a clock that jumps ----

/// Events of one second each, by a clock that is set by hand, in a log with a run each minute that keeps an hour.
async fn by(clock: &TestClock) -> (Foundation, UnboundedReceiver<Value>) {
    clock.set(1_000_000);
    let storage = EventStorage::memory().retention(Retention::new().max_age(60 * MINUTE).every(MINUTE));
    let foundation = Foundation::builder().events(storage).clock(clock.read()).start().await.unwrap();
    let looks = looks(foundation.production()).await;
    append(foundation.production(), 5).await;
    (foundation, looks)
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_for_a_moment_prunes_nothing_and_is_reported() {
    let clock = TestClock::default();
    let (foundation, mut looks) = by(&clock).await;
    clock.set(2_000_000);
    let look = looks.recv().await.unwrap();
    assert_eq!((&look["by_age"], &look["clock_ahead_ms"]), (&0.into(), &((1_000_000.0 - 60.0) * 1e3).into()));
    clock.set(1_000_120);
    let look = looks.recv().await.unwrap();
    assert_eq!((&look["by_age"], &look["clock_ahead_ms"]), (&0.into(), &0.0.into()));
    assert_eq!(foundation.events().stats().await.unwrap().held, 5);
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_stays_ahead_is_trusted_after_an_hour() {
    let clock = TestClock::default();
    let (foundation, mut looks) = by(&clock).await;
    for minute in 1..=60 {
        clock.set(2_000_000 + minute * 60);
        assert_eq!(looks.recv().await.unwrap()["by_age"], 0, "minute {minute}");
    }
    clock.set(2_000_000 + 61 * 60);
    assert_eq!(looks.recv().await.unwrap()["by_age"], 5);
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_restarted_while_the_clock_is_ahead_uses_the_time_of_its_newest_event() {
    let clock = TestClock::default();
    clock.set(1_000_000);
    let storage = EventStorage::memory().retention(Retention::new().max_age(60 * MINUTE).every(MINUTE));
    let foundation = Foundation::builder().test_events(storage).clock(clock.read()).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let mut looks = looks(namespace.services()).await;
    append(namespace.services(), 5).await;
    clock.set(2_000_000);
    crash(&namespace, &EventStore::NAME).await;
    assert_eq!(looks.recv().await.unwrap()["by_age"], 0);
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_goes_back_keeps_the_events_that_it_makes_younger() {
    let clock = TestClock::default();
    let (foundation, mut looks) = by(&clock).await;
    clock.set(500_000);
    for _ in 0..120 {
        assert_eq!(looks.recv().await.unwrap()["by_age"], 0);
    }
    foundation.shutdown().await;
}

// ---- the end of a store, and its next start ----

#[tokio::test]
async fn a_store_that_has_ended_has_written_all_events_and_releases_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let storage = EventStorage::sqlite(directory.path());
    let foundation = Foundation::builder().events(storage.clone()).start().await.unwrap();
    for _ in 0..200 {
        foundation.events().note(vec![NewEvent::new("counted").unwrap(); 10]).unwrap();
    }
    foundation.shutdown().await;
    let log = SqliteLog::open_in(directory.path(), foundation::Namespace::Production, SqliteOptions::default());
    assert_eq!(log.unwrap().reader().unwrap().stats().unwrap().held, 2_000);

    let foundation = Foundation::builder().events(storage).start().await.unwrap();
    assert_eq!(foundation.events().position(), EventId::new(2_000), "known before anything is asked");
    foundation.shutdown().await;
}
