//! The event store through its client.

use foundation::events::{BatchError, Event, EventError, EventId, EventStoreError, Order, Query};
use foundation::{EventStore, Foundation, NewEvent, TestNamespace};
use foundation_testkit::{TestClock, at, crash, error_text, unregister_event_store};
use parking_lot::Mutex;
use std::sync::Arc;

fn event(kind: &str, payload: u64) -> NewEvent {
    NewEvent::new(kind).unwrap().payload(payload).unwrap()
}

fn payloads(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.payload.as_u64().unwrap()).collect()
}

/// One event a second: ticks with even numbers, tocks with odd ones.
async fn ten_seconds(clock: &TestClock, store: &EventStore) {
    for second in 0..10 {
        clock.set(second);
        store.append(event(if second % 2 == 0 { "ticked" } else { "tocked" }, second)).await.unwrap();
    }
}

async fn timed() -> (TestClock, Foundation) {
    let clock = TestClock::default();
    let foundation = Foundation::builder().clock(clock.read()).start().await.unwrap();
    (clock, foundation)
}

// ---- writing ----

#[foundation::test]
async fn an_event_is_found_by_its_id_with_all_its_fields(namespace: TestNamespace) {
    let store = namespace.events();
    let placed = event("order_placed", 12).source("shop");
    let correlation = placed.correlation_id();
    let id = store.append(placed).await.unwrap();
    let found = store.get(id).await.unwrap().unwrap();
    assert_eq!((found.id, found.kind.as_str(), found.payload_as::<u64>().unwrap()), (id, "order_placed", 12));
    assert_eq!((found.correlation_id, found.service()), (correlation, Some("shop")));
    assert_eq!(found.namespace, namespace.services().namespace().to_string());

    let paid = store.append(event("order_paid", 12).child_of(&found)).await.unwrap();
    let paid = store.get(paid).await.unwrap().unwrap();
    assert_eq!((paid.causation_id, paid.correlation_id), (Some(id), correlation));
}

#[foundation::test]
async fn a_batch_has_consecutive_ids_and_one_time(namespace: TestNamespace) {
    let ids = namespace.events().append_batch((0..5).map(|n| event("counted", n)).collect()).await.unwrap();
    assert_eq!(ids.iter().map(|id| id.get()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let all = namespace.events().query(Query::new()).await.unwrap();
    assert_eq!(payloads(&all), [0, 1, 2, 3, 4]);
    assert!(all.iter().all(|event| event.recorded_at == all[0].recorded_at));
    assert_eq!(namespace.events().append_batch(Vec::new()).await.unwrap(), []);
}

#[foundation::test]
async fn a_batch_with_one_bad_event_is_refused_as_a_whole_and_given_back(namespace: TestNamespace) {
    let too_long = NewEvent::new("noted").unwrap().source("s".repeat(257));
    let batch = vec![event("counted", 1), too_long, event("counted", 2)];
    let error = namespace.events().append_batch(batch.clone()).await.unwrap_err();
    let expected = "event 1 of the batch (noted) has a source of 257 bytes, and the log takes at most 256";
    assert_eq!(error.to_string(), expected);
    let EventStoreError::Log(EventError::Refused { error: BatchError::SourceTooLong { index: 1, .. }, .. }) = &error
    else {
        panic!("{error}")
    };
    assert_eq!(error.into_batch(), batch);
    assert_eq!(namespace.events().stats().await.unwrap().recorded, 0);
    let id = namespace.events().append(event("counted", 3)).await.unwrap();
    assert_eq!(id, EventId::FIRST, "a refused batch takes no ids");
}

#[foundation::test]
async fn an_event_that_cannot_be_delivered_is_given_back(namespace: TestNamespace) {
    unregister_event_store(namespace.services());
    let batch = vec![event("counted", 1), event("counted", 2)];
    let error = namespace.events().append_batch(batch.clone()).await.unwrap_err();
    assert!(matches!(error, EventStoreError::NotDelivered { .. }));
    assert!(error.to_string().starts_with("no service event_store in namespace test:"), "{error}");
    assert_eq!(error.into_batch(), batch);
    assert_eq!(namespace.events().note(batch.clone()).unwrap_err().into_batch(), batch);
    assert!(error_text(namespace.events().stats().await).starts_with("no service event_store"));
}

#[foundation::test]
async fn a_noted_event_is_recorded_before_a_later_request(namespace: TestNamespace) {
    namespace.events().note(vec![event("counted", 1), event("counted", 2)]).unwrap();
    assert_eq!(payloads(&namespace.events().query(Query::new()).await.unwrap()), [1, 2]);
}

#[foundation::test]
async fn recorded_events_outlive_the_actor(namespace: TestNamespace) {
    let id = namespace.events().append(event("counted", 1)).await.unwrap();
    crash(&namespace, &EventStore::NAME).await;
    assert_eq!(payloads(&[namespace.events().get(id).await.unwrap().unwrap()]), [1]);
    assert!(namespace.events().append(event("counted", 2)).await.unwrap() > id);
}

// ---- reading ----

#[tokio::test]
async fn events_are_queried_by_kind_time_order_limit_and_offset() {
    let (clock, foundation) = timed().await;
    let store = foundation.events();
    ten_seconds(&clock, store).await;
    let ticked = || Query::new().kind("ticked".parse().unwrap());
    let cases = [
        (Query::new(), vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (ticked(), vec![0, 2, 4, 6, 8]),
        (ticked().kind("tocked".parse().unwrap()).limit(3), vec![0, 1, 2]),
        (Query::new().from(at(3)).until(at(6)), vec![3, 4, 5]),
        (Query::new().until(at(2)), vec![0, 1]),
        (Query::new().from(at(6)).until(at(3)), vec![]),
        (ticked().order(Order::Descending).limit(2), vec![8, 6]),
        (ticked().order(Order::Descending).offset(1).limit(2), vec![6, 4]),
        (Query::new().offset(8), vec![8, 9]),
        (Query::new().offset(10), vec![]),
        (Query::new().limit(0), vec![]),
        (Query::new().kind("tolled".parse().unwrap()), vec![]),
    ];
    for (query, expected) in cases {
        assert_eq!(payloads(&store.query(query.clone()).await.unwrap()), expected, "{query:?}");
    }
    foundation.shutdown().await;
}

#[foundation::test]
async fn the_events_of_one_request_are_found_by_their_correlation(namespace: TestNamespace) {
    let store = namespace.events();
    let opened = store.append(event("opened", 1)).await.unwrap();
    let opened = store.get(opened).await.unwrap().unwrap();
    store.append(event("opened", 2)).await.unwrap();
    store.append(event("closed", 3).child_of(&opened)).await.unwrap();
    let request = Query::new().correlation(opened.correlation_id);
    assert_eq!(payloads(&store.query(request).await.unwrap()), [1, 3]);
}

#[foundation::test]
async fn an_id_that_was_never_given_finds_nothing(namespace: TestNamespace) {
    assert_eq!(namespace.events().get(EventId::new(7).unwrap()).await.unwrap(), None);
}

// ---- pruning ----

#[tokio::test]
async fn pruning_removes_the_events_before_a_time_and_never_reuses_an_id() {
    let (clock, foundation) = timed().await;
    let store = foundation.events();
    ten_seconds(&clock, store).await;
    assert_eq!(store.prune_before(at(7)).await.unwrap(), 7);
    assert_eq!(store.prune_before(at(7)).await.unwrap(), 0);
    assert_eq!(payloads(&store.query(Query::new()).await.unwrap()), [7, 8, 9]);
    assert_eq!(store.get(EventId::FIRST).await.unwrap(), None);

    let stats = store.stats().await.unwrap();
    assert_eq!((stats.recorded, stats.held, stats.pruned), (10, 3, 7));
    assert_eq!((stats.oldest, stats.newest), (EventId::new(8), EventId::new(10)));
    assert!(stats.bytes > 0);

    assert_eq!(store.prune_before(at(100)).await.unwrap(), 3);
    assert_eq!(store.stats().await.unwrap().bytes, 0);
    assert_eq!(store.append(event("ticked", 11)).await.unwrap(), EventId::new(11).unwrap());
    foundation.shutdown().await;
}

#[tokio::test]
async fn pruning_waits_for_each_holder_that_holds_it_back_and_notifies_no_other() {
    let (clock, foundation) = timed().await;
    let store = foundation.events();
    ten_seconds(&clock, store).await;
    let noted = Arc::new(Mutex::new(Vec::new()));
    for (holder, kept, then) in [("first", 3, 9), ("second", 6, 10), ("third", 9, 10)] {
        let (hold, noted) = (store.hold().of(holder), Arc::clone(&noted));
        hold.keep_from(EventId::new(kept));
        hold.clone().held_by(move || {
            noted.lock().push(holder);
            hold.keep_from(EventId::new(then));
        });
    }
    // Seven events are before this time, and the third holder keeps the ninth.
    assert_eq!(store.prune_before(at(7)).await.unwrap(), 7);
    assert_eq!(*noted.lock(), ["first", "second"]);
    foundation.shutdown().await;
}

#[tokio::test]
async fn pruning_continues_at_its_position_after_a_restart() {
    let (clock, foundation) = timed().await;
    let namespace = foundation.test_namespace().await.unwrap();
    ten_seconds(&clock, namespace.events()).await;
    assert_eq!(namespace.events().prune_before(at(3)).await.unwrap(), 3);
    crash(&namespace, &EventStore::NAME).await;
    assert_eq!(namespace.events().prune_before(at(5)).await.unwrap(), 2);
    assert_eq!(
        namespace.events().stats().await.unwrap().held,
        5 + 2,
        "with the records of the crash and of the restart"
    );
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

#[tokio::test]
async fn time_does_not_go_backwards_with_the_clock() {
    let (clock, foundation) = timed().await;
    for second in [5, 3, 6] {
        clock.set(second);
        foundation.events().append(event("ticked", second)).await.unwrap();
    }
    let all = foundation.events().query(Query::new()).await.unwrap();
    assert_eq!(all.iter().map(|event| event.recorded_at).collect::<Vec<_>>(), [at(5), at(5), at(6)]);
    foundation.shutdown().await;
}

// ---- reports of supervisors ----

#[foundation::test]
async fn a_child_that_does_not_start_is_on_record(namespace: TestNamespace) {
    use foundation::ChildSpec;
    use foundation::supervision::StartError;
    let spec = ChildSpec::from_fn("sleeper", foundation::supervision::ChildKind::Worker, |_| async {
        Err::<foundation::supervision::Started, _>(StartError::failed("overslept"))
    });
    let error = namespace.services().supervise(spec).await.unwrap_err();
    assert!(error.to_string().ends_with("child sleeper did not start: overslept"), "{error}");
    let failed = Query::new().kind("child_start_failed".parse().unwrap());
    let recorded = namespace.events().query(failed).await.unwrap();
    assert_eq!(
        (&recorded[0].payload["child"], &recorded[0].payload["cause"]),
        (&"sleeper".into(), &"overslept".into())
    );
}
