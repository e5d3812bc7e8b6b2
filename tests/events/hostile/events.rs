//! Events, queries and subscriptions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foundation::events::{
    EventError, EventId, EventKind, EventSource, EventStoreError, Query, SubscriptionName, SubscriptionSpec,
};
use foundation::{NewEvent, TestNamespace};
use foundation_testkit::hostile::{TEXTS, long, nested, readable};
use foundation_testkit::{TraceLog, assert_error, error_text};
use futures::FutureExt;
use serde_json::{Value, json};

use super::each_store;

fn noted(payload: impl serde::Serialize) -> NewEvent {
    NewEvent::new("noted").unwrap().payload(payload).unwrap()
}

fn id(number: u64) -> EventId {
    EventId::new(number).unwrap()
}

#[test]
fn an_invalid_name_is_refused_in_one_short_line() {
    let long = long();
    for name in TEXTS.into_iter().chain([&*long]) {
        readable(NewEvent::new(name).unwrap_err());
        readable(EventKind::new(name).unwrap_err());
        readable(SubscriptionName::new(name).unwrap_err());
        match name.is_empty() || name.starts_with('/') {
            true => drop(Query::new().payload(name, 1).unwrap()),
            false => drop(readable(Query::new().payload(name, 1).unwrap_err())),
        }
    }
    let wanted = "wanted 1 to 128 bytes of [a-z0-9_.-] that start with a letter";
    let refusals = [
        (error_text(NewEvent::new("a\nb 1")), format!("event kind \"a\\nb 1\" has '\\n' as character 2; {wanted}")),
        (error_text(NewEvent::new("'; DROP")), format!("event kind \"'; DROP\" starts with '\\''; {wanted}")),
        (
            error_text(SubscriptionName::new("\u{1b}")),
            format!("subscription \"\\u{{1b}}\" starts with '\\u{{1b}}'; {wanted}"),
        ),
        (
            error_text(Query::new().payload("a' or 1=1--", 1)),
            r#""a' or 1=1--" is no JSON pointer; wanted "" for the whole payload, or a path such as "/order/id""#
                .into(),
        ),
    ];
    for (refusal, expected) in refusals {
        assert_eq!(refusal, expected);
    }
}

#[tokio::test]
async fn texts_of_any_kind_are_returned_unchanged_and_found_by_equality_alone() {
    each_store(async |store| {
        for (number, text) in (1..).zip(TEXTS) {
            let source = EventSource::new(text).actor(text);
            let event = noted(json!({ "text": text, text: text })).source(source.clone());
            let event = event.idempotency_key(format!("{number}{text}"));
            let given = store.append(event.clone()).await.unwrap();
            assert_eq!(store.append(event).await.unwrap(), given, "one key, one event");
            let found = store.get(given).await.unwrap().unwrap();
            assert_eq!(
                (found.id, &found.payload["text"], found.source.as_ref()),
                (id(number), &json!(text), Some(&source))
            );
        }
        for (number, text) in (1..).zip(TEXTS) {
            let queries = [
                Query::new().source(text),
                Query::new().source(EventSource::new(text).actor(text)),
                Query::new().payload("/text", text).unwrap(),
                Query::new().payload(format!("/{}", text.replace('~', "~0").replace('/', "~1")), text).unwrap(),
            ];
            for query in queries {
                let found = store.query(query.clone()).await.unwrap();
                assert_eq!(found.iter().map(|event| event.id).collect::<Vec<_>>(), [id(number)], "{query:?}");
            }
        }
        assert_eq!(store.stats().await.unwrap().held, TEXTS.len() as u64);
    })
    .await;
}

#[tokio::test]
async fn a_batch_with_an_event_that_is_too_large_is_refused_and_given_back() {
    each_store(async |store| {
        let first = store.append(noted(1)).await.unwrap();
        let future = noted(1).record(id(u64::MAX), "production", UNIX_EPOCH);
        let next = noted(1).record(id(2), "production", UNIX_EPOCH);
        let cases = [
            (noted(nested(65)), "has a payload that nests deeper than the 64 levels that the log takes"),
            (noted("x".repeat(1 << 20)), "has a payload of 1048578 bytes, and the log takes at most 1048576"),
            (noted(1).source("s".repeat(257)), "has a source of 257 bytes, and the log takes at most 256"),
            (
                noted(1).source(EventSource::new("").actor(long())),
                "has a source of 1000000 bytes, and the log takes at most 256",
            ),
            (noted(1).idempotency_key(long()), "has an idempotency key of 1000000 bytes, and the log takes 1 to 256"),
            (noted(1).idempotency_key(""), "has an idempotency key of 0 bytes, and the log takes 1 to 256"),
            (noted(1).caused_by(&future), "names event 18446744073709551615 as its cause, which is not recorded yet"),
            (noted(1).caused_by(&next), "names event 2 as its cause, which is not recorded yet"),
        ];
        for (hostile, expected) in cases {
            let batch = vec![noted(0), hostile];
            let error = store.append_batch(batch.clone()).await.unwrap_err();
            assert_eq!(readable(&error), format!("event 1 of the batch (noted) {expected}"));
            assert!(error.into_batch() == batch, "{expected}");
        }
        let many = vec![noted(0); 10_001];
        let error = store.append_batch(many).await.unwrap_err();
        assert_eq!(error.to_string(), "the batch has 10001 events, and the log takes at most 10000 at once");
        assert_eq!(error.into_batch().len(), 10_001);
        let stats = store.stats().await.unwrap();
        assert_eq!((stats.recorded, stats.newest), (1, Some(first)));
    })
    .await;
}

#[tokio::test]
async fn forged_ids_find_nothing_and_move_nothing() {
    each_store(async |store| {
        store.append_batch(vec![noted(1), noted(2)]).await.unwrap();
        for forged in [3, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX].map(id) {
            assert_eq!(store.get(forged).await.unwrap(), None);
            assert!(store.chain(forged).await.unwrap().is_none());
            assert_eq!(store.query(Query::new().after(forged)).await.unwrap(), []);
            assert_eq!(store.query(Query::new().causation(forged)).await.unwrap(), []);
            let error = store.append_expecting(Some(forged), vec![noted(3)]).await.unwrap_err();
            assert_eq!(error.to_string(), format!("the log is at event 2, and the writer expected it at event {forged}"));
            assert_eq!(error.into_batch().len(), 1);
            let mut ahead = store.subscribe(SubscriptionSpec::after(forged)).await.unwrap();
            assert!(ahead.next().now_or_never().is_none(), "{forged}");
        }
        let name = SubscriptionName::new("mail").unwrap();
        let mut mail = store.subscribe_durable(name.clone(), SubscriptionSpec::from_beginning()).await.unwrap();
        assert_eq!(mail.next().await.unwrap().unwrap().id, id(1));
        let error = mail.ack(id(u64::MAX)).await;
        let message = "event 18446744073709551615 cannot be acknowledged by the subscription mail, which has come to event 1 only";
        assert_eq!(error_text(error), message);
        drop(mail);
        let mut mail = store.subscribe_durable(name, SubscriptionSpec::from_beginning()).await.unwrap();
        assert_eq!((mail.acknowledged(), mail.next().await.unwrap().unwrap().id), (None, id(1)));
        assert_eq!(store.position(), Some(id(2)));
    })
    .await;
}

#[tokio::test]
async fn times_beyond_all_calendars_are_compared_exactly_in_queries_and_pruning() {
    each_store(async |store| {
        store.append(noted(1)).await.unwrap();
        let centuries = Duration::from_secs(1_000 * 365 * 86_400);
        let (past, future) = (UNIX_EPOCH - centuries, SystemTime::now() + centuries);
        assert_eq!(store.query(Query::new().from(past).until(future)).await.unwrap().len(), 1);
        assert_eq!(store.query(Query::new().from(future)).await.unwrap(), []);
        assert_eq!(store.query(Query::new().until(past)).await.unwrap(), []);
        assert_eq!(store.prune_before(past).await.unwrap(), 0);
        assert_eq!(store.prune_before(future).await.unwrap(), 1);
        assert_eq!(store.position(), Some(id(1)));
    })
    .await;
}

#[foundation::test]
async fn the_consumer_of_a_taken_subscription_is_named_in_one_short_line(namespace: TestNamespace) {
    let name = SubscriptionName::new("mail").unwrap();
    for consumer in TEXTS.map(str::to_owned).into_iter().chain([long()]) {
        let spec = || SubscriptionSpec::from_now().consumer(&consumer);
        let taken = namespace.events().subscribe_durable(name.clone(), spec()).await.unwrap();
        let error = namespace.events().subscribe_durable(name.clone(), spec()).await.unwrap_err();
        readable(error);
        drop(taken);
    }
}

#[foundation::test]
async fn a_payload_that_is_read_as_another_type_is_refused_in_one_short_line(namespace: TestNamespace) {
    for payload in TEXTS.map(str::to_owned).into_iter().chain([long()]) {
        let event = namespace.events().append(noted(payload)).await.unwrap();
        let event = namespace.events().get(event).await.unwrap().unwrap();
        readable(event.payload_as::<u32>().unwrap_err());
    }
}

#[foundation::test]
async fn a_noted_event_that_is_refused_is_logged_in_one_short_line(namespace: TestNamespace) {
    let (warnings, _guard) = TraceLog::of_thread(tracing::Level::WARN);
    namespace.events().note(vec![noted(long()).source("\u{1b}[31m").idempotency_key(long())]).unwrap();
    assert_eq!(namespace.events().stats().await.unwrap().recorded, 0);
    let warnings = warnings.all();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("events were not recorded"), "{warnings:?}");
    readable(&warnings[0]);
}

/// A refused request takes no place: the store that was attacked is as large as the one that was not.
#[foundation::test]
async fn ten_thousand_refusals_leave_nothing_behind(namespace: TestNamespace) {
    let store = namespace.events();
    store.append(noted(1)).await.unwrap();
    let before = store.stats().await.unwrap();
    let families = namespace.telemetry().scrape().families.len();
    let too_long = "k".repeat(257);
    for number in 0..10_000_u64 {
        let hostile = noted(number).source(format!("'; DROP {number}")).idempotency_key(format!("{number}{too_long}"));
        assert!(matches!(store.append(hostile).await, Err(EventStoreError::Log(_))));
        assert_error!(SubscriptionName::new(format!("{number}")), EventError::InvalidSubscription { .. });
    }
    assert_eq!(store.stats().await.unwrap(), before);
    assert_eq!(namespace.telemetry().scrape().families.len(), families);
    let all = store.query(Query::new().payload("", Value::from(1)).unwrap()).await.unwrap();
    assert_eq!(all.len(), 1);
}
