//! Four producers, eight workers and everything that happens to a pool, on several threads for a while: no job is lost, and
//! none is done twice.
//!
//! `POOL_CHAOS_MILLIS` says for how long; 2 s by default.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use foundation::supervision::{Backoff, Supervisor};
use foundation_pool::{
    DeadLetters, JobContext, JobError, JobFailure, Pool, PoolError, PoolSpec, QueueSpec, Retry, Routing, Worker,
};
use foundation_testkit::soon;
use tokio::task::{JoinSet, yield_now};
use tokio::time::Instant;

use crate::setup::{LONG, start_any};

const WORKERS: usize = 8;
const PRODUCERS: u64 = 4;

/// How often each job was done, and how often it came back.
#[derive(Default)]
struct Account {
    done: AtomicU8,
    back: AtomicU8,
}

/// A job, of which one in eight panics, fails or waits at its first attempt.
struct Task {
    account: Arc<Account>,
    kind: u64,
}

struct Hand;

impl Worker for Hand {
    type Job = Task;
    type Output = ();

    async fn perform(&mut self, task: &mut Task, context: &JobContext<'_>) -> Result<(), JobFailure> {
        match (task.kind % 24, context.attempt()) {
            (0, 1) => std::panic::resume_unwind(Box::new("as ordered")),
            (1, 1) => return Err("as ordered".into()),
            (2, 1) => return Err(JobFailure::from("as ordered").worker_broken()),
            (3, _) => return Err(JobFailure::from("as ordered").never_again()),
            // Where it may be killed.
            (4..8, _) => yield_now().await,
            _ => {}
        }
        task.account.done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn came_back(task: &Task) {
    task.account.back.fetch_add(1, Ordering::Relaxed);
}

/// Puts jobs in until the time is over, in each way; returns the accounts of all.
async fn produce(pool: Pool<Task, ()>, seed: u64, until: Instant) -> Vec<Arc<Account>> {
    let (mut random, mut accounts) = (fastrand::Rng::with_seed(seed), Vec::new());
    while Instant::now() < until {
        let account = Arc::new(Account::default());
        let request = pool.job(Task { account: Arc::clone(&account), kind: random.u64(..) });
        let request = if random.u8(..4) == 0 { request.key(random.u8(..8).to_string()) } else { request };
        let refused = match random.u8(..4) {
            0 => request.cast().err().map(PoolError::into_job),
            1 => request.send().await.err().map(PoolError::into_job),
            // The outcome is read: one that has come before its handle is dropped goes with it.
            2 => match request.submit() {
                Ok(handle) => handle.wait(LONG).await.err().and_then(JobError::into_job),
                Err(refused) => Some(refused.into_job()),
            },
            _ => request.call(LONG).await.err().and_then(JobError::into_job),
        };
        refused.iter().for_each(came_back);
        accounts.push(account);
        yield_now().await;
    }
    accounts
}

/// Kills, resizes, pauses and routes until the time is over.
async fn disrupt(top: &Supervisor, pool: &Pool<Task, ()>, until: Instant) {
    let (mut random, routings) =
        (fastrand::Rng::new(), [Routing::shared(), Routing::power_of_two(), Routing::round_robin()]);
    while Instant::now() < until {
        match random.u8(..8) {
            0 => pool.resize(1..=random.usize(1..=WORKERS)).unwrap(),
            1 => pool.resize(WORKERS).unwrap(),
            2 => pool.pause(),
            3 => pool.set_routing(routings[random.usize(..routings.len())]),
            4 | 5 => kill_a_worker(top, &mut random).await,
            _ => {}
        }
        for _ in 0..random.u32(..200) {
            yield_now().await;
        }
        pool.resume();
    }
}

async fn kill_a_worker(top: &Supervisor, random: &mut fastrand::Rng) {
    let Ok(Some(pool)) = top.supervisor("pool").await else { return };
    let Ok(Some(workers)) = pool.child("workers").await else { return };
    let children = workers.get_children();
    random.choice(&children).into_iter().for_each(|worker| worker.kill());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_several_threads_no_job_is_lost_or_done_twice_whatever_happens_to_the_pool() {
    let millis = env::var("POOL_CHAOS_MILLIS").map_or(2_000, |text| text.parse().unwrap());
    let until = Instant::now() + Duration::from_millis(millis);
    let letters = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&letters);
    let dead_letters = DeadLetters::function(move |letter| {
        count.fetch_add(1, Ordering::Relaxed);
        letter.error.into_job().iter().for_each(came_back);
    });
    let spec = PoolSpec::new(|_| async { Ok(Hand) }).workers(WORKERS).unwrap();
    let spec = spec.queue(QueueSpec::bounded(1_000).unwrap()).retry(Retry::attempts(5).backoff(Backoff::None));
    let spec = spec.backoff(Backoff::Constant(Duration::from_millis(1))).dead_letters(dead_letters);
    let (top, pool) = start_any(&spec).await;

    let mut producers = JoinSet::new();
    (0..PRODUCERS).for_each(|seed| drop(producers.spawn(produce(pool.clone(), seed, until))));
    disrupt(&top, &pool, until).await;
    let accounts: Vec<_> = soon("the answers to all calls", producers.join_all()).await.into_iter().flatten().collect();
    // The supervisor drains the pool.
    soon("the shutdown", top.shutdown()).await;

    let stats = pool.stats();
    assert_eq!((pool.queued(), stats.delayed, stats.in_work), (0, 0, 0));
    assert!(stats.done > 100 && stats.died > 0, "{stats:?}");
    assert_eq!(stats.accepted, stats.done + stats.died + stats.returned, "{stats:?}");
    drop((pool, spec));
    for account in &accounts {
        let (done, back) = (account.done.load(Ordering::Relaxed), account.back.load(Ordering::Relaxed));
        assert_eq!(done + back, 1, "a job was done {done} times and came back {back} times");
    }
    println!("{} jobs, {} done, {} dead", accounts.len(), stats.done, letters.load(Ordering::Relaxed));
}
