//! What makes no sense, and code of users of every bad kind.

use std::time::Duration;

use foundation_pool::{BatchSize, JobError, PoolError, QueueSpec, Retry};

use crate::setup::{LONG, Order, PanicsWhenDropped, busy, spec, start};

#[tokio::test]
async fn a_job_whose_destructor_panics_harms_no_other_job() {
    let (top, pool) = start(&spec().workers(1).unwrap()).await;
    for _ in 0..3 {
        pool.cast(Order::Drop(PanicsWhenDropped)).unwrap();
    }
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    top.shutdown().await;
}

#[test]
fn a_queue_that_ends_with_jobs_whose_destructors_panic_ends_all_the_same() {
    let pool = spec().handle();
    for _ in 0..3 {
        pool.cast(Order::Drop(PanicsWhenDropped)).unwrap();
    }
    drop(pool);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_by_its_caller_leaves_its_job_to_the_pool() {
    let (top, pool) = start(&spec().workers(1).unwrap()).await;
    let keeper = busy(&pool).await;
    let called = tokio::time::timeout(Duration::from_secs(1), pool.call(Order::Answer(1), LONG)).await;
    assert!(called.is_err());
    let limited = pool.call(Order::Answer(2), Duration::from_secs(1)).await;
    assert!(matches!(limited, Err(JobError::TimedOut { .. })));
    keeper.open(1);
    let drained = pool.drain(LONG).await;
    assert!(drained.is_complete());
    assert_eq!(drained.done, 3);
    top.shutdown().await;
}

#[tokio::test]
async fn a_key_of_a_megabyte_is_refused_and_the_job_comes_back() {
    let (top, pool) = start(&spec()).await;
    let long = "k".repeat(1 << 20);
    let refused = pool.job(Order::Answer(1)).key(&long).cast();
    assert!(matches!(refused, Err(PoolError::KeyTooLong { job: Order::Answer(1), length: 0x10_0000, max: 1024 })));
    let refused = pool.job(Order::Answer(1)).idempotency_key(&long).send().await;
    assert!(matches!(refused, Err(PoolError::KeyTooLong { .. })));
    assert_eq!(pool.job(Order::Answer(1)).key(&long[..1024]).call(LONG).await.unwrap(), 1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_longest_durations_are_no_harm() {
    let longest = Duration::MAX;
    let spec = spec()
        .queue(QueueSpec::default().priorities([1, 1]).aging(longest))
        .batch_size(BatchSize::time(longest))
        .deadline(longest)
        .limit(longest)
        .drain_within(longest)
        .worker_shutdown(longest)
        .retry(Retry::attempts(u32::MAX));
    let (top, pool) = start(&spec).await;
    assert_eq!(pool.call(Order::Answer(1), longest).await.unwrap(), 1);
    let later = pool.job(Order::Answer(2)).after(longest).deadline(longest).priority(u8::MAX).submit().unwrap();
    assert!(matches!(later.wait(Duration::from_secs(1)).await, Err(JobError::TimedOut { .. })));
    assert_eq!(pool.drain(Duration::from_secs(1)).await.returned.len(), 1);
    top.shutdown().await;
}
