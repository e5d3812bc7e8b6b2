//! Jobs with the same key: one at a time, in the order in which they were accepted, and fair to other keys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foundation::supervision::{Strategy, Supervisor, SupervisorSpec};
use foundation_pool::{JobContext, JobFailure, Pool, PoolSpec, QueueSpec, Retry, Worker};
use parking_lot::Mutex;

const LONG: Duration = Duration::from_secs(3_600);

/// The numbers that were done, by key, and the keys that are in work.
#[derive(Default)]
struct Done {
    by_key: BTreeMap<u64, Vec<u64>>,
    order: Vec<u64>,
    in_work: Vec<u64>,
    /// The keys of which two jobs were in work: a panic here would be contained, and tried again.
    violations: Vec<u64>,
}

/// Notes each number under its key, and fails at first on each thirteenth.
struct Noter(Arc<Mutex<Done>>);

impl Worker for Noter {
    type Job = (u64, u64);
    type Output = ();

    async fn perform(&mut self, job: &mut (u64, u64), context: &JobContext<'_>) -> Result<(), JobFailure> {
        let (key, number) = *job;
        {
            let mut done = self.0.lock();
            if done.in_work.contains(&key) {
                done.violations.push(key);
            }
            done.in_work.push(key);
        }
        tokio::task::yield_now().await;
        let mut done = self.0.lock();
        done.in_work.retain(|other| *other != key);
        if number % 13 == 0 && context.attempt() == 1 {
            return Err("not yet".into());
        }
        done.by_key.entry(key).or_default().push(number);
        done.order.push(key);
        Ok(())
    }
}

async fn start(workers: usize) -> (Supervisor, Pool<(u64, u64)>, Arc<Mutex<Done>>) {
    let done: Arc<Mutex<Done>> = Arc::default();
    let of_workers = Arc::clone(&done);
    let spec = PoolSpec::new(move |_| {
        let done = Arc::clone(&of_workers);
        async move { Ok(Noter(done)) }
    });
    let spec = spec.workers(workers).unwrap().queue(QueueSpec::bounded(200_000).unwrap()).retry(Retry::attempts(3));
    let top = SupervisorSpec::new(Strategy::OneForOne).child(spec.child("pool"));
    (Supervisor::start("top", top).await.unwrap(), spec.handle(), done)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_a_key_are_done_one_at_a_time_in_order_also_over_retries() {
    let (top, pool, done) = start(8).await;
    for number in 0..5_000 {
        let key = number % 7;
        pool.job((key, number)).key(key.to_string()).cast().unwrap();
    }
    let drained = pool.drain(LONG).await;
    assert!(drained.returned.is_empty());
    for (key, numbers) in &done.lock().by_key {
        assert!(numbers.is_sorted(), "key {key}: {numbers:?}");
    }
    assert_eq!(done.lock().order.len(), 5_000);
    assert!(done.lock().violations.is_empty(), "two jobs of a key were in work");
    top.shutdown().await;
}

#[tokio::test]
async fn ten_thousand_keys_have_their_turn_beside_a_hot_one() {
    let (top, pool, done) = start(4).await;
    pool.pause();
    for number in 1..=50_000 {
        pool.job((0, number)).key("hot").cast().unwrap();
    }
    for key in 1..=10_000 {
        pool.job((key, 1)).key(key.to_string()).cast().unwrap();
    }
    assert_eq!(pool.queued(), 60_000);
    pool.resume();
    assert!(pool.drain(LONG).await.returned.is_empty());
    top.shutdown().await;
    let done = done.lock();
    let last = done.order.iter().rposition(|key| *key != 0).unwrap();
    let hot = done.order[..last].iter().filter(|key| **key == 0).count();
    assert!(hot < 10_000, "{hot} jobs of the hot key went before the last of the others");
    assert!(done.by_key[&0].is_sorted() && done.order.len() == 60_000);
    assert!(done.violations.is_empty(), "two jobs of a key were in work");
}

#[tokio::test]
async fn jobs_that_wait_for_their_key_come_back_from_a_drain_in_order() {
    let (top, pool, _) = start(1).await;
    pool.pause();
    for number in 1..=20 {
        pool.job((number % 3, number)).key((number % 3).to_string()).cast().unwrap();
    }
    let drained = pool.drain(Duration::ZERO).await;
    let numbers: Vec<_> = drained.returned.iter().map(|unfinished| unfinished.job.1).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    assert_eq!(pool.queued(), 0);
    top.shutdown().await;
}
