//! The end of a pool, by request and by its supervisor.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use foundation::supervision::{Backoff, RestartIntensity};
use foundation_pool::{JobError, PoolError, PoolSpec, QueueSpec, Retry};
use futures::FutureExt;
use tokio::runtime::Builder;
use tokio::time::{Instant, timeout};

use crate::setup::{LONG, Obedient, Order, busy, gate, letters, spec, start, worker};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_stopped_by_its_supervisor_does_what_it_has_and_takes_no_more() {
    let (top, pool) = start(&spec().workers(1).unwrap().queue(QueueSpec::bounded(2).unwrap())).await;
    let keeper = busy(&pool).await;
    let waiting = pool.job(Order::Answer(7)).submit().unwrap();
    let later = pool.job(Order::Answer(8)).after(5 * SECOND).submit().unwrap();
    let stopping = tokio::spawn(async move { top.shutdown().await });
    // It waits for room until the drain begins.
    let refused = pool.send(Order::Answer(1)).await.unwrap_err();
    assert!(matches!(refused, PoolError::Draining { .. }));
    keeper.open(1);
    assert_eq!((waiting.wait(LONG).await.unwrap(), later.wait(LONG).await.unwrap()), (7, 8));
    stopping.await.unwrap();
    assert!(matches!(pool.cast(Order::Answer(1)), Err(PoolError::NotRunning { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_a_stopped_pool_does_not_do_in_time_goes_to_its_owners() {
    let (dead_letters, mut letters) = letters();
    let spec = spec().workers(1).unwrap().drain_within(10 * SECOND).worker_shutdown(2 * SECOND);
    let (top, pool) = start(&spec.dead_letters(dead_letters)).await;
    let _keeper = busy(&pool).await;
    let called = pool.job(Order::Answer(1)).submit().unwrap();
    let cast = pool.cast(Order::Answer(2)).unwrap();
    let begun = Instant::now();
    top.shutdown().await;
    assert_eq!(begun.elapsed(), 12 * SECOND);
    assert!(matches!(called.wait(LONG).await, Err(JobError::Returned { job: Order::Answer(1), .. })));
    let (first, second) = (letters.recv().await.unwrap(), letters.recv().await.unwrap());
    assert!(matches!(first.error, JobError::Returned { job: Order::Wait(_), .. }), "{:?}", first.error);
    assert_eq!(second.id, cast);
}

#[tokio::test(start_paused = true)]
async fn a_drain_without_time_stops_at_once() {
    let (top, pool) = start(&spec().workers(1).unwrap().worker_shutdown(Duration::ZERO)).await;
    let _keeper = busy(&pool).await;
    pool.cast(Order::Answer(2)).unwrap();
    let drained = pool.drain(Duration::ZERO).await;
    assert_eq!((drained.returned.len(), drained.took < SECOND), (2, true));
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_later_attempts_and_tells_what_was_done_and_what_failed() {
    let (top, pool) =
        start(&spec().retry(Retry::attempts(2).backoff(foundation::supervision::Backoff::Constant(SECOND)))).await;
    pool.cast(Order::Answer(1)).unwrap();
    pool.cast(Order::Fail).unwrap();
    let drained = pool.drain(LONG).await;
    assert!(drained.is_complete());
    assert_eq!(drained.done + drained.failed, 2);
    assert_eq!(drained.failed, 1);
    top.shutdown().await;
}

/// The workers have a runtime of their own: what a blocked worker wakes may wait for its thread.
#[tokio::test]
async fn a_worker_that_blocks_its_thread_is_abandoned_and_its_job_is_named() {
    let release = Arc::new(Barrier::new(2));
    let runtime = Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    let spec = spec().workers(1).unwrap().worker_shutdown(Duration::ZERO);
    let (top, pool) = runtime.spawn(async move { start(&spec).await }).await.unwrap();
    let (at, mut keeper) = gate();
    let blocked = pool.cast(Order::Block(at, Arc::clone(&release))).unwrap();
    keeper.begun().await;
    let waiting = pool.cast(Order::Answer(1)).unwrap();
    let drained = pool.drain(Duration::ZERO).await;
    assert_eq!(drained.abandoned, [blocked]);
    assert_eq!(drained.returned.iter().map(|job| job.id).collect::<Vec<_>>(), [waiting]);
    release.wait();
    top.shutdown().await;
    runtime.shutdown_background();
}

#[tokio::test]
async fn a_pool_that_is_started_again_after_its_end_takes_jobs() {
    let spec = spec();
    let (top, pool) = start(&spec).await;
    top.shutdown().await;
    assert!(matches!(pool.cast(Order::Answer(1)), Err(PoolError::NotRunning { .. })));
    let (top, _) = start(&spec).await;
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_last_attempt_is_ended_by_the_stop_of_the_pool_is_returned() {
    let spec = spec().workers(1).unwrap().retry(Retry::attempts(3));
    let (top, pool) = start(&spec.drain_within(Duration::ZERO).worker_shutdown(Duration::ZERO)).await;
    let (at, mut keeper) = gate();
    let called = pool.job(Order::Wait(at)).submit().unwrap();
    for _ in 0..2 {
        keeper.begun().await;
        worker(&top).await.kill();
    }
    keeper.begun().await;
    top.shutdown().await;
    let outcome = called.wait(LONG).await;
    assert!(matches!(outcome, Err(JobError::Returned { job: Order::Wait(_), .. })), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_dropped_while_workers_end_gives_the_jobs_to_their_owners() {
    let (top, pool) = start(&spec().workers(1).unwrap().worker_shutdown(LONG)).await;
    let keeper = busy(&pool).await;
    let waiting = pool.job(Order::Answer(1)).submit().unwrap();
    assert!(timeout(SECOND, pool.drain(Duration::ZERO)).await.is_err(), "the worker takes longer");
    let outcome = waiting.wait(SECOND).await;
    assert!(matches!(outcome, Err(JobError::Returned { job: Order::Answer(1), .. })), "{outcome:?}");
    keeper.open(1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_an_earlier_life_does_not_close_the_next_one() {
    let spec = spec().workers(1).unwrap().drain_within(Duration::ZERO).worker_shutdown(Duration::ZERO);
    let (top, pool) = start(&spec).await;
    let _keeper = busy(&pool).await;
    let mut drain = Box::pin(pool.drain(LONG));
    assert!(drain.as_mut().now_or_never().is_none(), "a job is in work");
    top.shutdown().await;
    let (top, _) = start(&spec).await;
    assert!(drain.await.is_complete());
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_stops_now_gives_everything_back_whatever_time_its_workers_have() {
    let (top, pool) = start(&spec().workers(2).unwrap().worker_shutdown(LONG).drain_within(LONG)).await;
    let (_first, _second) = (busy(&pool).await, busy(&pool).await);
    let called = pool.job(Order::Answer(1)).submit().unwrap();
    let cast = pool.cast(Order::Answer(2)).unwrap();
    let delayed = pool.job(Order::Answer(3)).after(LONG).cast().unwrap();
    let begun = Instant::now();
    let stopped = pool.stop_now().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let returned: Vec<_> = stopped.returned.iter().map(|job| (job.id, job.attempts)).collect();
    assert_eq!((returned.len(), &returned[2..]), (4, &[(cast, 0), (delayed, 0)][..]), "{returned:?}");
    assert!(returned[..2].iter().all(|(_, attempts)| *attempts == 1));
    assert_eq!((stopped.answered, stopped.done, stopped.abandoned.len()), (1, 0, 0));
    assert!(matches!(called.wait(LONG).await, Err(JobError::Returned { job: Order::Answer(1), .. })));
    assert!(matches!(pool.cast(Order::Answer(4)), Err(PoolError::NotRunning { job: Order::Answer(4) })));
    top.shutdown().await;
}

/// The workers have a runtime of their own: what a blocked worker wakes may wait for its thread.
#[tokio::test]
async fn a_pool_that_stops_now_abandons_the_job_of_a_worker_that_blocks_its_thread() {
    let release = Arc::new(Barrier::new(2));
    let runtime = Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    let spec = spec().workers(1).unwrap().worker_shutdown(LONG);
    let (top, pool) = runtime.spawn(async move { start(&spec).await }).await.unwrap();
    let (at, mut keeper) = gate();
    let blocked = pool.cast(Order::Block(at, Arc::clone(&release))).unwrap();
    keeper.begun().await;
    let waiting = pool.cast(Order::Answer(1)).unwrap();
    let stopped = pool.stop_now().await;
    assert_eq!(stopped.abandoned, [blocked]);
    assert_eq!(stopped.returned.iter().map(|job| job.id).collect::<Vec<_>>(), [waiting]);
    release.wait();
    top.shutdown().await;
    runtime.shutdown_background();
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_has_stopped_now_works_again_in_its_next_life() {
    let spec = spec().workers(1).unwrap();
    let (top, pool) = start(&spec).await;
    let _keeper = busy(&pool).await;
    assert_eq!(pool.stop_now().await.returned.len(), 1);
    top.shutdown().await;
    let (top, _) = start(&spec).await;
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_stopped_in_order_while_its_workers_are_down_gives_its_jobs_back_at_once() {
    let is_away = Arc::new(AtomicBool::new(false));
    let away = Arc::clone(&is_away);
    let spec = PoolSpec::new(move |_| {
        let is_away = away.load(Ordering::Relaxed);
        async move { if is_away { Err("the database is away".into()) } else { Ok(Obedient::default()) } }
    });
    let spec = spec.workers(1).unwrap().backoff(Backoff::Constant(LONG));
    let spec = spec.intensity(RestartIntensity::new(0, SECOND)).drain_within(LONG);
    let (top, pool) = start(&spec).await;
    let workers = top.supervisor("pool").await.unwrap().unwrap().supervisor("workers").await.unwrap().unwrap();
    is_away.store(true, Ordering::Relaxed);
    worker(&top).await.kill();
    workers.wait_until_gone().await;
    let waiting = pool.job(Order::Answer(7)).submit().unwrap();
    let begun = Instant::now();
    top.shutdown().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let outcome = waiting.wait(SECOND).await;
    assert!(matches!(outcome, Err(JobError::Returned { job: Order::Answer(7), .. })), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_send_that_waits_for_room_gets_its_job_back_when_the_pool_drains() {
    let (top, pool) = start(&spec().workers(1).unwrap().queue(QueueSpec::bounded(1).unwrap())).await;
    let keeper = busy(&pool).await;
    pool.cast(Order::Answer(1)).unwrap();
    let mut send = Box::pin(pool.send(Order::Answer(2)));
    assert!(send.as_mut().now_or_never().is_none(), "there is no room");
    let mut drain = Box::pin(pool.drain(LONG));
    assert!(drain.as_mut().now_or_never().is_none(), "jobs are in work");
    assert!(matches!(send.await, Err(PoolError::Draining { job: Order::Answer(2) })));
    assert!(matches!(pool.send(Order::Answer(3)).await, Err(PoolError::Draining { job: Order::Answer(3) })));
    keeper.open(1);
    assert!(drain.await.is_complete());
    top.shutdown().await;
}
