//! The event store: positions, keys, cursors, chains, retention, transfer, and failures of its log.

use std::sync::Arc;
use std::time::Duration;

use foundation::events::{
    Event, EventError, EventId, EventStorage, EventStoreError, MemoryLog, Order, Query, Retention, TransferError,
};
use foundation::{EventStore, Foundation, NewEvent, TestNamespace};
use foundation_testkit::{ErrorInjector, InjectedError, TestClock, assert_error, at, crash, unregister_event_store};
use futures::future::join_all;

pub(super) fn event(kind: &str, payload: u64) -> NewEvent {
    NewEvent::new(kind).unwrap().payload(payload).unwrap()
}

pub(super) fn counted(numbers: std::ops::Range<u64>) -> Vec<NewEvent> {
    numbers.map(|number| event("counted", number)).collect()
}

pub(super) fn payloads_of(events: &[NewEvent]) -> Vec<u64> {
    events.iter().map(|event| event.clone().record(EventId::FIRST, "", at(0)).payload.as_u64().unwrap()).collect()
}

pub(super) fn payloads(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.payload.as_u64().unwrap()).collect()
}

async fn one(store: &EventStore, id: EventId) -> Arc<Event> {
    store.get(id).await.unwrap().unwrap()
}

/// A log in memory that works on a thread of its own and fails like this, and a handle on its events.
pub(super) fn faulty(fails: fn(usize) -> Option<InjectedError>) -> (EventStorage, MemoryLog) {
    let (kept, faults) = (MemoryLog::new("production"), ErrorInjector::new(fails));
    let log = kept.clone();
    (EventStorage::with(move |_| Ok(faults.of(log.clone()))), kept)
}

// ---- writing ----

#[foundation::test]
async fn an_append_that_expects_another_position_is_a_conflict_and_is_given_back(namespace: TestNamespace) {
    let store = namespace.events();
    assert_eq!(store.position(), None);
    let first = store.append_expecting(None, counted(0..2)).await.unwrap();
    assert_eq!(store.position(), Some(first[1]));
    let error = store.append_expecting(Some(first[0]), counted(2..3)).await.unwrap_err();
    assert_eq!(error.to_string(), "the log is at event 2, and the writer expected it at event 1");
    let EventStoreError::Log(EventError::Conflict { actual, .. }) = &error else { panic!("{error}") };
    let actual = *actual;
    store.append_expecting(actual, error.into_batch()).await.unwrap();
    assert_eq!(payloads(&store.query(Query::new()).await.unwrap()), [0, 1, 2]);
}

#[foundation::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_appends_that_expect_one_position_exactly_one_succeeds(namespace: TestNamespace) {
    let racers = (0..16).map(|number| {
        let store = namespace.events().clone();
        tokio::spawn(async move { store.append_expecting(None, vec![event("won", number)]).await })
    });
    let outcomes = join_all(racers).await;
    assert_eq!(outcomes.into_iter().filter(|outcome| outcome.as_ref().unwrap().is_ok()).count(), 1);
    assert_eq!(namespace.events().stats().await.unwrap().recorded, 1);
}

#[foundation::test]
async fn an_append_is_repeated_without_harm_under_one_key_even_over_a_restart(namespace: TestNamespace) {
    let store = namespace.events();
    let paid = || event("paid", 12).idempotency_key("order 7");
    let first = store.append(paid()).await.unwrap();
    assert_eq!(store.append(paid()).await.unwrap(), first);
    crash(&namespace, &EventStore::NAME).await;
    assert_eq!(store.append(paid()).await.unwrap(), first);
    let paid = Query::new().kind("paid".parse().unwrap());
    assert_eq!(store.query(paid).await.unwrap().len(), 1);
}

#[foundation::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_producers_get_ids_without_gap_or_duplicate_from_a_log_on_its_own_thread(_namespace: TestNamespace) {
    let (storage, _) = faulty(|_| None);
    let foundation = Foundation::builder().events(storage).start().await.unwrap();
    let producers = (0..16).map(|_| {
        let store = foundation.events().clone();
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for number in 0..100 {
                ids.push(store.append(event("counted", number)).await.unwrap().get());
                assert!(store.position().unwrap().get() >= *ids.last().unwrap());
            }
            ids
        })
    });
    let mut ids: Vec<_> = join_all(producers).await.into_iter().flat_map(Result::unwrap).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(1..=1_600));
    assert!(foundation.events().verify(|_| ()).await.unwrap().is_clean());
    foundation.shutdown().await;
}

// ---- a store that is restarted ----

#[foundation::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_wait_for_a_store_that_is_restarted_and_each_is_recorded_once(namespace: TestNamespace) {
    let (stop, _) = tokio::sync::watch::channel(false);
    let (begun, mut beginnings) = tokio::sync::mpsc::unbounded_channel();
    let producers = (0..8).map(|_| {
        let (store, stop, begun) = (namespace.events().clone(), stop.subscribe(), begun.clone());
        tokio::spawn(async move {
            let mut ids = Vec::new();
            while !*stop.borrow() {
                ids.push(store.append(event("counted", 1)).await.unwrap().get());
                let _ = begun.send(());
                tokio::task::yield_now().await;
            }
            ids
        })
    });
    let producers: Vec<_> = producers.collect();
    for _ in 0..3 {
        beginnings.recv().await.unwrap();
        crash(&namespace, &EventStore::NAME).await;
        while beginnings.try_recv().is_ok() {}
        beginnings.recv().await.unwrap();
    }
    stop.send(true).unwrap();
    let ids: Vec<u64> = join_all(producers).await.into_iter().flat_map(Result::unwrap).collect();
    let counted =
        namespace.events().query(Query::new().kind("counted".parse().unwrap()).limit(usize::MAX)).await.unwrap();
    let mut recorded: Vec<_> = counted.iter().map(|event| event.id.get()).collect();
    let mut returned = ids;
    returned.sort_unstable();
    recorded.sort_unstable();
    assert_eq!(returned, recorded);
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_store_takes_the_configured_time_and_none_if_the_store_cannot_return() {
    let foundation = Foundation::builder().start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let store = namespace.events().clone();
    unregister_event_store(namespace.services());
    let begun = tokio::time::Instant::now();
    let error = store.append(event("counted", 1)).await.unwrap_err();
    assert!(error.to_string().starts_with("no service event_store in namespace test:"), "{error}");
    assert_eq!((begun.elapsed(), error.into_batch().len()), (Duration::from_secs(2), 1));

    namespace.cleanup().await.unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(store.append(event("counted", 1)).await.unwrap_err().into_batch().len(), 1);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    foundation.shutdown().await;
}

// ---- reading ----

#[foundation::test]
async fn pages_by_cursor_show_each_event_once_while_others_are_recorded_and_pruned(namespace: TestNamespace) {
    let store = namespace.events();
    store.append_batch(counted(0..10)).await.unwrap();
    let (mut seen, mut page) = (Vec::new(), Query::new().order(Order::Descending).limit(3));
    loop {
        let events = store.query(page.clone()).await.unwrap();
        let Some(last) = events.last() else { break };
        seen.extend(payloads(&events));
        page = page.after(last.id);
        store.append(event("counted", 99)).await.unwrap();
    }
    assert_eq!(seen, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(payloads(&store.recent(2).await.unwrap()), [99, 99]);
}

#[foundation::test]
async fn a_chain_crosses_requests_and_begins_with_the_oldest_ancestor(namespace: TestNamespace) {
    let store = namespace.events();
    let placed = store.append(NewEvent::new("order_placed").unwrap().source("shop")).await.unwrap();
    let placed = one(store, placed).await;
    store.append(event("unrelated", 0)).await.unwrap();
    let paid = store.append(event("order_paid", 1).child_of(&placed)).await.unwrap();
    let paid = one(store, paid).await;
    // A request of its own, and then one that continues in it.
    let packed = store.append(event("parcel_packed", 2).caused_by(&paid)).await.unwrap();
    let packed = one(store, packed).await;
    let sent = store.append(event("parcel_sent", 3).child_of(&packed)).await.unwrap();
    store.append(event("order_confirmed", 4).child_of(&placed)).await.unwrap();
    let drawn = "\
1 order_placed by shop
├─ 3 order_paid
│  └─ 4 parcel_packed
│     └─ 5 parcel_sent
└─ 6 order_confirmed";
    for id in [placed.id, packed.id, sent] {
        assert_eq!(store.chain(id).await.unwrap().unwrap().to_string(), drawn);
    }
    assert_eq!(store.by_correlation(packed.correlation_id).await.unwrap().len(), 2);
    assert_eq!(store.chain(EventId::new(77).unwrap()).await.unwrap(), None);
}

// ---- retention ----

#[tokio::test(start_paused = true)]
async fn fnd_7_retention_prunes_by_age_and_count_is_reported_and_continues_after_a_restart() {
    let clock = TestClock::default();
    let minute = Duration::from_secs(60);
    // By a clock that is set by hand, each time of day is exact.
    let retention =
        Retention::new().max_age(minute).max_count(1_500).every(minute).jump_confirmed_after(Duration::ZERO);
    let storage = EventStorage::memory().retention(retention);
    let foundation = Foundation::builder().clock(clock.read()).test_events(storage).start().await.unwrap();
    let namespace = foundation.test_namespace().await.unwrap();
    let (sender, mut looks) = tokio::sync::mpsc::unbounded_channel();
    let send = move |event: &foundation::telemetry::TelemetryEvent<'_>| sender.send(event.metadata.clone()).unwrap();
    namespace.telemetry().attach("looks", ["event_store.retention"], send).unwrap();

    clock.set(100);
    namespace.events().append_batch(counted(0..500)).await.unwrap();
    clock.set(200);
    namespace.events().append_batch(counted(500..2_500)).await.unwrap();
    let look = looks.recv().await.unwrap();
    assert_eq!((&look["by_age"], &look["by_count"]), (&500.into(), &500.into()));
    assert_eq!(namespace.events().stats().await.unwrap().held, 1_500);

    crash(&namespace, &EventStore::NAME).await;
    clock.set(300);
    let look = loop {
        let look = looks.recv().await.unwrap();
        if look["by_age"] != 0 || look["by_count"] != 0 {
            break look;
        }
    };
    assert!(look["by_age"].as_u64().unwrap() >= 1_500, "{look}");
    namespace.cleanup().await.unwrap();
    foundation.shutdown().await;
}

// ---- export and import ----

#[foundation::test]
async fn exported_events_are_imported_with_their_ids_and_new_ids_follow_them(namespace: TestNamespace) {
    let store = namespace.events();
    store.append_batch(counted(0..1_200)).await.unwrap();
    let (mut lines, mut progress) = (Vec::new(), Vec::new());
    let written = store.export(Query::new().after(EventId::FIRST), &mut lines, |count| progress.push(count)).await;
    assert_eq!((written.unwrap(), progress), (1_199, vec![500, 1_000, 1_199]));

    let other = Foundation::builder().start().await.unwrap();
    assert_eq!(other.events().import(&lines[..], |_| ()).await.unwrap(), 1_199);
    let [theirs, ours] = [other.events(), store].map(|store| store.query(Query::new().after(EventId::FIRST)));
    assert_eq!(theirs.await.unwrap(), ours.await.unwrap());
    assert_eq!(other.events().position(), EventId::new(1_200));
    assert_eq!(other.events().append(event("counted", 0)).await.unwrap().get(), 1_201);
    assert!(other.events().verify(|_| ()).await.unwrap().is_clean());
    other.shutdown().await;
}

#[foundation::test]
async fn a_forged_or_broken_line_is_refused_by_its_number_and_the_page_with_it(namespace: TestNamespace) {
    let store = namespace.events();
    store.append_batch(counted(0..3)).await.unwrap();
    let mut lines = Vec::new();
    store.export(Query::new(), &mut lines, |_| ()).await.unwrap();
    let good = String::from_utf8(lines).unwrap();
    let other = Foundation::builder().start().await.unwrap();
    let deep = format!("\n{}", "[".repeat(1_000_000));
    let cases = [
        (good.replace("\"payload\":1", "\"payload\":7"), "line 2 cannot be imported: event 2 has the checksum"),
        (good.replace("\"id\":1", "\"id\":0"), "line 1 cannot be imported: "),
        (format!("{good}\n\nno json"), "line 6 cannot be imported: "),
        (deep, "line 2 cannot be imported: "),
        (format!("{good}{good}"), "event 1 cannot be imported: event 4 comes next"),
        ("x".repeat((16 << 20) + 1), "line 1 cannot be imported: it has more than 16777216 bytes"),
    ];
    for (text, expected) in cases {
        let error = other.events().import(text.as_bytes(), |_| ()).await.unwrap_err();
        let TransferError::Store { events: 0, cause } = &error else { panic!("{error}") };
        assert!(cause.to_string().starts_with(expected), "{cause}");
        assert_eq!(other.events().position(), None);
    }
    other.shutdown().await;
}

// ---- hostile input ----

#[foundation::test]
async fn hostile_queries_find_nothing_and_do_no_harm(namespace: TestNamespace) {
    let store = namespace.events();
    let long = "/a".repeat(100_000);
    assert_error!(Query::new().payload("a' or 1=1--", 1), EventError::InvalidPointer { .. });
    store.append_batch(counted(0..3)).await.unwrap();
    let sources = ["' or '1'='1", "\u{0}", "%", ""].map(|source| Query::new().source(source));
    let pointers = ["/' or 1=1--", "/%", "/\u{0}", &long].map(|pointer| Query::new().payload(pointer, 1).unwrap());
    for query in sources.into_iter().chain(pointers) {
        assert_eq!(store.query(query).await.unwrap(), []);
    }
    let far = Query::new().after(EventId::new(u64::MAX).unwrap()).offset(usize::MAX).limit(usize::MAX);
    assert_eq!(store.query(far).await.unwrap(), []);
    assert_eq!(store.get(EventId::new(u64::MAX).unwrap()).await.unwrap(), None);
    assert_eq!(store.stats().await.unwrap().held, 3);
}
