//! The config server through its client, and the error texts for invalid configurations.

use std::path::{Path, PathBuf};

use foundation::config::{ConfigError, ConfigSources, ConfigUpdateError, ValueOrigin};
use foundation::events::{EventStoreError, Query};
use foundation::{ConfigServer, EventStore, Foundation, FoundationError, TestNamespace};
use foundation_testkit::{
    SOON, TestClock, alive_tasks, configured, crash, error_text, held_up_by, settings, unregister_event_store,
};
use futures::{FutureExt, TryStreamExt};
use serde::Deserialize;
use serde_json::json;

/// A TOML file that exists as long as its directory.
struct File {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl File {
    fn with(toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.toml");
        std::fs::write(&path, toml).unwrap();
        Self { path, _directory: directory }
    }
}

async fn refused(sources: ConfigSources) -> String {
    let error = Foundation::builder().config(sources).start().await.expect_err("the configuration is wrong");
    assert!(matches!(error, FoundationError::Config(_)), "{error}");
    error.to_string()
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

// ---- reading ----

#[foundation::test(builder = configured())]
async fn values_and_sections_are_read_as_types(namespace: TestNamespace) {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Server {
        host: String,
        port: u16,
    }
    let config = namespace.config();
    assert_eq!(config.get::<u16>("server.port").unwrap(), 8080);
    let server: Server = config.get("server").unwrap();
    assert_eq!(server, Server { host: "localhost".to_owned(), port: 8080 });
}

#[tokio::test]
async fn a_file_overrides_defaults_the_environment_overrides_the_file_and_an_update_overrides_all() {
    let file = File::with("[server]\nport = 1\nhost = 'file'\n");
    let sources = settings().file(&file.path).environment("app", variables(&[("APP__SERVER__PORT", "2")])).unwrap();
    let foundation = Foundation::builder().config(sources).start().await.unwrap();
    let config = foundation.config();
    let port_and_origin = || {
        let tree = config.tree();
        (tree.get("server.port").unwrap().as_u64().unwrap(), tree.origin("server.port").unwrap())
    };
    let from_variable = (2, ValueOrigin::Environment("APP__SERVER__PORT".to_owned()));
    assert_eq!(config.get::<String>("server.host").unwrap(), "file");
    assert_eq!(config.tree().origin("server.host").unwrap(), ValueOrigin::File { path: file.path.clone(), line: 3 });
    assert_eq!(config.tree().origin("limits.ratio").unwrap(), ValueOrigin::Default);
    assert_eq!(port_and_origin(), from_variable);

    config.update("server.port", 3).await.unwrap();
    assert_eq!(port_and_origin(), (3, ValueOrigin::Override));
    config.reset("server.port").await.unwrap();
    assert_eq!(port_and_origin(), from_variable);
    foundation.shutdown().await;
}

#[foundation::test(builder = configured())]
async fn a_tree_does_not_change_under_its_reader(namespace: TestNamespace) {
    let before = namespace.config().tree();
    namespace.config().update("server.port", 1).await.unwrap();
    assert_eq!(before.get("server.port").unwrap(), 8080);
    assert_eq!(namespace.config().tree().get("server.port").unwrap(), 1);
}

// ---- changing ----

#[foundation::test(builder = configured())]
async fn an_update_is_recorded_with_path_old_and_new_value(namespace: TestNamespace) {
    let changed = namespace.config().update("server.port", 9090).await.unwrap();
    assert_eq!(changed.generation, 2);
    let event = namespace.events().get(changed.event.unwrap()).await.unwrap().unwrap();
    assert_eq!(event.kind.as_str(), "config_updated");
    assert_eq!(event.service(), Some("config_server"));
    assert_eq!(event.payload, json!({ "path": "server.port", "old": 8080, "new": 9090 }));
}

#[foundation::test(builder = configured())]
async fn an_update_to_the_same_value_changes_and_records_nothing(namespace: TestNamespace) {
    let changed = namespace.config().update("server.port", 8080).await.unwrap();
    assert_eq!((changed.event, changed.generation), (None, 1));
    assert_eq!(namespace.events().stats().await.unwrap().recorded, 0);
    assert_eq!(namespace.telemetry().snapshot().counter("config.updates"), None);
}

#[foundation::test(builder = configured())]
async fn a_reset_restores_the_value_below_and_is_recorded_too(namespace: TestNamespace) {
    let config = namespace.config();
    config.update("server.port", 1).await.unwrap();
    let changed = config.reset("server.port").await.unwrap();
    assert!(changed.event.is_some());
    assert_eq!(config.get::<u16>("server.port").unwrap(), 8080);
    assert_eq!(config.status().await.unwrap().overrides, 0);
    assert_eq!(config.reset("server.port").await.unwrap().event, None);
}

#[foundation::test(builder = configured())]
async fn the_status_counts_changes_values_overrides_and_subscribers(namespace: TestNamespace) {
    let config = namespace.config();
    let subscription = config.subscribe("server").unwrap();
    config.update("server.port", 1).await.unwrap();
    let status = config.status().await.unwrap();
    assert_eq!((status.generation, status.paths, status.overrides, status.subscribers), (2, 3, 1, 1));
    drop(subscription);
    assert_eq!(config.status().await.unwrap().subscribers, 0);
}

#[foundation::test(builder = configured())]
async fn an_update_shows_in_its_own_namespace_and_in_no_other(namespace: TestNamespace) {
    let foundation = configured().start().await.unwrap();
    let (ours, theirs) = (foundation.test_namespace().await.unwrap(), foundation.test_namespace().await.unwrap());
    let (one, other) = tokio::join!(ours.config().update("server.port", 1), theirs.config().update("server.port", 2));
    let (one, other) = (one.unwrap(), other.unwrap());
    for (services, changed, port) in [(&ours, &one, 1), (&theirs, &other, 2)] {
        assert_eq!(services.config().get::<u16>("server.port").unwrap(), port);
        let events = services.events().query(Query::new()).await.unwrap();
        assert_eq!((events.len(), Some(events[0].id)), (1, changed.event));
        assert_eq!(events[0].namespace, services.services().namespace().to_string());
        assert_eq!(services.telemetry().snapshot().counter("config.updates"), Some(1));
    }
    for untouched in [foundation.production(), namespace.services()] {
        assert_eq!(untouched.config().get::<u16>("server.port").unwrap(), 8080);
        assert_eq!(untouched.events().stats().await.unwrap().recorded, 0);
        assert_eq!(untouched.telemetry().snapshot().counter("config.updates"), None);
    }
    ours.cleanup().await.unwrap();
    theirs.cleanup().await.unwrap();
    foundation.shutdown().await;
}

#[foundation::test(builder = configured())]
async fn an_update_fails_and_the_old_value_stays_while_the_event_store_is_away(namespace: TestNamespace) {
    let config = namespace.config();
    let mut changes = config.subscribe("server.port").unwrap();
    unregister_event_store(namespace.services());

    let error = config.update("server.port", 1).await.unwrap_err();
    let expected = format!(
        "the change was not recorded: no service event_store in namespace {}",
        namespace.services().namespace()
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
    let ConfigUpdateError::NotRecorded(cause) = error else { panic!("{error}") };
    // The event that could not be recorded comes back.
    assert_eq!(cause.into_batch()[0].kind().as_str(), "config_updated");
    assert_eq!(config.get::<u16>("server.port").unwrap(), 8080);
    let status = config.status().await.unwrap();
    assert_eq!((status.generation, status.overrides), (1, 0));
    let snapshot = namespace.telemetry().snapshot();
    assert_eq!((snapshot.counter("config.updates"), snapshot.counter("config.updates_refused")), (None, Some(1)));
    let nothing = tokio::time::timeout(std::time::Duration::ZERO, changes.next()).await;
    assert!(nothing.is_err(), "a change that did not happen is not reported");
}

#[tokio::test]
async fn an_update_whose_recording_fails_half_way_is_decided_before_it_is_answered() {
    let clock = TestClock::default();
    let foundation = configured().clock(clock.read()).start().await.unwrap();
    let config = foundation.config();
    clock.fail_once();
    let error = config.update("server.port", 1).await.unwrap_err();
    // The store failed at this event; its successor does not have it.
    assert!(matches!(error, ConfigUpdateError::NotRecorded(EventStoreError::NoAnswer { .. })), "{error}");
    assert_eq!(config.get::<u16>("server.port").unwrap(), 8080);
    assert_eq!(config.update("server.port", 1).await.unwrap().generation, 2);
    foundation.shutdown().await;
}

#[foundation::test(builder = configured())]
async fn a_restarted_server_has_every_change_including_those_whose_events_were_pruned(namespace: TestNamespace) {
    let config = namespace.config();
    config.update("server.port", 1).await.unwrap();
    config.update("limits.ratio", 1).await.unwrap();
    config.reset("limits.ratio").await.unwrap();
    let pruned = namespace.events().prune_before(std::time::SystemTime::now() + SOON).await.unwrap();
    assert_eq!(pruned, 3);
    crash(&namespace, &ConfigServer::NAME).await;
    let status = config.status().await.unwrap();
    assert_eq!((status.generation, status.overrides), (4, 1));
    assert_eq!(config.get::<u16>("server.port").unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_restarted_server_waits_for_an_event_store_that_is_restarting_itself() {
    let clock = TestClock::default();
    let foundation = held_up_by(&clock).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    namespace.config().update("server.port", 1).await.unwrap();
    let mut held = clock.hold_next();
    namespace.events().note(vec![foundation::NewEvent::new("stuck").unwrap()]).unwrap();
    held.arrival().await;

    // The new server calls the old store, or finds none; in either case the old one never answers.
    namespace.kill(&ConfigServer::NAME).await.unwrap();
    let release = async {
        tokio::task::yield_now().await;
        drop(held);
    };
    let (killed, ()) = futures::join!(async { namespace.kill(&EventStore::NAME).await }, release);
    killed.unwrap();
    // The old store may have answered the new server just before its end; a caller that makes a change waits for both.
    namespace.events().wait_until_up(SOON).await.unwrap();
    namespace.config().wait_until_up(SOON).await.unwrap();
    assert_eq!(namespace.config().update("server.port", 2).await.unwrap().generation, 3);
    assert_eq!(namespace.registry().counters().counter("supervisor.failed_starts"), Some(0));
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

#[foundation::test(builder = configured())]
async fn values_are_read_while_the_server_is_away(namespace: TestNamespace) {
    namespace.config().update("server.port", 1).await.unwrap();
    namespace.kill(&ConfigServer::NAME).await.unwrap();
    assert_eq!(namespace.config().get::<u16>("server.port").unwrap(), 1);
    namespace.config().wait_until_up(SOON).await.unwrap();
}

#[tokio::test]
async fn a_change_without_a_server_reports_that_nothing_happened() {
    let foundation = configured().start().await.unwrap();
    foundation.shutdown().await;
    let error = foundation.config().update("server.port", 1).await.unwrap_err();
    assert_eq!(error.to_string(), "no service config_server in namespace production");
    assert!(matches!(error, ConfigUpdateError::NotDelivered { .. }));
}

#[tokio::test]
async fn a_change_from_outside_a_runtime_reports_that_nothing_happened() {
    let foundation = configured().start().await.unwrap();
    let config = foundation.config().clone();
    let update = std::thread::spawn(move || config.update("server.port", 1).now_or_never());
    let error = update.join().unwrap().expect("it is answered at once").unwrap_err();
    assert!(matches!(error, ConfigUpdateError::NotDelivered { .. }), "{error}");
    assert_eq!(foundation.config().get::<u16>("server.port").unwrap(), 8080);
    foundation.shutdown().await;
}

// ---- subscriptions to changes ----

#[foundation::test(builder = configured())]
async fn a_subscriber_gets_the_changes_of_its_section_in_order_and_no_others(namespace: TestNamespace) {
    let config = namespace.config();
    let mut changes = config.subscribe("server").unwrap();
    config.update("server.port", 1).await.unwrap();
    config.update("limits.ratio", 0.75).await.unwrap();
    config.update("server.host", "example.org").await.unwrap();
    let received = [changes.next().await.unwrap().unwrap(), changes.next().await.unwrap().unwrap()];
    assert_eq!(received.map(|changed| changed.change.path.to_string()), ["server.port", "server.host"]);
}

#[foundation::test(builder = configured())]
async fn a_subscription_is_a_stream_of_changes_that_ends_with_the_namespace(namespace: TestNamespace) {
    let config = namespace.config().clone();
    let ports = config.subscribe("server.port").unwrap();
    for port in 1..=3 {
        config.update("server.port", port).await.unwrap();
    }
    namespace.cleanup().await.unwrap();
    let ports: Vec<_> = ports.map_ok(|changed| changed.change.new).try_collect().await.unwrap();
    assert_eq!(ports, [json!(1), json!(2), json!(3)]);
}

#[foundation::test(builder = configured())]
async fn a_subscriber_reads_the_new_value_when_it_is_notified(namespace: TestNamespace) {
    let config = namespace.config().clone();
    let mut changes = config.subscribe("server.port").unwrap();
    let listening = tokio::spawn(async move {
        while let Ok(Some(changed)) = changes.next().await {
            let now = config.tree();
            assert!(now.generation() >= changed.generation);
        }
    });
    for port in 0..100 {
        namespace.config().update("server.port", port).await.unwrap();
    }
    listening.abort();
    assert!(listening.await.unwrap_err().is_cancelled());
}

#[foundation::test(builder = configured())]
async fn a_slow_subscriber_gets_the_number_of_missed_changes(namespace: TestNamespace) {
    let config = namespace.config();
    let mut changes = config.subscribe("server.port").unwrap();
    for port in 0..1_034 {
        config.update("server.port", port).await.unwrap();
    }
    let lagged = changes.next().await.unwrap_err();
    assert_eq!(lagged.to_string(), "10 configuration changes were missed: the subscriber was too slow");
    assert_eq!(changes.next().await.unwrap().unwrap().change.new, 10);
}

#[tokio::test]
async fn a_subscription_ends_with_its_namespace() {
    let foundation = configured().start().await.unwrap();
    let mut changes = foundation.config().subscribe("server").unwrap();
    foundation.config().update("server.port", 1).await.unwrap();
    foundation.shutdown().await;
    assert_eq!(changes.next().await.unwrap().unwrap().change.new, 1);
    assert_eq!(tokio::time::timeout(SOON, changes.next()).await, Ok(Ok(None)));
}

// ---- bad input: the error texts, and that nothing is lost ----

#[foundation::test(builder = configured())]
async fn an_unknown_path_is_answered_with_the_near_misses(namespace: TestNamespace) {
    let config = namespace.config();
    let expected = "unknown config path server.prt; did you mean server.port?";
    assert_eq!(error_text(config.get::<u16>("server.prt")), expected);
    assert_eq!(error_text(config.update("server.prt", 1).await), expected);
    assert_eq!(error_text(config.reset("server.prt").await), expected);
    assert_eq!(error_text(config.subscribe("server.prt")), expected);
    let expected = "unknown config path zzz; nothing is near it, the top level has: limits, server";
    assert_eq!(error_text(config.get::<u16>("zzz")), expected);
    assert_eq!(config.status().await.unwrap().generation, 1);
}

#[foundation::test]
async fn an_unknown_path_in_an_empty_configuration_is_refused_as_such(namespace: TestNamespace) {
    let expected = "unknown config path server.port; the configuration is empty";
    assert_eq!(error_text(namespace.config().get::<u16>("server.port")), expected);
}

#[foundation::test(builder = configured())]
async fn an_invalid_path_is_refused_with_the_character_and_its_place(namespace: TestNamespace) {
    let expected = "config path \"server/port\" has '/' as character 7; \
                    wanted segments of [a-z0-9_-] that start with a letter, with dots between them";
    assert_eq!(error_text(namespace.config().get::<u16>("server/port")), expected);
    assert_eq!(error_text(namespace.config().update("server/port", 1).await), expected);
}

#[foundation::test(builder = configured())]
async fn an_update_of_the_wrong_type_names_the_path_and_both_types_and_changes_nothing(namespace: TestNamespace) {
    let config = namespace.config();
    let error = config.update("server.port", "many").await.unwrap_err();
    let expected = "config path server.port wants integer, found string (an update at run time)";
    assert_eq!(error.to_string(), expected);
    assert!(matches!(error, ConfigUpdateError::Refused(ConfigError::WrongType { .. })));
    assert_eq!(config.get::<u16>("server.port").unwrap(), 8080);
    assert_eq!(namespace.events().stats().await.unwrap().recorded, 0);
    let expected = "config path server is a section; name one of its values: server.host, server.port";
    assert_eq!(error_text(config.update("server", 1).await), expected);
}

#[foundation::test(builder = configured())]
async fn an_update_that_json_cannot_express_is_refused_with_the_path(namespace: TestNamespace) {
    let no_json = std::collections::BTreeMap::from([((1, 2), 3)]);
    let expected = "the new value of server.port cannot be written as JSON: key must be a string";
    assert_eq!(error_text(namespace.config().update("server.port", no_json).await), expected);
}

#[tokio::test]
async fn a_value_that_is_read_as_the_wrong_type_is_refused_with_both_types_and_its_source() {
    let file = File::with("# comment\n[server]\nport = 70000\n");
    let foundation = Foundation::builder().config(settings().file(&file.path)).start().await.unwrap();
    let place = file.path.display();
    let expected = format!("config path server.port wants u16, found integer 70000 (file {place}, line 3)");
    assert_eq!(error_text(foundation.config().get::<u16>("server.port")), expected);
    let expected = "config path server.host wants a boolean, found string (the defaults)";
    assert_eq!(error_text(foundation.config().get::<bool>("server.host")), expected);
    assert_eq!(foundation.config().get::<u32>("server.port").unwrap(), 70_000);
    foundation.shutdown().await;
}

#[tokio::test]
async fn malformed_toml_is_refused_with_file_line_and_column() {
    let file = File::with("[server]\nport = \n");
    let text = refused(settings().file(&file.path)).await;
    let expected = format!("the configuration cannot be loaded: config file {}, line 2, column ", file.path.display());
    assert!(text.starts_with(&expected), "{text}");
    // The place, then the parser's reason.
    assert!(text[expected.len()..].split_once(": ").is_some_and(|(column, _)| column.parse::<u8>().is_ok()), "{text}");
}

#[tokio::test]
async fn a_missing_file_is_refused_with_its_path() {
    let text = refused(settings().file("no/such/app.toml")).await;
    assert_eq!(text, "the configuration cannot be loaded: config file no/such/app.toml does not exist");
    let optional = settings().optional_file(Path::new("no/such/app.toml"));
    Foundation::builder().config(optional).start().await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_value_of_the_wrong_type_in_a_file_is_refused_with_path_types_and_line() {
    let file = File::with("[server]\n\nport = 'many'\n");
    let expected = format!(
        "the configuration cannot be loaded: config path server.port wants integer, found string (file {}, line 3)",
        file.path.display()
    );
    assert_eq!(refused(settings().file(&file.path)).await, expected);
}

#[tokio::test]
async fn a_value_of_the_wrong_type_in_the_environment_is_refused_with_the_variable_and_never_its_text() {
    let sources = settings().environment("APP", variables(&[("APP__SERVER__PORT", "s3cret")])).unwrap();
    let expected = "the configuration cannot be loaded: config path server.port wants integer (such as 42), found \
                    string (environment variable APP__SERVER__PORT)";
    assert_eq!(refused(sources).await, expected);
}

#[tokio::test]
async fn a_variable_whose_name_makes_no_path_is_refused_with_its_name() {
    let sources = settings().environment("APP", variables(&[("APP__SERVER__", "1")])).unwrap();
    let text = refused(sources).await;
    let expected = "the configuration cannot be loaded: \"server.\" in environment variable APP__SERVER__ is no config \
                    path: it has an empty segment at character 8";
    assert_eq!(text, expected);
}

#[tokio::test]
async fn a_configuration_that_cannot_be_loaded_leaves_no_actor_behind() {
    let before = alive_tasks();
    refused(settings().file("no/such/app.toml")).await;
    assert_eq!(alive_tasks(), before);
}
