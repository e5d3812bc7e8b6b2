//! No job is lost or done twice, whatever happens to the workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foundation::supervision::{Backoff, OnTimeout, StreamOptions, StreamOrder};
use foundation_pool::{JobContext, JobFailure, PoolSpec, Retry, Worker};
use futures::StreamExt;
use parking_lot::Mutex;

use crate::setup::{LONG, Order, at_once, spec, start, start_any};

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

fn stream_of(orders: impl IntoIterator<Item = Order>) -> impl futures::Stream<Item = Order> {
    futures::stream::iter(orders.into_iter().collect::<Vec<_>>())
}

#[tokio::test(start_paused = true)]
async fn the_outcomes_of_a_stream_come_in_its_order_or_as_the_jobs_are_done() {
    let (top, pool) = start(&spec().workers(4).unwrap()).await;
    let second = Duration::from_secs(1);
    let orders = || [Order::Last(second), Order::Answer(1), Order::Answer(2)];
    let in_order: Vec<_> = pool.each(stream_of(orders()), at_once(3)).map(Result::unwrap).collect().await;
    assert_eq!(in_order, [0, 1, 2]);
    let options = at_once(3).order(StreamOrder::Completion);
    let as_done: Vec<_> = pool.each(stream_of(orders()), options).map(Result::unwrap).collect().await;
    assert_eq!(as_done, [1, 2, 0]);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_a_job_that_fails_or_takes_too_long_or_goes_on_as_its_options_say() {
    let (top, pool) = start(&spec().workers(4).unwrap()).await;
    let hour = Duration::from_secs(3_600);
    let outcomes = async |order: Order, options: StreamOptions| {
        let orders = stream_of([Order::Answer(1), order, Order::Answer(3)]);
        pool.each(orders, options).map(Result::ok).collect::<Vec<_>>().await
    };
    let short = || at_once(1).timeout(Duration::from_secs(1));
    assert_eq!(outcomes(Order::Fail, short()).await, [Some(1), None]);
    assert_eq!(outcomes(Order::Fail, short().nolink()).await, [Some(1), None, Some(3)]);
    assert_eq!(outcomes(Order::Last(hour), short().nolink()).await, [Some(1), None]);
    assert_eq!(outcomes(Order::Last(hour), short().on_timeout(OnTimeout::KillTask)).await, [Some(1), None, Some(3)]);
    // A pool that takes nothing more ends it in any case.
    let drained = pool.drain(hour * 2).await;
    assert!(drained.is_complete(), "{drained}");
    assert_eq!(outcomes(Order::Answer(2), short().nolink()).await, [None]);
    top.shutdown().await;
}
