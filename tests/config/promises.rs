use std::time::Duration;

use foundation::config::{Audit, ConfigUpdateError, ConfigWatch};
use foundation::names::RegistryError;
use foundation::{ConfigServer, EventStore, Foundation, TestNamespace};
use foundation_testkit::{Pool, SOON, configured, crash, error_text, unregister_event_store, wait_until_up};

/// `history` and `rollback`: their errors while the event store does not answer.
#[foundation::test(builder = Pool::foundation())]
async fn there_is_no_history_without_the_event_store(namespace: TestNamespace) {
    let config = namespace.config();
    let event = config.update("pool.max", 9).await.unwrap().event.unwrap();
    unregister_event_store(namespace.services());
    assert!(matches!(config.history("pool").await, Err(ConfigUpdateError::NoHistory(_))));
    assert!(matches!(config.history("pol").await, Err(ConfigUpdateError::Refused(_))));
    assert!(matches!(config.rollback(event).await, Err(ConfigUpdateError::NoHistory(_))));
    assert_eq!(config.section::<Pool>().unwrap().max, 9);
}

/// `subscribe`, `origin`: an unknown path is refused with the near misses.
#[foundation::test(builder = configured())]
async fn a_subscription_to_an_unknown_path_is_refused(namespace: TestNamespace) {
    let config = namespace.config();
    let expected = "unknown config path server.prt; did you mean server.port?";
    assert_eq!(error_text(config.subscribe("server.prt")), expected);
    assert_eq!(error_text(config.origin("server.prt")), expected);
    assert_eq!(config.status().await.unwrap().subscribers, 0);
}

/// `SectionSubscription::next`, and `LaggedError`: changes that were made together count as one.
#[foundation::test(builder = Pool::foundation())]
async fn a_slow_subscriber_of_a_section_continues_after_the_missed_changes_and_ends_with_the_namespace(
    namespace: TestNamespace,
) {
    let config = namespace.config().clone();
    let mut pools = config.subscribe_section::<Pool>().unwrap();
    for max in 11..=1_040_u32 {
        config.transaction(|wishes| wishes.set("pool.min", max - 10).set("pool.max", max)).await.unwrap();
    }
    assert_eq!(pools.next().await.unwrap_err().missed, 1_030 - 1_024);
    let next = pools.next().await.unwrap().unwrap();
    assert_eq!((next.old.max, next.new.max, next.new.min), (16, 17, 7));
    let mut last = next.new.max;
    namespace.cleanup().await.unwrap();
    while let Some(changed) = pools.next().await.unwrap() {
        assert_eq!(changed.new.max, last + 1);
        last = changed.new.max;
    }
    assert_eq!(last, 1_040, "what was made before the end is reported before it");
    let error = config.wait_until_up(SOON).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotRunning { .. }), "{error}");
}

/// `rollback`: reloads of files are not undone.
#[tokio::test]
async fn a_rollback_does_not_change_the_values_of_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.toml");
    std::fs::write(&path, "server.port = 81").unwrap();
    let foundation = Foundation::builder().config(Pool::sources().file(&path)).start().await.unwrap();
    let config = foundation.config();
    let first = config.update("pool.max", 9).await.unwrap().event.unwrap();
    std::fs::write(&path, "server.port = 82").unwrap();
    config.reload().await.unwrap();
    config.update("pool.max", 10).await.unwrap();

    let commit = config.rollback(first).await.unwrap();
    assert_eq!((commit.changes.len(), config.section::<Pool>().unwrap().max), (1, 9));
    assert_eq!(config.get::<u16>("server.port").unwrap(), 82);
    foundation.shutdown().await;
}

/// `Audit::BestEffort`: a change without a record lasts as long as the namespace.
#[tokio::test]
async fn a_change_without_a_record_outlives_its_server() {
    let foundation = Foundation::builder().config(Pool::sources().audit(Audit::BestEffort)).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let config = namespace.config();
    let store = namespace.registry().lookup_any(&EventStore::NAME).unwrap();
    unregister_event_store(namespace.services());
    assert_eq!(config.update("pool.max", 9).await.unwrap().event, None);
    // The successor of an unregistered store is found again.
    store.cell().kill();
    wait_until_up(namespace.services(), &EventStore::NAME).await;
    crash(&namespace, &ConfigServer::NAME).await;
    assert_eq!(config.section::<Pool>().unwrap().max, 9);
    // Also when other records are read again.
    config.update("server.port", 1).await.unwrap();
    crash(&namespace, &ConfigServer::NAME).await;
    assert_eq!((config.section::<Pool>().unwrap().max, config.get::<u16>("server.port").unwrap()), (9, 1));
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

/// `ConfigWatch::Off`: also if there is no file to watch.
#[tokio::test]
async fn without_files_nothing_is_watched() {
    let sources = Pool::sources().watch(Duration::from_millis(200));
    let foundation = Foundation::builder().config(sources).start().await.unwrap();
    assert_eq!(foundation.config().status().await.unwrap().watch, ConfigWatch::Off);
    let commit = foundation.config().reload().await.unwrap();
    assert_eq!((commit.changes.len(), commit.event, commit.generation), (0, None, 1));
    assert!(EventStore::of(foundation.production().registry()).recent(1).await.unwrap().is_empty());
    foundation.shutdown().await;
}
