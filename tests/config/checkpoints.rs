//! Changes at run time outlive the events that recorded them.

use std::time::{Duration, SystemTime};

use foundation::config::{ConfigRecord, ConfigSources, ConfigUpdateError};
use foundation::events::{EventLimits, EventStorage, MemoryLog, Query, Retention};
use foundation::telemetry::{Reading, TelemetryEvent, built_in};
use foundation::{ConfigServer, Foundation, FoundationBuilder, NewEvent};
use foundation_testkit::{FaultyDisk, Pool, SOON, WrittenPart, assert_error, crash};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// A log that exists before and after a foundation, as a file would.
fn lasting() -> (MemoryLog, impl Fn(FoundationBuilder) -> FoundationBuilder) {
    let log = MemoryLog::new("production");
    let kept = log.clone();
    let on_it = move |builder: FoundationBuilder| {
        let log = log.clone();
        builder.events(EventStorage::with(move |_| Ok(log.clone())))
    };
    (kept, on_it)
}

async fn forget_all(foundation: &Foundation) -> u64 {
    let after = SystemTime::now() + Duration::from_secs(3_600);
    foundation.events().prune_before(after).await.unwrap()
}

fn others(count: u32) -> Vec<NewEvent> {
    (0..count).map(|number| NewEvent::new("counted").unwrap().payload(number).unwrap()).collect()
}

fn values(foundation: &Foundation) -> (u32, u32, u16) {
    let pool = foundation.config().section::<Pool>().unwrap();
    (pool.min, pool.max, foundation.config().get("server.port").unwrap())
}

#[tokio::test]
async fn changes_at_run_time_are_kept_in_the_next_process_although_their_events_are_pruned() {
    let (log, on_it) = lasting();
    let foundation = on_it(Pool::foundation()).start().await.unwrap();
    // Valid together only: one by one they would be refused.
    foundation.config().transaction(|wishes| wishes.set("pool.min", 8).set("pool.max", 9)).await.unwrap();
    foundation.config().update("server.port", 1).await.unwrap();
    foundation.events().append_batch(others(10)).await.unwrap();
    assert_eq!(forget_all(&foundation).await, 12);
    foundation.config().update("pool.max", 10).await.unwrap();
    foundation.shutdown().await;

    let kinds: Vec<_> = log.query(&Query::new()).iter().map(|event| event.kind.to_string()).collect();
    assert_eq!(kinds, ["config_checkpoint", "config_updated"]);
    let foundation = on_it(Pool::foundation()).start().await.unwrap();
    assert_eq!(values(&foundation), (8, 10, 1));
    assert_eq!(foundation.config().tree().overrides().count(), 3);
    // The checkpoint is no change, and the changes before it are no longer known.
    let history = foundation.config().history("pool").await.unwrap();
    assert_eq!(history.iter().map(|record| &record.change.new).collect::<Vec<_>>(), [&json!(10)]);
    foundation.config().rollback(log.query(&Query::new())[0].id).await.unwrap();
    assert_eq!(values(&foundation), (8, 9, 1));
    foundation.shutdown().await;
}

#[tokio::test]
async fn no_event_is_kept_for_a_configuration_without_changes() {
    let (log, on_it) = lasting();
    let foundation = on_it(Pool::foundation()).start().await.unwrap();
    foundation.config().update("pool.max", 9).await.unwrap();
    foundation.config().reset_all().await.unwrap();
    assert_eq!(forget_all(&foundation).await, 2);
    foundation.shutdown().await;
    // Nor in the next process, which has to read the records first.
    log.append_batch(others(3), SystemTime::now()).unwrap();
    let foundation = on_it(Pool::foundation()).start().await.unwrap();
    assert_eq!(forget_all(&foundation).await, 3);
    assert_eq!(log.stats().held, 0);
    foundation.shutdown().await;
}

#[tokio::test]
async fn no_configuration_event_of_an_earlier_process_is_pruned_before_it_is_read() {
    let (log, on_it) = lasting();
    let foundation = on_it(Pool::foundation()).start().await.unwrap();
    foundation.config().update("pool.max", 9).await.unwrap();
    foundation.shutdown().await;
    let foundation = on_it(Pool::foundation()).start().await.unwrap();
    assert_eq!(forget_all(&foundation).await, 1);
    // Repeatedly: a checkpoint replaces the one before.
    assert_eq!(forget_all(&foundation).await, 1);
    foundation.shutdown().await;
    assert_eq!(log.query(&Query::new()).len(), 1);
    let foundation = on_it(Pool::foundation()).start().await.unwrap();
    assert_eq!(values(&foundation), (1, 9, 8080));
    foundation.shutdown().await;
}

#[tokio::test]
async fn an_outdated_part_of_a_checkpoint_does_not_invalidate_the_others() {
    let (_, on_it) = lasting();
    let with = |defaults: Value| {
        let sources = ConfigSources::new().defaults(defaults).unwrap();
        on_it(Foundation::builder().config(sources.updatable("server").unwrap()))
    };
    let foundation = with(json!({ "server": { "port": 1, "host": "here", "old": 1 } })).start().await.unwrap();
    let config = foundation.config();
    config
        .transaction(|wishes| wishes.set("server.port", 2).set("server.host", "there").set("server.old", 2))
        .await
        .unwrap();
    forget_all(&foundation).await;
    foundation.shutdown().await;

    let foundation = with(json!({ "server": { "port": 1, "host": false } })).start().await.unwrap();
    assert_eq!(foundation.config().tree().root(), &json!({ "server": { "port": 2, "host": false } }));
    foundation.shutdown().await;
}

fn texts(foundation: &Foundation) -> Vec<usize> {
    (0..8).map(|number| foundation.config().get::<String>(format!("texts.text{number}")).unwrap().len()).collect()
}

/// A configuration of texts whose total exceeds the limit of an event.
fn of_texts() -> FoundationBuilder {
    let texts: std::collections::BTreeMap<_, _> = (0..8).map(|number| (format!("text{number}"), "")).collect();
    let sources = ConfigSources::new().defaults(json!({ "texts": texts })).unwrap();
    Foundation::builder().config(sources.updatable("texts").unwrap())
}

#[tokio::test]
async fn overrides_too_large_for_one_event_are_recorded_anew_in_several_and_do_not_stop_the_retention() {
    let limits = EventLimits::new().max_payload_bytes(1_000);
    let log = MemoryLog::new("production").with_limits(limits);
    let kept = log.clone();
    let on_it = |builder: FoundationBuilder| {
        let log = log.clone();
        builder.events(EventStorage::with(move |_| Ok(log.clone())))
    };
    let foundation = on_it(of_texts()).start().await.unwrap();
    for number in 0..7 {
        foundation.config().update(format!("texts.text{number}"), "x".repeat(900)).await.unwrap();
    }
    // An update by a caller has to fit in one event.
    assert_error!(foundation.config().update("texts.text7", "x".repeat(962)).await, ConfigUpdateError::NotRecorded(_));
    foundation.events().append_batch(others(10)).await.unwrap();
    for _ in 0..3 {
        forget_all(&foundation).await;
        let held = kept.query(&Query::new());
        assert!(held.len() == 7 && held.iter().all(|event| event.kind == ConfigRecord::CHECKPOINT), "{held:?}");
    }
    foundation.config().reset("texts.text3").await.unwrap();
    foundation.shutdown().await;
    let foundation = on_it(of_texts()).start().await.unwrap();
    assert_eq!(texts(&foundation), [900, 900, 900, 0, 900, 900, 900, 0]);
    foundation.shutdown().await;
}

/// An override that can just be recorded by itself, and not as one of several.
#[tokio::test(start_paused = true)]
async fn a_retention_that_the_overrides_block_is_shown_by_the_status() {
    let limits = EventLimits::new().max_payload_bytes(1_000);
    let foundation = of_texts().events(EventStorage::memory_within(limits)).start().await.unwrap();
    let config = foundation.config();
    for number in 0..2 {
        config.update(format!("texts.text{number}"), "x".repeat(946)).await.unwrap();
    }
    forget_all(&foundation).await;
    let status = config.status().await.unwrap();
    let error = status.checkpoint_error.clone().unwrap();
    assert!(error.contains("and the log takes at most 1000"), "{error}");
    assert!(status.impairment().unwrap().contains(&error));
    assert_eq!(foundation.events().stats().await.unwrap().held, 2);
    let scrape = foundation.telemetry().scrape();
    let failed = scrape.family(built_in::CONFIG_CHECKPOINTS_FAILED).unwrap();
    assert!(failed.help.is_some() && failed.series[0].reading == Reading::Counter(1), "{failed:?}");

    config.reset("texts.text0").await.unwrap();
    forget_all(&foundation).await;
    assert_eq!(config.status().await.unwrap().checkpoint_error, None);
    assert_eq!(foundation.events().stats().await.unwrap().held, 1);
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_checkpoint_in_several_events_changes_nothing() {
    for written in WrittenPart::ALL {
        // Eight updates are recorded, and then a checkpoint of all of them.
        let disk = FaultyDisk::new(9, written).unwrap();
        let on_it = async || of_texts_without_limits().events(disk.storage()).start().await.unwrap();
        let foundation = on_it().await;
        for number in 0..8 {
            foundation.config().update(format!("texts.text{number}"), "x".repeat(200_000)).await.unwrap();
        }
        let after = SystemTime::now() + Duration::from_secs(3_600);
        // The store may restart meanwhile.
        drop(foundation.events().prune_before(after).await);
        foundation.events().wait_until_up(SOON).await.unwrap();
        assert_eq!(disk.failures(), 1, "{written:?}");
        foundation.shutdown().await;

        let foundation = on_it().await;
        assert_eq!(texts(&foundation), [200_000; 8], "{written:?}");
        assert_eq!(foundation.config().tree().overrides().count(), 8);
        forget_all(&foundation).await;
        let held = foundation.events().query(Query::new()).await.unwrap();
        assert_eq!(
            held.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(),
            [ConfigRecord::CHECKPOINT.as_str(); 2]
        );
        foundation.shutdown().await;
        let foundation = on_it().await;
        assert_eq!(texts(&foundation), [200_000; 8], "{written:?}");
        foundation.shutdown().await;
    }
}

fn of_texts_without_limits() -> FoundationBuilder {
    let limits = foundation::config::ConfigLimits::new().max_value_bytes(1 << 20);
    let texts: std::collections::BTreeMap<_, _> = (0..8).map(|number| (format!("text{number}"), "")).collect();
    let sources = ConfigSources::new().defaults(json!({ "texts": texts })).unwrap().limits(limits);
    Foundation::builder().config(sources.updatable("texts").unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_retention_continues_when_the_configuration_is_recorded_anew() {
    let retention = Retention::new().max_count(10).every(Duration::from_secs(60));
    let builder = Foundation::builder().config(Pool::sources());
    let foundation = builder.test_events(EventStorage::memory().retention(retention)).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let (sender, mut looks) = mpsc::unbounded_channel();
    let send = move |event: &TelemetryEvent<'_>| sender.send(event.metadata["by_count"].as_u64().unwrap()).unwrap();
    namespace.telemetry().attach("looks", [built_in::EVENT_STORE_RETENTION], send).unwrap();
    let events = namespace.events();

    events.append_batch(others(5)).await.unwrap();
    namespace.config().update("pool.max", 9).await.unwrap();
    events.append_batch(others(30)).await.unwrap();
    // The first run stops at the change of the configuration, and the second does not: it is recorded anew.
    assert_eq!([looks.recv().await, looks.recv().await], [Some(5), Some(22)]);
    let checkpoints = events.query(Query::new().kind(ConfigRecord::CHECKPOINT)).await.unwrap();
    assert_eq!(checkpoints.len(), 1);
    assert_eq!(events.stats().await.unwrap().held, 10);
    // No event is to be removed, so nothing is recorded anew.
    assert_eq!([looks.recv().await, looks.recv().await], [Some(0), Some(0)]);
    assert_eq!(events.query(Query::new().kind(ConfigRecord::CHECKPOINT)).await.unwrap(), checkpoints);
    crash(&namespace, &ConfigServer::NAME).await;
    assert_eq!(namespace.config().section::<Pool>().unwrap().max, 9);
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}
