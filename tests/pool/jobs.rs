//! Jobs that go in, and what comes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foundation_pool::{JobError, PoolError, QueueSpec, SpecError};
use futures::{FutureExt, StreamExt, stream};
use tokio::sync::oneshot;

use crate::setup::{LONG, Order, at_once, gate, spec, start, worker};

#[tokio::test]
async fn a_call_returns_what_the_worker_returned() {
    let (top, pool) = start(&spec()).await;
    assert_eq!(pool.call(Order::Answer(7), LONG).await.unwrap(), 7);
    top.shutdown().await;
}

#[tokio::test]
async fn a_failed_job_comes_back_with_its_error() {
    let (top, pool) = start(&spec()).await;
    let Err(JobError::Failed { attempts: 1, source, job: Order::Fail, .. }) = pool.call(Order::Fail, LONG).await else {
        panic!("it fails");
    };
    assert_eq!(source.to_string(), "as ordered");
    top.shutdown().await;
}

#[tokio::test]
async fn a_panic_gives_the_job_back_and_the_worker_is_made_anew() {
    let (top, pool) = start(&spec().workers(1).unwrap()).await;
    let Err(JobError::Panicked { attempts: 1, text, job: Order::Panic, .. }) = pool.call(Order::Panic, LONG).await
    else {
        panic!("it panics");
    };
    assert_eq!(text, "as ordered");
    assert_eq!(pool.call(Order::Answer(7), LONG).await.unwrap(), 7);
    top.shutdown().await;
}

#[tokio::test]
async fn a_killed_worker_gives_its_job_to_the_next_which_counts_the_attempt() {
    let (top, pool) = start(&spec().workers(1).unwrap()).await;
    let (at, mut keeper) = gate();
    let call = tokio::spawn({
        let pool = pool.clone();
        async move { pool.call(Order::Wait(at), LONG).await }
    });
    keeper.begun().await;
    worker(&top).await.kill();
    keeper.begun().await;
    keeper.open(1);
    assert_eq!(call.await.unwrap().unwrap(), 2);
    top.shutdown().await;
}

#[tokio::test]
async fn a_full_queue_refuses_a_cast_and_lets_a_send_wait() {
    let (top, pool) = {
        let spec = spec().workers(1).unwrap().queue(QueueSpec::bounded(1).unwrap());
        start(&spec).await
    };
    let (at, mut keeper) = gate();
    pool.cast(Order::Wait(at)).unwrap();
    keeper.begun().await;
    pool.cast(Order::Answer(1)).unwrap();
    let Err(PoolError::Full { job: Order::Answer(2), queued: 1 }) = pool.cast(Order::Answer(2)) else {
        panic!("there is no room");
    };
    let mut waiting = Box::pin(pool.send(Order::Answer(3)));
    assert!((&mut waiting).now_or_never().is_none());
    keeper.open(1);
    waiting.await.unwrap();
    top.shutdown().await;
}

#[tokio::test]
async fn a_drain_waits_for_what_was_taken_and_takes_no_more() {
    let (top, pool) = start(&spec().workers(1).unwrap().queue(QueueSpec::bounded(1).unwrap())).await;
    let (at, mut keeper) = gate();
    pool.cast(Order::Wait(at)).unwrap();
    keeper.begun().await;
    pool.cast(Order::Answer(0)).unwrap();
    let (over, drained) = oneshot::channel();
    let draining = pool.clone();
    tokio::spawn(async move { over.send(draining.drain(LONG).await) });
    // It waits for room until the drain begins.
    let refused = pool.send(Order::Answer(1)).await.unwrap_err();
    assert!(matches!(refused, PoolError::Draining { job: Order::Answer(1) }));
    keeper.open(1);
    assert!(drained.await.unwrap().is_complete());
    assert!(matches!(pool.cast(Order::Answer(1)), Err(PoolError::NotRunning { .. })));
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_takes_too_long_ends_the_workers_and_gives_back_what_is_not_done() {
    let (top, pool) = start(&spec().workers(1).unwrap()).await;
    let (at, mut keeper) = gate();
    let first = pool.cast(Order::Wait(at)).unwrap();
    keeper.begun().await;
    let second = pool.cast(Order::Answer(2)).unwrap();
    let third = tokio::spawn(pool.job(Order::Answer(3)).submit().unwrap().wait(LONG));
    let drained = pool.drain(Duration::from_secs(1)).await;
    let returned: Vec<_> = drained.returned.iter().map(|job| (job.id, job.attempts)).collect();
    assert_eq!(returned, [(first, 1), (second, 0)]);
    assert_eq!((drained.answered, drained.abandoned.len()), (1, 0));
    assert_eq!(drained.took, Duration::from_secs(6), "1 s for the jobs, 5 s for the worker");
    assert!(matches!(third.await.unwrap(), Err(JobError::Returned { job: Order::Answer(3), .. })));
    top.shutdown().await;
}

#[test]
fn a_pool_without_workers_or_without_room_is_refused() {
    assert!(matches!(spec().workers(0), Err(SpecError::Workers { most: 0, .. })));
    assert!(matches!(spec().workers(usize::MAX), Err(SpecError::Workers { .. })));
    assert!(matches!(QueueSpec::bounded(0), Err(SpecError::NoRoom)));
}

#[tokio::test]
async fn a_stream_of_jobs_is_performed_so_many_at_a_time_and_in_order() {
    let (top, pool) = start(&spec().workers(4).unwrap()).await;
    let (at, mut keeper) = gate();
    let jobs = [Order::Wait(at.clone()), Order::Answer(2), Order::Fail, Order::Wait(at), Order::Answer(5)];
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let jobs = stream::iter(jobs).inspect(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let each = tokio::spawn(pool.each(jobs, at_once(3).nolink()).collect::<Vec<_>>());
    keeper.begun().await;
    assert_eq!(taken.load(Ordering::Relaxed), 3, "the first is not done");
    keeper.open(2);
    let outcomes: Vec<_> = each.await.unwrap().into_iter().map(Result::ok).collect();
    assert_eq!(outcomes, [Some(1), Some(2), None, Some(1), Some(5)]);
    top.shutdown().await;
}
