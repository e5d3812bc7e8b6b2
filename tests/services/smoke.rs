use foundation::{ConfigSources, Foundation, FoundationBuilder, TestNamespace};
use serde_json::json;

fn with_port() -> FoundationBuilder {
    let sources = ConfigSources::new().defaults(json!({ "server": { "port": 8080 } })).expect("the defaults are valid");
    Foundation::builder().config(sources)
}

#[foundation::test(builder = with_port())]
async fn a_config_update_becomes_an_event_and_a_counter_in_its_own_namespace(namespace: TestNamespace) {
    let changed = namespace.config().update("server.port", 9090).await.expect("the update is valid");
    let event = namespace.events().get(changed.event.expect("recorded")).await.expect("store").expect("event");
    assert_eq!(event.kind.as_str(), "config_updated");
    assert_eq!(event.namespace, namespace.namespace().to_string());
    let snapshot = namespace.telemetry().snapshot().await.expect("telemetry");
    assert_eq!(snapshot.counter("config.updates"), Some(1));
    assert!(namespace.health().await.is_healthy(), "{}", namespace.health().await);
}

#[foundation::test]
#[should_panic(expected = "1 tasks or actors")]
async fn a_task_that_outlives_its_test_fails_it(_namespace: TestNamespace) {
    tokio::spawn(std::future::pending::<()>());
}
