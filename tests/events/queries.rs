//! Queries that take long, and other reads beside them.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foundation::events::{
    Append, Appended, Event, EventError, EventId, EventKind, EventLog, EventReader, EventStats, EventStorage,
    EventStoreError, EventStoreLimits, Interrupt, LogError, MemoryLog, PruneBound, Query, QueryLimit, SqliteLog,
    SqliteOptions, SubscriptionName, SubscriptionSpec, Verification,
};
use foundation::{EventStore, Foundation, Limits, NewEvent};
use foundation_testkit::{SOON, soon};
use futures::future::join_all;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

// ---- a log whose queries end on request ----

/// A log in memory, on threads of its own, that answers all but two queries, for which it searches for ever.
#[derive(Clone)]
struct EndlessLog {
    kept: MemoryLog,
    begun: UnboundedSender<()>,
}

struct EndlessReader {
    kept: Box<dyn EventReader>,
    begun: UnboundedSender<()>,
    interrupt: Interrupt,
}

impl EventLog for EndlessLog {
    fn commit(&mut self, group: Vec<Append>, now: SystemTime) -> Result<Vec<Result<Appended, EventError>>, LogError> {
        self.kept.commit(group, now)
    }

    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> Result<u64, LogError> {
        EventLog::prune(&mut self.kept, bound, keep_from, at_most)
    }

    fn acknowledge(&mut self, subscription: &SubscriptionName, up_to: EventId) -> Result<(), LogError> {
        self.kept.acknowledge(subscription, up_to)
    }

    fn forget_subscription(&mut self, subscription: &SubscriptionName) -> Result<bool, LogError> {
        self.kept.forget_subscription(subscription)
    }

    fn import(&mut self, events: Vec<Event>) -> Result<Result<(), EventError>, LogError> {
        self.kept.import(events)
    }

    fn reader(&self) -> Result<Box<dyn EventReader>, LogError> {
        let (kept, begun) = (self.kept.reader()?, self.begun.clone());
        Ok(Box::new(EndlessReader { kept, begun, interrupt: Interrupt::new() }))
    }
}

impl EventReader for EndlessReader {
    fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, LogError> {
        self.kept.get(id)
    }

    fn query(&self, query: &Query) -> Result<Vec<Arc<Event>>, LogError> {
        // Whatever its time limit.
        if query.clone().within(HOUR) != endless() && !looks_for_rare(query) {
            return self.kept.query(query);
        }
        let _ = self.begun.send(());
        while !self.interrupt.is_raised() {
            thread::yield_now();
        }
        Err(LogError::new("querying", "an endless log", "it was interrupted"))
    }

    fn stats(&self) -> Result<EventStats, LogError> {
        self.kept.stats()
    }

    fn acknowledged(&self, subscription: &SubscriptionName) -> Result<Option<EventId>, LogError> {
        self.kept.acknowledged(subscription)
    }

    fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<Verification, LogError> {
        self.kept.verify(progress)
    }

    fn interrupt_by(&mut self, interrupt: &Interrupt) {
        self.interrupt = interrupt.clone();
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// The query that never ends by itself.
fn endless() -> Query {
    Query::new().offset(usize::MAX).limit(1).within(HOUR)
}

const RARE: EventKind = EventKind::from_static("rare");

/// Whether a query looks for rare events only, which never ends by itself either.
fn looks_for_rare(query: &Query) -> bool {
    let event = |kind: &str| NewEvent::new(kind).unwrap().record(EventId::FIRST, "production", UNIX_EPOCH);
    query.matches(&event("rare")) && !query.matches(&event("counted"))
}

/// A foundation with one event on such a log, and a receiver for the beginning of each endless query.
async fn on_endless_log() -> (Foundation, UnboundedReceiver<()>) {
    let (begun, beginnings) = unbounded_channel();
    let log = EndlessLog { kept: MemoryLog::new("production"), begun };
    let storage = EventStorage::with(move |_| Ok(log.clone()));
    let foundation = Foundation::builder().events(storage).start().await.unwrap();
    foundation.events().append(NewEvent::new("counted").unwrap()).await.unwrap();
    (foundation, beginnings)
}

/// Starts as many endless queries as run at once.
async fn occupy(
    store: &EventStore,
    beginnings: &mut UnboundedReceiver<()>,
) -> Vec<JoinHandle<Result<Vec<Arc<Event>>, EventStoreError>>> {
    let mut queries = Vec::new();
    for _ in 0..4 {
        let store = store.clone();
        queries.push(tokio::spawn(async move { store.query(endless()).await }));
        beginnings.recv().await.unwrap();
    }
    queries
}

#[tokio::test]
async fn long_queries_delay_neither_quick_reads_nor_health_queries() {
    let (foundation, mut beginnings) = on_endless_log().await;
    let store = foundation.events();
    let queries = occupy(store, &mut beginnings).await;
    let quick = async {
        assert!(store.get(EventId::FIRST).await.unwrap().is_some());
        assert_eq!(store.recent(2).await.unwrap().len(), 1);
        let mut followed = store.subscribe(SubscriptionSpec::from_beginning()).await.unwrap();
        assert_eq!(followed.next().await.unwrap().unwrap().id, EventId::FIRST);
        assert!(foundation.health().await.is_healthy());
        store.append(NewEvent::new("counted").unwrap()).await.unwrap();
    };
    soon("all that is quick", quick).await;
    assert!(queries.iter().all(|query| !query.is_finished()));
    foundation.shutdown().await;
}

#[tokio::test]
async fn subscriptions_that_read_for_long_delay_neither_quick_reads_nor_queries() {
    let (foundation, mut beginnings) = on_endless_log().await;
    let store = foundation.events();
    for _ in 0..4 {
        let mut followed = store.subscribe(SubscriptionSpec::from_beginning().kind(RARE)).await.unwrap();
        tokio::spawn(async move { followed.next().await });
        beginnings.recv().await.unwrap();
    }
    let others = async {
        assert!(store.get(EventId::FIRST).await.unwrap().is_some());
        assert_eq!(store.stats().await.unwrap().recorded, 1);
        assert_eq!(store.query(Query::new().limit(1)).await.unwrap().len(), 1);
        assert!(foundation.health().await.is_healthy());
    };
    soon("all other reads", others).await;
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_query_that_waits_too_long_for_its_turn_or_takes_too_long_fails_with_the_limit() {
    let (foundation, _beginnings) = on_endless_log().await;
    let error = foundation.events().query(endless().within(Duration::from_millis(1))).await.unwrap_err();
    let expected = "the query was stopped after 1ms; ask for less, or give it more time with `Query::within`";
    assert_eq!(error.to_string(), expected);
    foundation.shutdown().await;

    // Another log: on the first, the beginning of that query would be taken for one of these.
    let (foundation, mut beginnings) = on_endless_log().await;
    let store = foundation.events();
    let queries = occupy(store, &mut beginnings).await;
    let page = Query::new().limit(1);
    let error = store.query(page.clone().within(Duration::from_millis(1))).await.unwrap_err();
    assert_eq!(limit(error), QueryLimit::Time(Duration::from_millis(1)));

    queries.iter().for_each(JoinHandle::abort);
    assert_eq!(store.query(page).await.unwrap().len(), 1);
    foundation.shutdown().await;
}

#[tokio::test]
async fn dropped_queries_are_stopped_and_make_room_for_the_next() {
    let (foundation, mut beginnings) = on_endless_log().await;
    let store = foundation.events();
    for _ in 0..10 {
        for query in occupy(store, &mut beginnings).await {
            query.abort();
        }
    }
    let next = store.query(Query::new().limit(1));
    assert_eq!(soon("a query after those that were dropped", next).await.unwrap().len(), 1);
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_stops_the_queries_under_way_and_those_that_wait_for_their_turn() {
    let (foundation, mut beginnings) = on_endless_log().await;
    let mut queries = occupy(foundation.events(), &mut beginnings).await;
    let store = foundation.events().clone();
    queries.push(tokio::spawn(async move { store.query(endless()).await }));
    tokio::task::yield_now().await;
    soon("the shutdown", foundation.shutdown()).await;
    for query in join_all(queries).await {
        assert_eq!(query.unwrap().unwrap_err().to_string(), "the event store is ending");
    }
}

// ---- SQLite ----

const MANY: usize = 20_000;

/// A store on a file with many events.
async fn full_store(directory: &Path) -> Foundation {
    let foundation = Foundation::builder().events(EventStorage::sqlite(directory)).start().await.unwrap();
    let weight = "x".repeat(100);
    for _ in 0..MANY / 5_000 {
        let event = NewEvent::new("counted").unwrap().payload(&weight).unwrap();
        foundation.events().append_batch(vec![event; 5_000]).await.unwrap();
    }
    foundation
}

/// A query that no index answers and that finds nothing: it reads every payload.
fn slow() -> Query {
    Query::new().payload("/missing", 1).unwrap()
}

fn limit(error: EventStoreError) -> QueryLimit {
    let EventStoreError::QueryLimit(limit) = error else { panic!("{error}") };
    limit
}

#[tokio::test]
async fn a_query_of_a_file_that_takes_too_long_is_stopped_and_fails_with_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let foundation = full_store(directory.path()).await;
    let brief = Duration::from_millis(1);
    let error = foundation.events().query(slow().within(brief)).await.unwrap_err();
    assert_eq!(limit(error), QueryLimit::Time(brief));
    // Its reader is as good as before, or another one is opened.
    assert_eq!(foundation.events().query(Query::new().limit(3)).await.unwrap().len(), 3);
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_query_that_finds_too_much_is_refused_unless_it_has_a_limit() {
    let limits = Limits::new().events(EventStoreLimits::new().query_events(100));
    let foundation = Foundation::builder().limits(limits).start().await.unwrap();
    let store = foundation.events();
    let event = NewEvent::new("counted").unwrap();
    store.append_batch(vec![event.clone(); 100]).await.unwrap();
    assert_eq!(store.query(Query::new()).await.unwrap().len(), 100);
    store.append(event).await.unwrap();
    let error = store.query(Query::new()).await.unwrap_err();
    let expected =
        "the query finds more than 100 events; give it a `Query::limit`, and go on with `Query::after` the last event";
    assert_eq!(error.to_string(), expected);
    assert_eq!(limit(error), QueryLimit::Events(100));
    assert_eq!(store.query(Query::new().limit(101)).await.unwrap().len(), 101);
    foundation.shutdown().await;
}

#[test]
fn a_shutdown_stops_running_reads_and_no_thread_outlives_it() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let foundation = full_store(directory.path()).await;
        let queries = (0..8).map(|_| {
            let store = foundation.events().clone();
            tokio::spawn(async move {
                // Until the store is gone.
                loop {
                    if let Err(error) = store.query(slow().within(SOON)).await {
                        return error.to_string();
                    }
                }
            })
        });
        let queries: Vec<_> = queries.collect();
        while foundation.events().get(EventId::FIRST).await.is_err() {}
        foundation.shutdown().await;
        for text in join_all(queries).await {
            let text = text.unwrap();
            assert!(text == "the event store is ending" || text.starts_with("no service event_store"), "{text}");
        }
    });
    // It would wait for a thread that still reads.
    let begun = std::time::Instant::now();
    drop(runtime);
    assert!(begun.elapsed() < SOON);
    let log = SqliteLog::open_in(directory.path(), foundation::Namespace::Production, SqliteOptions::default());
    assert_eq!(log.unwrap().reader().unwrap().stats().unwrap().held, MANY as u64);
}
