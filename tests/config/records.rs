//! The records of the configuration's changes, and their use.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use foundation::config::{
    Audit, ChangeCause, ChangeNote, ConfigRecord, ConfigSection, ConfigServerLimits, ConfigUpdateError,
};
use foundation::events::{EventId, EventKind, EventStorage, EventStoreLimits, MemoryLog};
use foundation::telemetry::built_in;
use foundation::{ConfigServer, Foundation, FoundationBuilder, Limits, NewEvent, TestNamespace};
use foundation_testkit::{
    ErrorInjector, InjectedError, Pool, TestClock, assert_error, crash, error_text, held_up_by, soon,
    unregister_event_store, until,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

#[foundation::test(builder = Pool::foundation())]
async fn a_change_is_recorded_with_its_author_and_reason(namespace: TestNamespace) {
    let config = namespace.config().with_note(ChangeNote::by("alice").because("load\ntest"));
    let changed = config.update("pool.max", 9).await.unwrap();
    let event = namespace.events().get(changed.event.unwrap()).await.unwrap().unwrap();
    let expected = json!({ "path": "pool.max", "old": 4, "new": 9, "author": "alice", "reason": "load\ntest" });
    assert_eq!(event.payload, expected);
    assert_eq!(changed.note, ChangeNote::by("alice").because("load\ntest"));

    let endless = config.with_note(ChangeNote::by("x".repeat(1 << 20)));
    let expected = "the author of the change has 1048576 bytes, and at most 128 are allowed";
    assert_eq!(error_text(endless.update("pool.max", 8).await), expected);
    assert_eq!(config.section::<Pool>().unwrap().max, 9);
}

#[foundation::test(builder = Pool::foundation())]
async fn the_history_of_a_section_has_its_changes_in_order_and_no_others(namespace: TestNamespace) {
    let config = namespace.config();
    config.with_note(ChangeNote::by("alice")).update("pool.max", 9).await.unwrap();
    config.update("server.port", 1).await.unwrap();
    config.transaction(|wishes| wishes.set("pool.min", 2).set("pool.max", 5).set("server.port", 2)).await.unwrap();
    // A foreign event of the same kind is not used.
    let forged = NewEvent::new("config_updated").unwrap().payload(json!({ "path": "pool.max", "old": 5, "new": 1 }));
    namespace.events().append(forged.unwrap()).await.unwrap();

    let history = config.history("pool").await.unwrap();
    let found: Vec<_> = history.iter().map(|it| (it.change.path.as_str(), &it.change.old, &it.change.new)).collect();
    assert_eq!(
        found,
        [("pool.max", &json!(4), &json!(9)), ("pool.max", &json!(9), &json!(5)), ("pool.min", &json!(1), &json!(2))]
    );
    assert_eq!((history[0].note.author.as_deref(), history[0].cause), (Some("alice"), ChangeCause::Update));
    assert_eq!(history[1].event, history[2].event);
    assert_eq!(config.history("pool.min").await.unwrap().len(), 1);
    assert_eq!(error_text(config.history("pol").await), "unknown config path pol; did you mean pool?");
}

#[foundation::test(builder = Pool::foundation())]
async fn a_rollback_restores_the_values_after_an_event_and_can_be_rolled_back(namespace: TestNamespace) {
    let config = namespace.config();
    let first = config.update("pool.max", 9).await.unwrap().event.unwrap();
    config.update("server.port", 1).await.unwrap();
    config.transaction(|wishes| wishes.set("pool.min", 8).set("pool.max", 16)).await.unwrap();
    config.update("pool.max", 17).await.unwrap();
    let last = config.update("pool.max", 18).await.unwrap().event.unwrap();
    let values = || {
        let pool = config.section::<Pool>().unwrap();
        (pool.min, pool.max, config.get::<u16>("server.port").unwrap())
    };

    let commit = config.with_note(ChangeNote::by("bob")).rollback(first).await.unwrap();
    assert_eq!((values(), commit.changes.len(), commit.generation), ((1, 9, 8080), 3, 7));
    assert_eq!(commit.note, ChangeNote::by("bob").because(format!("rolled back to event {first}")));
    assert_eq!(config.tree().overrides().count(), 1, "what is as below is no override");
    config.rollback(last).await.unwrap();
    assert_eq!(values(), (8, 18, 1));
    assert_eq!(config.rollback(last).await.unwrap().event, None);
}

#[foundation::test(builder = Pool::foundation())]
async fn a_rollback_to_another_event_is_refused_with_the_newest_record(namespace: TestNamespace) {
    let config = namespace.config();
    let other = namespace.events().append(NewEvent::new("opened").unwrap()).await.unwrap();
    assert_eq!(
        error_text(config.rollback(other).await),
        "event 1 records no change of the configuration; there is no record of any"
    );
    config.update("pool.max", 9).await.unwrap();
    let forged: EventId = serde_json::from_value(json!(u64::MAX)).unwrap();
    for event in [other, forged] {
        let error = config.rollback(event).await.unwrap_err();
        assert!(
            error.to_string().ends_with("records no change of the configuration; the newest that does is 2"),
            "{error}"
        );
        assert!(matches!(error, ConfigUpdateError::NoRecord { .. }));
    }
    assert_eq!(config.section::<Pool>().unwrap().max, 9);
}

fn best_effort() -> FoundationBuilder {
    Foundation::builder().config(Pool::sources().audit(Audit::BestEffort))
}

#[foundation::test(builder = best_effort())]
async fn with_best_effort_audit_a_change_that_cannot_be_recorded_is_made(namespace: TestNamespace) {
    let config = namespace.config();
    let mut changes = config.subscribe("pool").unwrap();
    unregister_event_store(namespace.services());
    let changed = config.update("pool.max", 9).await.unwrap();
    assert_eq!((changed.event, changed.generation), (None, 2));
    assert_eq!(changes.next().await.unwrap().unwrap(), changed);
    assert_eq!(config.section::<Pool>().unwrap().max, 9);
    assert_eq!(namespace.telemetry().snapshot().counter("config.updates_unrecorded"), Some(1));
    // An invalid value is refused all the same.
    assert_error!(config.update("pool.max", 0).await, ConfigUpdateError::Refused(_));
}

#[foundation::test(builder = best_effort())]
async fn with_best_effort_audit_a_change_that_can_be_recorded_is_recorded(namespace: TestNamespace) {
    assert!(namespace.config().update("pool.max", 9).await.unwrap().event.is_some());
    assert_eq!(namespace.events().stats().await.unwrap().recorded, 1);
}

// ---- with faults ----

/// A log that fails at its second commit.
fn failing_at_the_second_commit(fails: fn(usize) -> Option<InjectedError>) -> EventStorage {
    let (log, errors) = (MemoryLog::new("test"), ErrorInjector::new(fails));
    EventStorage::with(move |_| Ok(errors.of(log.clone())))
}

/// A record of a change by another than the config server, which applies it when it reads its records again.
fn record(kind: EventKind, path: &str, old: u32, new: u32) -> NewEvent {
    let payload = json!({ "path": path, "old": old, "new": new });
    NewEvent::of(kind).source("config_server").payload(payload).unwrap()
}

/// The event store hangs for longer than the limits of a change.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_change_without_an_answer_is_counted_as_such_and_applied_when_the_store_answers() {
    let (clock, short) = (TestClock::default(), Duration::from_millis(250));
    let config_limits = ConfigServerLimits::new().inquiry(short).answer(4 * short);
    let limits = Limits::new().events(EventStoreLimits::new().answer(short)).config(config_limits);
    let foundation = held_up_by(&clock).limits(limits).start().await.unwrap();
    let config = foundation.config();
    let mut held = clock.hold_next();
    foundation.events().note(vec![NewEvent::new("stuck").unwrap()]).unwrap();
    held.arrival().await;

    let unanswered = config.update("server.port", 1).await;
    assert_error!(unanswered, ConfigUpdateError::NoAnswer { .. });
    let counter = |name| foundation.telemetry().snapshot().counter(name);
    assert_eq!(
        (counter(built_in::CONFIG_UPDATES_UNANSWERED), counter(built_in::CONFIG_UPDATES_REFUSED)),
        (Some(1), None)
    );
    // Whether the first one is recorded is not known, so the second is not begun.
    assert_error!(config.update("limits.ratio", 0.25).await, ConfigUpdateError::NotRecorded(_));

    drop(held);
    foundation.events().wait_until_settled().await.unwrap();
    config.update("limits.ratio", 0.75).await.unwrap();
    assert_eq!(config.get::<u16>("server.port").unwrap(), 1);
    foundation.shutdown().await;
}

/// The outcome of an update is certain when its caller is answered, but not if it waits for others for too long.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_update_behind_others_may_be_applied_after_its_caller_gave_up() {
    let clock = TestClock::default();
    let limits = Limits::new().config(ConfigServerLimits::new().answer(Duration::from_millis(100)));
    let foundation = held_up_by(&clock).limits(limits).start().await.unwrap();
    let config = foundation.config();
    let mut changes = config.subscribe("limits.ratio").unwrap();
    let mut held = clock.hold_next();

    let (first, second) = tokio::join!(config.update("server.port", 1), config.update("limits.ratio", 0.25));
    assert_error!(first, ConfigUpdateError::NoAnswer { .. });
    assert_error!(second, ConfigUpdateError::NoAnswer { .. });
    held.arrival().await;
    drop(held);
    let changed = soon("the second change is applied", changes.next()).await.unwrap().unwrap();
    assert_eq!((changed.change.new, config.get::<u16>("server.port").unwrap()), (json!(0.25), 1));
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_change_without_a_record_is_decided_again_if_records_of_others_are_applied_before_it() {
    let storage = failing_at_the_second_commit(|commit| (commit == 2).then_some(InjectedError::BeforeCommit));
    let foundation = best_effort().test_events(storage).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let config = namespace.config();
    namespace.events().append(record(ConfigRecord::UPDATED, "pool.min", 1, 2)).await.unwrap();

    let changed = config.update("pool.max", 9).await.unwrap();

    let pool = config.section::<Pool>().unwrap();
    assert_eq!((pool.min, pool.max), (2, 9));
    assert_eq!((changed.event, changed.generation, config.tree().generation()), (None, 3, 3));
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

/// A section whose next check can be held up.
#[derive(serde::Deserialize, garde::Validate)]
struct Slow {
    #[garde(custom(hold))]
    value: u32,
}

/// Holds up the next check: the notification that it has begun, and its release.
static HELD: Mutex<Option<(oneshot::Sender<()>, mpsc::Receiver<()>)>> = Mutex::new(None);

fn hold(_: &u32, (): &()) -> garde::Result {
    let held = HELD.lock().unwrap().take();
    if let Some((begun, released)) = held {
        begun.send(()).unwrap();
        released.recv().unwrap_err();
    }
    Ok(())
}

impl ConfigSection for Slow {
    const PATH: &'static str = "slow";

    fn defaults() -> Value {
        json!({ "value": 1 })
    }
}

#[tokio::test]
async fn a_server_that_ends_while_it_reads_the_files_for_recorded_changes_leaves_all_of_them_to_its_successor() {
    let storage = failing_at_the_second_commit(|commit| (commit == 2).then_some(InjectedError::AfterCommit));
    let sources = Pool::sources().section::<Slow>().unwrap();
    let builder = Foundation::builder().config(sources).test_events(storage);
    let foundation = builder.start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let others = vec![
        record(ConfigRecord::UPDATED, "pool.min", 1, 2),
        record(ConfigRecord::RELOADED, "server.port", 8080, 8081),
    ];
    namespace.events().append_batch(others).await.unwrap();

    // The change is recorded, the answer is lost, and the reload among the records before it makes the files be read.
    let ((begun, beginning), (release, released)) = (oneshot::channel(), mpsc::channel::<()>());
    *HELD.lock().unwrap() = Some((begun, released));
    let config = namespace.config().clone();
    let update = tokio::spawn(async move { config.update("pool.max", 9).await });
    soon("the files are read", beginning).await.unwrap();
    crash(&namespace, &ConfigServer::NAME).await;
    drop(release);
    assert_error!(update.await.unwrap(), ConfigUpdateError::NoAnswer { .. });

    namespace.config().update("server.port", 1).await.unwrap();
    let pool = namespace.config().section::<Pool>().unwrap();
    assert_eq!((pool.min, pool.max), (2, 9));
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

/// Several tasks repeatedly change two values that belong together, while the server is repeatedly killed.
#[foundation::test(builder = Pool::foundation().intensity(foundation::supervision::RestartIntensity::default()), flavor = "multi_thread", worker_threads = 2)]
async fn fnd_7_a_config_server_that_is_killed_repeatedly_loses_no_acknowledged_update_and_makes_no_partial_one(
    namespace: TestNamespace,
) {
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4_u32)
        .map(|writer| {
            let (config, done) = (namespace.config().clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for round in 0.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let size = 10 + writer + 4 * round;
                    let wanted = config.transaction(|wishes| wishes.set("pool.min", size).set("pool.max", size));
                    match wanted.await {
                        Ok(commit) => acknowledged.push((commit.event.unwrap(), size)),
                        // The outcome is unknown: the records decide.
                        Err(ConfigUpdateError::NotDelivered { .. } | ConfigUpdateError::NoAnswer { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    let seen = config.section::<Pool>().unwrap();
                    assert!(seen.min == seen.max || (seen.min, seen.max) == (1, 4), "{seen:?}");
                    tokio::task::yield_now().await;
                }
                acknowledged
            })
        })
        .collect();
    // As many kills as the supervisor's intensity allows.
    for _ in 0..3 {
        let before = namespace.events().stats().await.unwrap().recorded;
        until("20 events", async || namespace.events().stats().await.unwrap().recorded >= before + 20).await;
        crash(&namespace, &ConfigServer::NAME).await;
    }
    done.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    assert!(acknowledged.len() >= 20, "{}", acknowledged.len());
    // A last update completes every change that was recorded and not made.
    let last = namespace.config().update("server.port", 1).await.unwrap();

    let history = namespace.config().history("pool").await.unwrap();
    let (max, min): (Vec<_>, Vec<_>) = history.iter().partition(|record| record.change.path.as_str() == "pool.max");
    for (event, size) in &acknowledged {
        let sizes: Vec<_> = history.iter().filter(|it| it.event == *event).map(|it| it.change.new.clone()).collect();
        assert_eq!(sizes, [json!(size), json!(size)], "event {event}");
    }
    // Each record leads to the next, each was made once, and the last is in force.
    for values in [&max, &min] {
        assert!(values.windows(2).all(|pair| pair[0].change.new == pair[1].change.old));
    }
    assert_eq!(last.generation as usize, 1 + max.len() + 1);
    let now = namespace.config().section::<Pool>().unwrap();
    assert_eq!(
        (json!(now.min), json!(now.max)),
        (min.last().unwrap().change.new.clone(), max.last().unwrap().change.new.clone())
    );
}
