//! What makes no sense, and code of users of every bad kind.

use std::time::Duration;

use foundation::supervision::Backoff;
use foundation_pool::{
    BatchSize, JobError, PoolError, QueueSpec, Rate, RateError, Retry, Routing, Scaling, SpecError, Stuck, WhenFull,
};
use futures::StreamExt;

use crate::setup::{LONG, Order, PanicsWhenDropped, at_once, busy, gate, spec, start, worker};

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

fn bomb() -> Order {
    Order::Drop(PanicsWhenDropped)
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_destructor_panics_harms_no_other_when_it_fails_expires_or_gives_way() {
    let queue = QueueSpec::bounded(2).unwrap().when_full(WhenFull::DropOldest);
    let (top, pool) = start(&spec().workers(1).unwrap().queue(queue)).await;
    pool.cast(Order::FailAndDrop(PanicsWhenDropped)).unwrap();
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    let keeper = busy(&pool).await;
    // Two give way to two others, and one expires.
    for _ in 0..4 {
        pool.job(bomb()).deadline(Duration::from_secs(1)).cast().unwrap();
    }
    let waiting = pool.job(Order::Answer(2)).submit().unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    keeper.open(1);
    assert_eq!(waiting.wait(LONG).await.unwrap(), 2);
    let stats = pool.stats();
    assert_eq!((stats.died, stats.dropped, stats.expired, stats.in_work), (1, 3, 1, 0), "{stats:?}");
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_killed_or_stopped_with_a_job_whose_destructor_panics_is_replaced_or_ends() {
    let spec = spec().workers(1).unwrap().worker_shutdown(Duration::ZERO).drain_within(Duration::ZERO);
    let (top, pool) = start(&spec).await;
    let (at, mut keeper) = gate();
    pool.cast(Order::WaitAndDrop(at, PanicsWhenDropped)).unwrap();
    // The third kill is the end of the job.
    for _ in 0..3 {
        keeper.begun().await;
        worker(&top).await.kill();
    }
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    let (at, mut keeper) = gate();
    pool.cast(Order::WaitAndDrop(at, PanicsWhenDropped)).unwrap();
    keeper.begun().await;
    pool.cast(bomb()).unwrap();
    top.shutdown().await;
    assert_eq!(pool.stats().returned, 2);
}

#[tokio::test(start_paused = true)]
async fn a_report_of_a_drain_is_dropped_with_jobs_whose_destructors_panic() {
    let (top, pool) = start(&spec().workers(1).unwrap()).await;
    pool.pause();
    for _ in 0..3 {
        pool.cast(bomb()).unwrap();
    }
    let stopped = pool.stop_now().await;
    assert_eq!(stopped.returned.len(), 3);
    drop(stopped);
    top.shutdown().await;
}

#[test]
fn workers_of_which_there_are_none_too_many_or_fewer_than_the_fewest_are_refused_with_what_was_asked_for() {
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    let limits = [0..=0, 0..=4, 5..=3, 1..=usize::MAX];
    for limits in limits {
        let asked = (*limits.start(), *limits.end());
        let SpecError::Workers { least, most, max } = spec().workers(limits).unwrap_err() else { panic!("of workers") };
        assert_eq!(((least, most), max), (asked, 4_096));
    }
}

#[tokio::test]
async fn limits_of_a_running_pool_that_make_no_sense_are_refused_and_change_nothing() {
    let (top, pool) = start(&spec().workers(2).unwrap()).await;
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    let refused = pool.resize(5..=3);
    assert!(matches!(refused, Err(SpecError::Workers { least: 5, most: 3, .. })));
    assert!(matches!(pool.resize(0), Err(SpecError::Workers { .. })));
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    top.shutdown().await;
}

#[tokio::test]
async fn a_label_of_a_megabyte_is_refused_and_the_job_comes_back() {
    let (top, pool) = start(&spec().routing(Routing::affinity())).await;
    let long = "l".repeat(1 << 20);
    let refused = pool.job(Order::Answer(1)).label(&long).call(LONG).await;
    let Err(JobError::NotAccepted(refused)) = refused else { panic!("it is refused") };
    assert!(matches!(refused, PoolError::KeyTooLong { job: Order::Answer(1), length: 0x10_0000, .. }));
    assert_eq!(pool.job(Order::Answer(1)).label(&long[..1024]).call(LONG).await.unwrap(), 1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_longest_durations_of_scaling_stuck_workers_retries_and_streams_are_no_harm() {
    let longest = Duration::MAX;
    assert!(matches!(Rate::new(1, longest), Err(RateError::Period { .. })));
    let scaling = Scaling::by_demand(0.7).unwrap().up_after(longest).down_after(longest).idle(longest);
    let retry = Retry::attempts(3).backoff(Backoff::Constant(longest));
    let spec = spec().workers(1..=4).unwrap().scaling(scaling).retry(retry).backoff(Backoff::Constant(longest));
    let (top, pool) = start(&spec.stuck(Stuck::slow_after(longest).kill_after(longest))).await;
    for order in [Order::Fail, Order::FailFor(longest)] {
        let failing = pool.job(order).submit().unwrap();
        assert!(matches!(failing.wait(LONG).await, Err(JobError::TimedOut { .. })), "it is tried again later");
    }
    let jobs = futures::stream::iter([Order::Answer(1), Order::Answer(2)]);
    let outputs: Vec<_> = pool.each(jobs, at_once(2).timeout(longest)).map(Result::unwrap).collect().await;
    assert_eq!(outputs, [1, 2]);
    let waiting = pool.job(Order::Answer(3)).submit().unwrap();
    assert_eq!(waiting.wait(longest).await.unwrap(), 3);
    pool.resize(2..=4).unwrap();
    assert_eq!(pool.call(Order::Last(LONG), longest).await.unwrap(), 0);
    assert_eq!(pool.stop_now().await.returned.len(), 2);
    assert!(pool.drain(longest).await.is_complete());
    top.shutdown().await;
}
