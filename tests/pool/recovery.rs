//! How a durable pool begins with what an earlier process has left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use foundation::events::{
    Append, Appended, Event, EventError, EventId, EventLog, EventReader, EventStats, EventStorage, EventStore,
    LogError, MemoryLog, NewEvent, Order, PruneBound, Query, Retention, SubscriptionName, SubscriptionSpec,
    Verification,
};
use foundation::names::{Namespace, ProcessRegistry};
use foundation_pool::QueueSpec;
use foundation_pool::durable::{DurableQueue, DurableSpec, JobEvent};
use foundation_testkit::soon;
use serde_json::json;
use tokio::sync::mpsc;

use crate::durable::{LONG, Life, Mail, Mailer, QUEUE, WAITS, life_of};

/// A log that counts the events that are read from it.
struct CountingLog<L> {
    log: L,
    read: Arc<AtomicUsize>,
}

impl<L> CountingLog<L> {
    fn count(&self, events: usize) {
        self.read.fetch_add(events, Ordering::Relaxed);
    }
}

impl<L: EventLog> EventLog for CountingLog<L> {
    fn commit(&mut self, group: Vec<Append>, now: SystemTime) -> Result<Vec<Result<Appended, EventError>>, LogError> {
        self.log.commit(group, now)
    }

    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> Result<u64, LogError> {
        self.log.prune(bound, keep_from, at_most)
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
        Ok(Box::new(CountingLog { log: self.log.reader()?, read: Arc::clone(&self.read) }))
    }
}

impl EventReader for CountingLog<Box<dyn EventReader>> {
    fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, LogError> {
        self.count(1);
        self.log.get(id)
    }

    fn query(&self, query: &Query) -> Result<Vec<Arc<Event>>, LogError> {
        self.log.query(query).inspect(|found| self.count(found.len()))
    }

    fn stats(&self) -> Result<EventStats, LogError> {
        self.log.stats()
    }

    fn acknowledged(&self, subscription: &SubscriptionName) -> Result<Option<EventId>, LogError> {
        self.log.acknowledged(subscription)
    }

    fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<Verification, LogError> {
        self.log.verify(progress)
    }
}

/// A log in memory in which 10,000 jobs are recorded, of which these are done; the first one waits for its end.
async fn ten_thousand_jobs(done: std::ops::Range<u64>) -> MemoryLog {
    let log = MemoryLog::new("production");
    let root = ProcessRegistry::builder().service(EventStore::service(kept(&log))).start().await.unwrap();
    let services = root.namespace(Namespace::Production).await.unwrap();
    let spec =
        DurableSpec::<Mailer>::new(DurableQueue::new(&services, QUEUE), |_| async { Err("none is made".into()) });
    let (pool, events) = (spec.handle(), EventStore::of(&services));
    let job = |number: u64| pool.job(Mail(if number == 1 { WAITS } else { number % 900 })).to_event().unwrap();
    for first in (1..=10_000).step_by(100) {
        events.append_batch((first..first + 100).map(job).collect()).await.unwrap();
    }
    let done: Vec<_> = done.collect();
    for ids in done.chunks(256) {
        let done = NewEvent::of(JobEvent::DONE).source("jobs.mails").payload(json!({ "ids": ids, "from": 1 }));
        events.append(done.unwrap()).await.unwrap();
    }
    root.shutdown().await;
    log
}

/// The same log on a disk.
fn kept(log: &MemoryLog) -> EventStorage {
    let log = log.clone();
    EventStorage::with(move |_| Ok(log.clone()))
}

/// A process that goes on with this log, with room for ten jobs in its pool, and what it has read.
async fn next_process(log: &MemoryLog) -> (Life, Arc<AtomicUsize>) {
    let (log, read) = (log.clone(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&read);
    let storage = EventStorage::with(move |_| Ok(CountingLog { log: log.clone(), read: Arc::clone(&count) }));
    let small = |spec: DurableSpec<Mailer>| {
        spec.pool(|pool| Ok(pool.workers(1)?.queue(QueueSpec::bounded(10).unwrap()))).unwrap()
    };
    (life_of(storage, |queue| queue, small).await, read)
}

#[tokio::test]
async fn the_first_job_that_a_process_has_left_begins_before_the_log_is_read_to_its_end() {
    for done in [2..5_001, 0..0] {
        let log = ten_thousand_jobs(done).await;
        let (mut life, read) = next_process(&log).await;
        assert_eq!(life.begun().await.0, WAITS);
        let read = read.load(Ordering::Relaxed);
        assert!(read <= 1_000, "{read} events were read before the first job began");
        life.end().await;
    }
}

#[tokio::test]
async fn each_of_ten_thousand_jobs_that_a_process_has_left_is_performed_once_and_in_order() {
    let log = ten_thousand_jobs(2..5_001).await;
    let (mut life, _) = next_process(&log).await;
    life.desk.may_end.add_permits(1);
    let mut last = 0;
    for _ in 0..5_001 {
        let (_, id, attempt) = life.begun().await;
        assert!(id.number() > last && attempt == 1, "{id} after {last}, attempt {attempt}");
        last = id.number();
    }
    assert_eq!(life.pool.call(Mail(7), LONG).await.unwrap(), 14);
    assert_eq!(life.pool.unfinished(), 0);
    life.end().await;
    assert_eq!(last, 10_000);
}

#[tokio::test]
async fn a_job_that_waits_for_long_does_not_keep_the_log_of_all_jobs_after_it_for_the_next_process_to_read() {
    let log = MemoryLog::new("production");
    let two = |spec: DurableSpec<Mailer>| spec.pool(|pool| pool.workers(2)).unwrap();
    let first = life_of(kept(&log), |queue| queue, two).await;
    let waits = first.pool.job(Mail(1)).after(Duration::from_secs(86_400)).send().await.unwrap();
    let mut carried =
        first.events().subscribe(SubscriptionSpec::from_beginning().kind(JobEvent::CARRIED)).await.unwrap();
    let events = first.events();
    let send = |numbers: std::ops::Range<u64>| {
        let jobs = numbers.map(|number| first.pool.job(Mail(number % 900)).to_event().unwrap()).collect();
        events.append_batch(jobs)
    };
    for first in (0..2_000).step_by(100) {
        send(first..first + 100).await.unwrap();
    }
    let again = soon("the one that waits is recorded again", carried.next()).await.unwrap().unwrap();
    assert_eq!(again.payload["carried"]["id"], json!(waits.number()));
    // The next event of ends says from where on events are needed.
    first.pool.call(Mail(5), LONG).await.unwrap();
    first.end().await;

    let left = {
        let root = ProcessRegistry::builder().service(EventStore::service(kept(&log))).start().await.unwrap();
        let services = root.namespace(Namespace::Production).await.unwrap();
        let done = Query::new().kind(JobEvent::DONE).order(Order::Descending).limit(1);
        let done = EventStore::of(&services).query(done).await.unwrap();
        root.shutdown().await;
        done[0].payload["from"].as_u64().unwrap()
    };
    assert!(left > 1_000, "all events from {left} on are needed");
    let (second, _) = next_process(&log).await;
    assert_eq!(second.pool.call(Mail(6), LONG).await.unwrap(), 12);
    assert_eq!(second.pool.unfinished(), 1, "the one that waits");
    second.end().await;
}

#[tokio::test]
async fn a_queue_without_unfinished_jobs_keeps_no_event_of_others_from_being_pruned() {
    let (sender, mut retentions) = mpsc::unbounded_channel();
    let storage = EventStorage::memory()
        .retention(Retention::new().max_count(1).every(Duration::from_millis(1)))
        .on_retention(move |_| {
            let _ = sender.send(());
        });
    let life = life_of(storage, |queue| queue, |spec| spec).await;
    assert_eq!(life.pool.call(Mail(1), LONG).await.unwrap(), 2);
    let others = (0..10).map(|_| NewEvent::new("order_placed").unwrap()).collect();
    let others = life.events().append_batch(others).await.unwrap();
    let pruned = async {
        while life.events().stats().await.unwrap().oldest.is_none_or(|oldest| oldest < others[9]) {
            retentions.recv().await.unwrap();
        }
    };
    soon("all but the last one are pruned", pruned).await;
    life.end().await;
}
