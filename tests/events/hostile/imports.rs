//! Files of exported events that were tampered with.

use std::fmt::Write;

use foundation::events::{Query, TransferError};
use foundation::{EventStore, Foundation, NewEvent, TestNamespace};
use foundation_testkit::hostile::{TEXTS, nested, readable};
use serde_json::{Value, json};
use tokio::io::BufReader;

use super::each_store;

/// An exported event, as a value to be tampered with; without its checksum, which is optional.
fn line(change: impl FnOnce(&mut Value)) -> String {
    let mut line = json!({
        "id": 1, "kind": "noted", "namespace": "production", "source": null, "idempotency_key": null, "payload": 1,
        "recorded_at": { "secs_since_epoch": 1, "nanos_since_epoch": 0 },
        "observed_at": { "secs_since_epoch": 1, "nanos_since_epoch": 0 },
        "correlation_id": "00000000-0000-0000-0000-000000000001", "causation_id": null,
    });
    change(&mut line);
    line.to_string()
}

fn with(field: &str, value: Value) -> String {
    line(|line| line[field] = value)
}

async fn refused(store: &EventStore, text: &[u8]) -> String {
    let error = store.import(text, |_| panic!("nothing is in")).await.unwrap_err();
    let TransferError::Store { events: 0, cause } = &error else { panic!("{error}") };
    readable(&error);
    assert_eq!(store.position(), None);
    cause.to_string()
}

#[tokio::test]
async fn a_line_that_was_tampered_with_is_refused_in_one_short_line_and_nothing_is_imported() {
    let long = "x".repeat(1_000_000);
    let far = json!({ "secs_since_epoch": u64::MAX, "nanos_since_epoch": 0 });
    let later_than_all = json!({ "secs_since_epoch": 1_u64 << 40, "nanos_since_epoch": 0 });
    let source = |service: &str| json!({ "service": service, "actor_id": null });
    let cases = [
        (with("id", json!(0)), "line 1 cannot be imported: "),
        (with("id", json!(-1)), "line 1 cannot be imported: "),
        (with("id", json!(1.5)), "line 1 cannot be imported: "),
        (with("id", json!(long)), "line 1 cannot be imported: "),
        (line(|_| ()).replace("\"id\":1", "\"id\":18446744073709551616"), "line 1 cannot be imported: "),
        (
            with("id", json!(u64::MAX)),
            "event 18446744073709551615 cannot be imported: a log takes ids up to 4611686018427387904",
        ),
        (with("id", json!((1_u64 << 62) + 1)), "event 4611686018427387905 cannot be imported: a log takes ids up to "),
        (
            with("kind", json!("'; DROP TABLE events; --")),
            "line 1 cannot be imported: event kind \"'; DROP TABLE events; --\" starts with '\\''",
        ),
        (with("kind", json!(long)), "line 1 cannot be imported: event kind "),
        (with("kind", json!(["noted"])), "line 1 cannot be imported: "),
        (with("correlation_id", json!("'; DROP TABLE events; --")), "line 1 cannot be imported: "),
        (with("correlation_id", json!(long)), "line 1 cannot be imported: "),
        (with("causation_id", json!(1)), "event 1 cannot be imported: its cause, event 1, is not before it"),
        (
            with("causation_id", json!(u64::MAX)),
            "event 1 cannot be imported: its cause, event 18446744073709551615, is not before it",
        ),
        (with("causation_id", json!(0)), "line 1 cannot be imported: "),
        (with("recorded_at", far.clone()), "line 1 cannot be imported: "),
        (with("observed_at", far), "line 1 cannot be imported: "),
        (with("recorded_at", later_than_all), "event 1 cannot be imported: its time is not one that comes next"),
        (
            with("payload", nested(65)),
            "event 1 cannot be imported: event 0 of the batch (noted) has a payload that nests deeper than the 64 levels",
        ),
        (
            with("payload", nested(120)),
            "event 1 cannot be imported: event 0 of the batch (noted) has a payload that nests deeper than the 64 levels",
        ),
        (with("payload", json!(nested(200))), "line 1 cannot be imported: recursion limit exceeded"),
        (
            with("payload", json!("x".repeat(1 << 20))),
            "event 1 cannot be imported: event 0 of the batch (noted) has a payload of 1048578 bytes",
        ),
        (
            with("source", source(&"s".repeat(257))),
            "event 1 cannot be imported: event 0 of the batch (noted) has a source of 257 bytes",
        ),
        (
            with("idempotency_key", json!("")),
            "event 1 cannot be imported: event 0 of the batch (noted) has an idempotency key of 0 bytes",
        ),
        (
            with("idempotency_key", json!(long)),
            "event 1 cannot be imported: event 0 of the batch (noted) has an idempotency key of 1000000 bytes",
        ),
        (
            with("namespace", json!(long)),
            "event 1 cannot be imported: its namespace has 1000000 bytes, and a log takes at most 256",
        ),
        (line(|_| ()).replace("\"id\":1", "\"id\":1,\"id\":2"), "line 1 cannot be imported: "),
        ("{".to_owned(), "line 1 cannot be imported: "),
        ("null".to_owned(), "line 1 cannot be imported: "),
        ("[]".to_owned(), "line 1 cannot be imported: "),
        (format!("\n\n{}", "{\"a\":".repeat(100_000)), "line 3 cannot be imported: "),
    ];
    each_store(async |store| {
        for (text, expected) in &cases {
            let message = refused(store, text.as_bytes()).await;
            assert!(message.starts_with(expected), "{message}\n{expected}");
        }
        let message = refused(store, b"\xff\xfe\x00").await;
        assert!(message.starts_with("line 1 cannot be imported: "), "{message}");
        // One good line does not let the rest of its page in.
        let page = format!("{}\n{}", line(|_| ()), with("id", json!(3)));
        assert_eq!(refused(store, page.as_bytes()).await, "event 3 cannot be imported: event 2 comes next");
        let key = |id: u64| line(|line| (line["id"], line["idempotency_key"]) = (json!(id), json!("k")));
        let page = format!("{}\n{}", key(1), key(2));
        let expected = "event 2 cannot be imported: its idempotency key is that of event 1";
        assert_eq!(refused(store, page.as_bytes()).await, expected);
    })
    .await;
}

#[foundation::test]
async fn a_line_without_end_is_not_read_to_its_end(namespace: TestNamespace) {
    let endless = BufReader::new(tokio::io::repeat(b'x'));
    let error = namespace.events().import(endless, |_| ()).await.unwrap_err();
    let expected = "stopped after 0 events: line 1 cannot be imported: it has more than 16777216 bytes";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn the_pages_before_the_one_that_was_tampered_with_are_imported() {
    each_store(async |store| {
        let mut text = String::new();
        for id in 1..=500 {
            writeln!(text, "{}", with("id", json!(id))).unwrap();
        }
        text += &with("id", json!(7));
        let error = store.import(text.as_bytes(), |_| ()).await.unwrap_err();
        assert_eq!(error.to_string(), "stopped after 500 events: event 7 cannot be imported: event 501 comes next");
        assert_eq!(store.stats().await.unwrap().held, 500);
    })
    .await;
}

#[foundation::test]
async fn texts_of_any_kind_are_exported_and_imported_unchanged_one_line_each(namespace: TestNamespace) {
    for text in TEXTS {
        let event = NewEvent::new("noted").unwrap().payload(json!({ text: text })).unwrap().source(text);
        namespace.events().append(event.idempotency_key(format!("key {text}"))).await.unwrap();
    }
    let mut lines = Vec::new();
    namespace.events().export(Query::new(), &mut lines, |_| ()).await.unwrap();
    assert_eq!(String::from_utf8(lines.clone()).unwrap().lines().count(), TEXTS.len());
    let other = Foundation::builder().start().await.unwrap();
    assert_eq!(other.events().import(&lines[..], |_| ()).await.unwrap(), TEXTS.len() as u64);
    let both = [namespace.events(), other.events()].map(|store| store.query(Query::new()));
    let [ours, theirs] = both;
    assert_eq!(ours.await.unwrap(), theirs.await.unwrap());
    other.shutdown().await;
}
