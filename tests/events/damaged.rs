//! Recorded events that are no longer readable: which readers are notified, how often, and what continues without them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use foundation::events::{
    Append, Appended, DamagedEvent, Event, EventError, EventId, EventKind, EventLog, EventPage, EventReader,
    EventStats, EventStorage, EventStoreError, EventSubscription, LogError, MemoryLog, OnDamaged, Order, PruneBound,
    Query, SubscriptionError, SubscriptionName, SubscriptionSpec, TransferError, Verification,
};
use foundation::{EventStore, Foundation, NewEvent};
use foundation_testkit::assert_error;
use tempfile::TempDir;

const NOTED: EventKind = EventKind::from_static("noted");
const BILLING: SubscriptionName = SubscriptionName::from_static("billing");

fn id(number: u64) -> EventId {
    EventId::new(number).unwrap()
}

/// A foundation on a file with thirty events, which was damaged in this way while it was closed.
struct Damage {
    directory: TempDir,
    foundation: Foundation,
}

impl Damage {
    async fn by(sql: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let foundation = on(directory.path()).await;
        let batch = (1..=30).map(|number| NewEvent::of(NOTED).payload(number).unwrap().source("shop"));
        foundation.events().append_batch(batch.collect()).await.unwrap();
        foundation.shutdown().await;
        let connection = rusqlite::Connection::open(database(directory.path())).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        Self { foundation: on(directory.path()).await, directory }
    }

    fn events(&self) -> &EventStore {
        self.foundation.events()
    }

    async fn follow(&self, spec: SubscriptionSpec) -> EventSubscription {
        self.events().subscribe(spec).await.unwrap()
    }

    async fn end(self) {
        self.foundation.shutdown().await;
        drop(self.directory);
    }
}

async fn on(directory: &Path) -> Foundation {
    Foundation::builder().events(EventStorage::sqlite(directory)).start().await.unwrap()
}

fn database(directory: &Path) -> PathBuf {
    directory.join("production.db")
}

async fn shown(subscription: &mut EventSubscription, count: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    while ids.len() < count {
        ids.push(subscription.next().await.unwrap().unwrap().id.get());
    }
    ids
}

fn ids(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.id.get()).collect()
}

fn others() -> Vec<u64> {
    (1..=30).filter(|id| *id != 20).collect()
}

/// Each changes the row of event 20 in another way.
const CHANGES: [&str; 10] = [
    "payload = '999'",
    "payload = '{'",
    "payload = CAST(x'ff' AS TEXT)",
    "kind = 'Not a kind'",
    "correlation_id = x'00'",
    "checksum = 7",
    "source = 'forged'",
    "recorded_at = -5",
    "recorded_at = 9223372036854775807",
    "recorded_at = 1",
];

fn change(change: &str) -> String {
    format!("UPDATE events SET {change} WHERE id = 20")
}

// ---- subscriptions ----

#[tokio::test]
async fn a_subscription_delivers_all_before_a_damaged_event_reports_it_once_and_continues_after_it() {
    for sql in CHANGES.map(change) {
        let damage = Damage::by(&sql).await;
        let mut all = damage.follow(SubscriptionSpec::from_beginning()).await;
        assert_eq!(shown(&mut all, 19).await, (1..=19).collect::<Vec<_>>(), "{sql}");
        assert_eq!(all.position(), Some(id(19)), "{sql}");
        let error = all.next().await.unwrap_err();
        assert!(matches!(error, SubscriptionError::Damaged { event, .. } if event == id(20)), "{sql}: {error}");
        assert!(error.to_string().starts_with("the row of event 20 is damaged: "), "{error}");
        assert_eq!(shown(&mut all, 10).await, (21..=30).collect::<Vec<_>>(), "{sql}");
        damage.end().await;
    }
}

#[tokio::test]
async fn a_subscription_of_a_kind_delivers_all_before_a_damaged_event_whatever_its_time() {
    for sql in ["recorded_at = -5", "recorded_at = 9223372036854775807", "payload = '{'"].map(change) {
        let damage = Damage::by(&sql).await;
        let mut noted = damage.follow(SubscriptionSpec::from_beginning().kind(NOTED)).await;
        assert_eq!(shown(&mut noted, 19).await, (1..=19).collect::<Vec<_>>(), "{sql}");
        assert!(matches!(noted.next().await, Err(SubscriptionError::Damaged { event, .. }) if event == id(20)));
        assert_eq!(shown(&mut noted, 10).await, (21..=30).collect::<Vec<_>>(), "{sql}");
        damage.end().await;
    }
}

#[tokio::test]
async fn a_subscription_that_skips_counts_the_skipped_events() {
    let damage = Damage::by(&format!("{}; DELETE FROM events WHERE id = 22", change("payload = '{'"))).await;
    let mut all = damage.follow(SubscriptionSpec::from_beginning().on_damaged(OnDamaged::Skip)).await;
    let rest: Vec<u64> = others().into_iter().filter(|id| *id != 22).collect();
    assert_eq!((shown(&mut all, 28).await, all.skipped()), (rest, 2));
    damage.end().await;
}

#[tokio::test]
async fn a_subscription_that_stops_returns_its_error_and_then_nothing_and_does_not_pass_the_event() {
    let damage = Damage::by(&change("payload = '{'")).await;
    let spec = || SubscriptionSpec::from_beginning().on_damaged(OnDamaged::Stop);
    let mut all = damage.follow(spec()).await;
    shown(&mut all, 19).await;
    assert!(matches!(all.next().await, Err(SubscriptionError::Damaged { .. })));
    assert!(all.next().await.unwrap().is_none());

    let mut durable = damage.events().subscribe_durable(BILLING, spec()).await.unwrap();
    while durable.next().await.is_ok() {}
    assert_error!(durable.ack(id(20)).await, SubscriptionError::NotGivenOut { .. });
    durable.ack(id(19)).await.unwrap();
    damage.end().await;
}

#[tokio::test]
async fn a_durable_subscription_can_acknowledge_a_damaged_event_that_was_reported_to_it() {
    let damage = Damage::by(&change("payload = '{'")).await;
    let mut durable = damage.events().subscribe_durable(BILLING, SubscriptionSpec::from_beginning()).await.unwrap();
    while durable.next().await.is_ok() {}
    durable.ack(id(20)).await.unwrap();
    assert_eq!(durable.next().await.unwrap().unwrap().id, id(21));
    damage.end().await;
}

#[tokio::test]
async fn events_that_are_missing_from_the_log_are_reported_and_not_taken_for_pruned_ones() {
    let damage = Damage::by("DELETE FROM events WHERE id IN (20, 21, 29, 30)").await;
    let mut all = damage.follow(SubscriptionSpec::from_beginning()).await;
    shown(&mut all, 19).await;
    let error = all.next().await.unwrap_err();
    assert!(matches!(error, SubscriptionError::Lost { from, to } if (from, to) == (id(20), id(21))), "{error}");
    assert_eq!(shown(&mut all, 7).await, (22..=28).collect::<Vec<_>>());
    let error = all.next().await.unwrap_err();
    assert_eq!(error.to_string(), "events 29 to 30 are missing from the log, and were not pruned");
    // The start position makes no difference.
    let mut late = damage.follow(SubscriptionSpec::after(id(19))).await;
    assert!(matches!(late.next().await, Err(SubscriptionError::Lost { .. })));
    damage.end().await;
}

// ---- queries ----

#[tokio::test]
async fn a_read_of_a_damaged_event_fails_with_its_id_and_the_store_continues() {
    for sql in CHANGES.map(change) {
        let damage = Damage::by(&sql).await;
        let store = damage.events();
        for error in [store.get(id(20)).await.unwrap_err(), store.query(Query::new()).await.unwrap_err()] {
            assert!(matches!(error, EventStoreError::Damaged { event, .. } if event == id(20)), "{sql}: {error}");
        }
        assert_eq!(ids(&store.query(Query::new().up_to(id(19))).await.unwrap()), (1..=19).collect::<Vec<_>>());
        assert_eq!(
            ids(&store.query(Query::new().after(id(20)).kind(NOTED)).await.unwrap()),
            (21..=30).collect::<Vec<_>>()
        );
        assert_eq!(store.append(NewEvent::of(NOTED)).await.unwrap(), id(31));
        damage.end().await;
    }
}

#[tokio::test]
async fn a_query_that_skips_answers_with_all_others_in_every_order() {
    for sql in CHANGES.map(change) {
        let damage = Damage::by(&sql).await;
        let store = damage.events();
        for query in [Query::new(), Query::new().kind(NOTED), Query::new().source("shop")] {
            let query = query.on_damaged(OnDamaged::Skip);
            assert_eq!(ids(&store.query(query.clone()).await.unwrap()), others(), "{sql}");
            let page = query.clone().order(Order::Descending).offset(5).limit(10);
            let expected: Vec<u64> = others().into_iter().rev().skip(5).take(10).collect();
            assert_eq!(ids(&store.query(page).await.unwrap()), expected, "{sql}");
        }
        damage.end().await;
    }
}

#[tokio::test]
async fn a_page_has_the_events_before_the_damaged_one_and_names_it() {
    let damage = Damage::by(&change("payload = '{'")).await;
    let page = damage.events().page(Query::new().kind(NOTED)).await.unwrap();
    assert_eq!((ids(&page.events).len(), page.damaged_count, page.damaged[0].event), (19, 1, id(20)));
    let page = damage.events().page(Query::new().limit(19)).await.unwrap();
    assert_eq!((page.events.len(), page.is_whole()), (19, true), "a page that ends before the damaged event is whole");
    damage.end().await;
}

// ---- exports ----

#[tokio::test]
async fn an_export_writes_all_before_a_damaged_event_and_ends_with_an_error_that_names_it() {
    for sql in [change("payload = '{'"), "DELETE FROM events WHERE id = 20".to_owned()] {
        let damage = Damage::by(&sql).await;
        let mut lines = Vec::new();
        let error = damage.events().export(Query::new(), &mut lines, |_| ()).await.unwrap_err();
        let TransferError::Store { events: 19, cause: EventStoreError::Damaged { event, .. } } = error else {
            panic!("{error}")
        };
        assert_eq!((event, String::from_utf8(lines).unwrap().lines().count()), (id(20), 19));
        damage.end().await;
    }
}

#[tokio::test]
async fn an_export_that_skips_can_be_imported_and_reports_the_skipped_events() {
    for sql in [change("payload = '{'"), "DELETE FROM events WHERE id = 20".to_owned()] {
        let damage = Damage::by(&sql).await;
        let mut lines = Vec::new();
        let everything = Query::new().on_damaged(OnDamaged::Skip);
        damage.events().export(everything, &mut lines, |_| ()).await.unwrap();
        let other = Foundation::builder().start().await.unwrap();
        other.events().import(&lines[..], |_| ()).await.unwrap();
        let lost = other.events().query(Query::new().kind(EventStore::EVENT_LOST)).await.unwrap();
        assert_eq!(ids(&lost), [20], "{sql}");
        assert_eq!(ids(&other.events().query(Query::new().kind(NOTED)).await.unwrap()), others());
        other.shutdown().await;
        damage.end().await;
    }
}

#[tokio::test]
async fn an_export_ends_although_others_append_continuously() {
    let foundation = Foundation::builder().start().await.unwrap();
    let store = foundation.events();
    store.append_batch(vec![NewEvent::of(NOTED); 1_200]).await.unwrap();
    for (query, expected) in [(Query::new(), 1_200), (Query::new().kind(NOTED), 1_800 + 600)] {
        let mut lines = Vec::new();
        let more = |_| store.note(vec![NewEvent::of(NOTED); 600]).unwrap();
        let written = store.export(query, &mut lines, more).await.unwrap();
        assert!(written >= expected && written <= expected + 600, "{written}");
    }
    foundation.shutdown().await;
}

// ---- the store itself ----

#[tokio::test]
async fn a_damaged_event_that_is_the_oldest_is_pruned_like_any_other() {
    let damage = Damage::by("UPDATE events SET payload = '{' WHERE id <= 2").await;
    let pruned = damage.events().prune_before(SystemTime::now() + Duration::from_secs(60)).await.unwrap();
    assert!(pruned >= 30, "{pruned}");
    damage.end().await;
}

#[tokio::test]
async fn a_repair_moves_damaged_events_aside_and_readers_find_no_damage_afterwards() {
    let damage = Damage::by(&format!("{}; DELETE FROM events WHERE id = 22", change("payload = '{'"))).await;
    let store = damage.events();
    let found = store.verify(|_| ()).await.unwrap();
    let named = |number| found.findings.iter().any(|entry| entry.event == Some(id(number)));
    assert!(named(20) && named(22), "{found}");
    let report = store.repair().await.unwrap();
    assert_eq!((report.moved_count, report.moved[0].event, report.moved[1].event), (2, id(20), id(22)));
    let found = store.verify(|_| ()).await.unwrap();
    assert!(found.is_clean(), "{found}");
    let moved: Vec<_> = store.moved_aside(10).await.unwrap().into_iter().map(|damaged| damaged.event).collect();
    assert_eq!(moved, [id(20)]);

    let mut all = damage.follow(SubscriptionSpec::from_beginning()).await;
    assert_eq!(shown(&mut all, 30).await, (1..=30).collect::<Vec<_>>());
    let lost = store.query(Query::new().kind(EventStore::EVENT_LOST)).await.unwrap();
    assert_eq!((ids(&lost), lost[1].payload["reason"].as_str()), (vec![20, 22], Some("it is missing from the log")));
    damage.end().await;
}

// ---- a custom log ----

/// A log in memory that reports event 20 as damaged when it is read, and whose reads fail on request.
#[derive(Clone)]
struct Broken {
    log: MemoryLog,
    reads: Arc<AtomicUsize>,
    reads_fail: Arc<AtomicBool>,
}

impl Broken {
    fn new() -> Self {
        let log = MemoryLog::new("production");
        let batch = (1..=30).map(|number| NewEvent::of(NOTED).payload(number).unwrap());
        log.append_batch(batch.collect(), SystemTime::now()).unwrap();
        Self { log, reads: Arc::default(), reads_fail: Arc::default() }
    }

    async fn start(&self) -> Foundation {
        let log = self.clone();
        Foundation::builder().events(EventStorage::with(move |_| Ok(log.clone()))).start().await.unwrap()
    }
}

impl EventLog for Broken {
    fn commit(&mut self, group: Vec<Append>, now: SystemTime) -> Result<Vec<Result<Appended, EventError>>, LogError> {
        self.log.commit(group, now)
    }

    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> Result<u64, LogError> {
        EventLog::prune(&mut self.log, bound, keep_from, at_most)
    }

    fn acknowledge(&mut self, subscription: &SubscriptionName, up_to: EventId) -> Result<(), LogError> {
        self.log.acknowledge(subscription, up_to)
    }

    fn forget_subscription(&mut self, subscription: &SubscriptionName) -> Result<bool, LogError> {
        self.log.forget_subscription(subscription)
    }

    fn import(&mut self, events: Vec<Event>) -> Result<Result<(), EventError>, LogError> {
        self.log.import(events)
    }

    fn reader(&self) -> Result<Box<dyn EventReader>, LogError> {
        Ok(Box::new(self.clone()))
    }
}

impl EventReader for Broken {
    fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, LogError> {
        Ok(self.log.get(id))
    }

    fn query(&self, query: &Query) -> Result<Vec<Arc<Event>>, LogError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.reads_fail.load(Ordering::SeqCst) {
            return Err(LogError::new("querying events", "a broken log", "a bad sector"));
        }
        let found = self.log.query(query);
        match found.iter().any(|event| event.id == id(20)) {
            true => {
                Err(LogError::damaged("querying events", "a broken log", DamagedEvent::new(id(20), "a bad sector")))
            }
            false => Ok(found),
        }
    }

    fn stats(&self) -> Result<EventStats, LogError> {
        Ok(self.log.stats())
    }

    fn acknowledged(&self, subscription: &SubscriptionName) -> Result<Option<EventId>, LogError> {
        EventReader::acknowledged(&self.log, subscription)
    }

    fn verify(&self, _: &mut dyn FnMut(u64)) -> Result<Verification, LogError> {
        Ok(self.log.verify())
    }
}

#[tokio::test]
async fn a_custom_log_can_report_a_damaged_event_and_all_others_are_delivered() {
    let log = Broken::new();
    let page = log.page(&Query::new().after(id(10))).unwrap();
    let mut expected = EventPage::new(log.log.query(&Query::new().after(id(10)).up_to(id(19))));
    expected.add_damaged(DamagedEvent::new(id(20), "a bad sector"));
    assert_eq!(page, expected);

    let foundation = log.start().await;
    let mut all = foundation.events().subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
    assert_eq!(shown(&mut all, 19).await.len(), 19);
    assert!(matches!(all.next().await, Err(SubscriptionError::Damaged { event, .. }) if event == id(20)));
    assert_eq!(shown(&mut all, 10).await, (21..=30).collect::<Vec<_>>());
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_subscription_that_cannot_read_retries_at_growing_intervals() {
    let log = Broken::new();
    let foundation = log.start().await;
    log.reads_fail.store(true, Ordering::SeqCst);
    let mut all = foundation.events().subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
    let (before, start) = (log.reads.load(Ordering::SeqCst), std::time::Instant::now());
    for _ in 0..4 {
        assert!(matches!(all.next().await, Err(SubscriptionError::Store(_))));
    }
    assert!(start.elapsed() >= Duration::from_millis(50 + 100 + 200), "{:?}", start.elapsed());
    assert_eq!(log.reads.load(Ordering::SeqCst) - before, 4);
    foundation.shutdown().await;
}
