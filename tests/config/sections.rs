//! Declared sections of the configuration, what may change in them, and transactions.

use std::sync::Arc;

use foundation::config::{ConfigError, ConfigUpdateError};
use foundation::{ConfigServer, TestNamespace};
use foundation_testkit::{Pool, SOON, crash, error_text};
use futures::TryStreamExt;
use serde_json::{Value, json};

#[foundation::test(builder = Pool::foundation())]
async fn a_section_is_read_as_its_type_and_does_not_change_under_its_reader(namespace: TestNamespace) {
    let config = namespace.config();
    let mut handle = config.section_handle::<Pool>().unwrap();
    let before = config.section::<Pool>().unwrap();
    config.update("pool.max", 9).await.unwrap();
    assert_eq!((before.max, handle.latest().max, handle.get().max), (4, 9, 9));
    assert!(before.fixed);
    assert!(Arc::ptr_eq(handle.latest(), &config.section().unwrap()));
    // A change elsewhere leaves the section unchanged.
    config.update("server.port", 1).await.unwrap();
    assert!(Arc::ptr_eq(&handle.clone().get(), handle.latest()));
}

#[foundation::test(builder = Pool::foundation())]
async fn a_handle_on_a_section_outlives_the_server_and_reads_while_it_is_away(namespace: TestNamespace) {
    let mut handle = namespace.config().section_handle::<Pool>().unwrap();
    namespace.config().update("pool.max", 5).await.unwrap();
    namespace.kill(&ConfigServer::NAME).await.unwrap();
    assert_eq!(handle.latest().max, 5);
    namespace.config().wait_until_up(SOON).await.unwrap();
    namespace.config().update("pool.max", 6).await.unwrap();
    assert_eq!(handle.latest().max, 6);
}

#[foundation::test]
async fn a_section_that_was_not_declared_is_refused(namespace: TestNamespace) {
    let config = namespace.config();
    assert!(error_text(config.section::<Pool>()).starts_with("config section pool was not declared as "));
    assert!(matches!(config.section_handle::<Pool>(), Err(ConfigError::UndeclaredSection { .. })));
    assert!(matches!(config.subscribe_section::<Pool>(), Err(ConfigError::UndeclaredSection { .. })));
}

#[foundation::test(builder = Pool::foundation())]
async fn an_update_that_is_not_valid_is_refused_and_changes_and_records_nothing(namespace: TestNamespace) {
    let expected = "config section pool is not valid: pool.min: lower than 1 (an update at run time)";
    assert_eq!(error_text(namespace.config().update("pool.min", 0).await), expected);
    assert_eq!(namespace.config().section::<Pool>().unwrap().min, 1);
    assert_eq!(namespace.events().stats().await.unwrap().recorded, 0);
}

#[foundation::test(builder = Pool::foundation())]
async fn an_update_of_a_field_that_is_not_updatable_is_refused_with_the_updatable_ones(namespace: TestNamespace) {
    let config = namespace.config();
    let expected = "config path pool.fixed may not change at run time; what may: pool.max, pool.min, server.port";
    assert_eq!(error_text(config.update("pool.fixed", false).await), expected);
    let paths: Vec<_> = config.updatable_paths().iter().map(ToString::to_string).collect();
    assert_eq!(paths, ["pool.max", "pool.min", "server.port"]);
}

#[foundation::test(builder = Pool::foundation())]
async fn a_subscription_to_a_section_is_a_stream_of_changes_that_ends_with_the_namespace(namespace: TestNamespace) {
    let config = namespace.config().clone();
    let pools = config.subscribe_section::<Pool>().unwrap();
    config.update("pool.max", 8).await.unwrap();
    config.update("server.port", 1).await.unwrap();
    config.update("pool.max", 9).await.unwrap();
    namespace.cleanup().await.unwrap();
    let sizes: Vec<_> = pools.map_ok(|changed| (changed.old.max, changed.new.max)).try_collect().await.unwrap();
    assert_eq!(sizes, [(4, 8), (8, 9)]);
}

// ---- transactions ----

#[foundation::test(builder = Pool::foundation())]
async fn a_transaction_is_one_event_and_one_generation(namespace: TestNamespace) {
    let config = namespace.config();
    let commit = config
        .transaction(|wishes| wishes.set("pool.min", 8).set("pool.max", 16).set("server.port", 8080))
        .await
        .unwrap();
    let paths: Vec<_> = commit.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!((paths, commit.generation), (vec!["pool.max", "pool.min"], 2));
    let events = namespace.events().query(foundation::events::Query::new()).await.unwrap();
    assert_eq!(events.len(), 1);
    let old_and_new = json!([
        { "path": "pool.max", "old": 4, "new": 16 },
        { "path": "pool.min", "old": 1, "new": 8 },
    ]);
    assert_eq!(events[0].payload, json!({ "changes": old_and_new }));

    crash(&namespace, &ConfigServer::NAME).await;
    let section = config.section::<Pool>().unwrap();
    assert_eq!((section.min, section.max, config.tree().generation()), (8, 16, 2));
}

#[foundation::test(builder = Pool::foundation())]
async fn a_transaction_is_made_completely_or_not_at_all(namespace: TestNamespace) {
    let config = namespace.config();
    let invalid = config.transaction(|wishes| wishes.set("server.port", 1).set("pool.min", 8)).await;
    assert_eq!(error_text(invalid), "config section pool is not valid: pool.max: lower than min (the defaults)");
    let unknown = config.transaction(|wishes| wishes.set("server.port", 1).set("pool.mix", 8)).await;
    assert_eq!(error_text(unknown), "unknown config path pool.mix; did you mean pool.max, pool.min?");
    let no_path = config.transaction(|wishes| wishes.set("../x", 1).set("also/none", 1)).await;
    assert!(error_text(no_path).starts_with("config path \"../x\""));
    assert_eq!((config.get::<u16>("server.port").unwrap(), config.tree().generation()), (8080, 1));
    assert_eq!(namespace.events().stats().await.unwrap().recorded, 0);
}

#[foundation::test(builder = Pool::foundation())]
async fn the_later_of_two_operations_on_a_value_counts_and_operations_without_effect_change_nothing(
    namespace: TestNamespace,
) {
    let config = namespace.config();
    config.transaction(|wishes| wishes.set("pool.max", 5).set("pool.max", 6)).await.unwrap();
    assert_eq!(config.section::<Pool>().unwrap().max, 6);
    let idle = config.transaction(|wishes| wishes.set("pool.max", 6).reset("pool.min")).await.unwrap();
    assert_eq!((idle.event, idle.generation), (None, 2));
    let empty = config.transaction(|wishes| wishes).await.unwrap();
    assert_eq!((empty.event, empty.generation, empty.changes.len()), (None, 2, 0));
}

#[foundation::test(builder = Pool::foundation())]
async fn all_changes_at_run_time_are_reset_together(namespace: TestNamespace) {
    let config = namespace.config();
    config.update("server.port", 1).await.unwrap();
    config.transaction(|wishes| wishes.set("pool.min", 8).set("pool.max", 16)).await.unwrap();
    let commit = config.reset_all().await.unwrap();
    assert_eq!((commit.changes.len(), commit.generation), (3, 4));
    assert_eq!((config.tree().overrides().count(), config.section::<Pool>().unwrap().max), (0, 4));
    assert_eq!(config.reset_all().await.unwrap().event, None);
}

// ---- subscriptions to changes ----

#[foundation::test(builder = Pool::foundation())]
async fn a_subscriber_of_a_section_gets_the_old_and_the_new_one_once_a_transaction(namespace: TestNamespace) {
    let config = namespace.config();
    let mut sections = config.subscribe_section::<Pool>().unwrap();
    let mut values = config.subscribe("pool").unwrap();
    config.update("server.port", 1).await.unwrap();
    crash(&namespace, &ConfigServer::NAME).await;
    let noted = config.with_note(foundation::config::ChangeNote::by("alice"));
    let commit = noted.transaction(|wishes| wishes.set("pool.min", 8).set("pool.max", 16)).await.unwrap();
    config.update("pool.max", 17).await.unwrap();

    let changed = sections.next().await.unwrap().unwrap();
    assert_eq!(((changed.old.min, changed.old.max), (changed.new.min, changed.new.max)), ((1, 4), (8, 16)));
    assert_eq!((changed.generation, changed.event, changed.note.author.as_deref()), (3, commit.event, Some("alice")));
    assert_eq!(sections.next().await.unwrap().unwrap().new.max, 17);

    let mut received = Vec::new();
    for _ in 0..3 {
        let changed = values.next().await.unwrap().unwrap();
        received.push((changed.change.path.to_string(), changed.change.new, changed.generation));
    }
    let expected = [("pool.max", 16, 3), ("pool.min", 8, 3), ("pool.max", 17, 4)];
    assert_eq!(received, expected.map(|(path, new, generation)| (path.to_owned(), Value::from(new), generation)));
}

// ---- hostile input ----

#[foundation::test(builder = Pool::foundation())]
async fn hostile_paths_and_values_are_refused_with_short_escaped_errors_and_change_nothing(namespace: TestNamespace) {
    let config = namespace.config();
    let (deep, long) = (["a"; 17].join("."), "x".repeat(1 << 20));
    let paths = [
        "",
        ".",
        "../../etc/passwd",
        "a\u{0}b",
        "\u{1b}[31mred",
        "pool.'; drop table events;--",
        "POOL.MAX",
        "päth",
        &deep,
        &long,
    ];
    for path in paths {
        for text in [
            error_text(config.update(path, 1).await),
            error_text(config.get::<u8>(path)),
            error_text(config.history(path).await),
        ] {
            assert!(text.len() < 400 && !text.contains(|c: char| c.is_control()), "{text}");
        }
    }
    let levels = (0..100).fold(Value::Null, |inner, _| json!([inner]));
    for value in [levels, json!(long)] {
        assert!(matches!(
            config.transaction(|wishes| wishes.set("server.port", value)).await,
            Err(ConfigUpdateError::Refused(ConfigError::OverLimit { .. }))
        ));
    }
    assert_eq!((config.tree().generation(), namespace.events().stats().await.unwrap().recorded), (1, 0));
}
