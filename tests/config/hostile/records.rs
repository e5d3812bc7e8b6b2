//! Forged records of changes, and rollbacks to events that are no change.

use foundation::events::{EventId, Query};
use foundation::{ConfigServer, Foundation, NewEvent, TestNamespace};
use foundation_testkit::hostile::{nested, readable};
use foundation_testkit::{Pool, crash, error_text};
use serde_json::{Value, json};

fn forged(payload: Value) -> NewEvent {
    NewEvent::new("config_updated").unwrap().source("config_server").payload(payload).unwrap()
}

fn guarded() -> foundation::FoundationBuilder {
    let api = json!({ "api": { "key": "hunter2" }, "free": null });
    let guarded = Pool::sources().defaults(api).unwrap().updatable("api").unwrap().secret("api.key").unwrap();
    Foundation::builder().config(guarded.updatable("free").unwrap())
}

#[foundation::test(builder = guarded())]
async fn a_forged_record_cannot_set_an_invalid_value(namespace: TestNamespace) {
    let config = namespace.config();
    config.update("pool.max", 9).await.unwrap();
    let before = config.tree().export();
    let change = |path: &str, new: Value| json!({ "path": path, "old": null, "new": new });
    let payloads = [
        change("api.key", json!("mine")),
        change("pool.fixed", json!(false)),
        change("pool.min", json!(0)),
        change("pool.min", json!("'; DROP")),
        change("pool", json!({ "min": 0 })),
        change("free", nested(17)),
        change("free", json!("x".repeat(1 << 17))),
        change("../../etc/passwd", json!(1)),
        change("pool.unknown\n", json!(1)),
        json!({ "changes": [change("pool.min", json!(2)), change("api.key", json!("mine"))] }),
        json!({ "changes": [] }),
        json!({ "changes": { "path": "pool.min" } }),
        nested(64),
        Value::Null,
    ];
    for payload in &payloads {
        namespace.events().append(forged(payload.clone())).await.unwrap();
    }
    crash(&namespace, &ConfigServer::NAME).await;
    assert_eq!(config.tree().export(), before);
    assert_eq!(config.status().await.unwrap().generation, 2);
    config.history("pool").await.unwrap();
    config.update("pool.max", 10).await.unwrap();
    assert_eq!(config.section::<Pool>().unwrap().max, 10);
}

#[foundation::test(builder = guarded())]
async fn a_rollback_over_a_forged_record_sets_no_invalid_value(namespace: TestNamespace) {
    let config = namespace.config();
    let event = config.update("pool.max", 9).await.unwrap().event.unwrap();
    let forgery = json!({ "path": "api.key", "old": "mine", "new": "mine" });
    let forgery = namespace.events().append(forged(forgery)).await.unwrap();
    let text = readable(config.rollback(event).await.unwrap_err());
    assert!(text.starts_with("config path api.key is a secret"), "{text}");
    assert_eq!((config.tree().generation(), config.section::<Pool>().unwrap().max), (2, 9));
    assert!(config.rollback(forgery).await.unwrap().changes.is_empty());
    config.update("pool.max", 8).await.unwrap();
}

#[foundation::test(builder = Pool::foundation())]
async fn a_rollback_to_the_event_of_another_namespace_is_refused(namespace: TestNamespace) {
    let foundation = Foundation::builder().config(Pool::sources()).start().await.unwrap();
    let mut theirs = EventId::FIRST;
    for max in 10..15 {
        theirs = foundation.config().update("pool.max", max).await.unwrap().event.unwrap();
    }
    let config = namespace.config();
    config.update("pool.max", 9).await.unwrap();
    let error = config.rollback(theirs).await;
    assert_eq!(error_text(error), "event 5 records no change of the configuration; the newest that does is 1");
    assert_eq!(config.section::<Pool>().unwrap().max, 9);
    foundation.shutdown().await;
}

/// An import of another namespace's events brings its records; they change nothing in this one.
#[foundation::test(builder = Pool::foundation())]
async fn the_imported_records_of_another_namespace_set_no_invalid_value(namespace: TestNamespace) {
    let theirs = Foundation::builder().config(Pool::sources().updatable("pool").unwrap()).start().await.unwrap();
    let wishes = theirs.config().transaction(|wishes| wishes.set("pool.max", 99).set("pool.fixed", false));
    let event = wishes.await.unwrap().event.unwrap();
    let mut lines = Vec::new();
    theirs.events().export(Query::new(), &mut lines, |_| ()).await.unwrap();
    theirs.shutdown().await;

    namespace.events().import(&lines[..], |_| ()).await.unwrap();
    let config = namespace.config();
    crash(&namespace, &ConfigServer::NAME).await;
    assert_eq!((config.section::<Pool>().unwrap().max, config.tree().generation()), (4, 1));
    assert!(config.rollback(event).await.unwrap().changes.is_empty());
    config.update("pool.max", 5).await.unwrap();
    assert_eq!(config.section::<Pool>().unwrap().max, 5);
}
