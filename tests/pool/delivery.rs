//! No job is lost or done twice, whatever happens to the workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use foundation::supervision::Backoff;
use foundation_pool::{JobContext, JobFailure, PoolSpec, Retry, Worker};
use parking_lot::Mutex;

use crate::setup::{LONG, start_any};

/// Notes each job that is done, and panics at some attempts.
struct Clumsy(Arc<Mutex<BTreeMap<u64, u32>>>);

impl Worker for Clumsy {
    type Job = u64;
    type Output = ();

    async fn perform(&mut self, job: &mut u64, context: &JobContext<'_>) -> Result<(), JobFailure> {
        if job.is_multiple_of(7) && context.attempt() == 1 {
            panic!("clumsy");
        }
        if job.is_multiple_of(5) {
            tokio::task::yield_now().await;
        }
        *self.0.lock().entry(*job).or_default() += 1;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_jobs_of_four_senders_are_each_done_once() {
    let done = Arc::new(Mutex::new(BTreeMap::new()));
    let notes = Arc::clone(&done);
    let spec = PoolSpec::new(move |_| {
        let notes = Arc::clone(&notes);
        async move { Ok(Clumsy(notes)) }
    });
    let spec = spec.workers(4).unwrap().retry(Retry::attempts(2));
    let spec = spec.queue(foundation_pool::QueueSpec::bounded(64).unwrap());
    let (top, pool) = start_any(&spec).await;
    let senders = (0..4u64).map(|sender| {
        let pool = pool.clone();
        tokio::spawn(async move {
            for job in 0..2_500 {
                pool.send(sender * 2_500 + job).await.unwrap();
            }
        })
    });
    futures::future::try_join_all(senders).await.unwrap();
    let drained = pool.drain(LONG).await;
    assert!(drained.is_complete(), "{drained}");
    top.shutdown().await;
    let done = done.lock();
    assert_eq!(done.len(), 10_000);
    assert!(done.values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_workers_and_pauses_lose_no_job_and_do_none_twice() {
    let done = Arc::new(Mutex::new(BTreeMap::new()));
    let notes = Arc::clone(&done);
    let spec = PoolSpec::new(move |_| {
        let notes = Arc::clone(&notes);
        async move { Ok(Clumsy(notes)) }
    });
    let spec = spec.workers(4).unwrap().retry(Retry::attempts(100)).backoff(Backoff::None);
    let (top, pool) = start_any(&spec).await;
    let workers = top.supervisor("pool").await.unwrap().unwrap().supervisor("workers").await.unwrap().unwrap();
    for round in 0..100 {
        for job in 0..50 {
            pool.send(round * 50 + job).await.unwrap();
        }
        workers.actor().unwrap().get_children().into_iter().take(1 + round as usize % 4).for_each(|it| it.kill());
        pool.pause();
        tokio::task::yield_now().await;
        pool.resume();
    }
    let drained = pool.drain(LONG).await;
    assert!(drained.is_complete(), "{drained}");
    top.shutdown().await;
    let done = done.lock();
    assert_eq!((done.len(), drained.failed), (5_000, 0));
    assert!(done.values().all(|times| *times == 1));
}
