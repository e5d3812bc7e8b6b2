//! Workers that panic, break, cannot start, and are restarted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use foundation::supervision::{
    Backoff, BoxError, ChildSpec, Health, Restart, RestartIntensity, Strategy, Supervisor, SupervisorSpec,
};
use foundation_pool::{JobError, PoolEvent, PoolSpec, PoolWatched, Retry, Stuck, WorkerState};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::setup::{LONG, Obedient, Order, busy, gate, spec, start, worker};

/// A pool of one worker that counts how often it is made, and cannot be made while the flag is set.
fn counted() -> (PoolSpec<Obedient>, Arc<AtomicU64>, Arc<AtomicBool>) {
    let (made, away) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, flag) = (Arc::clone(&made), Arc::clone(&away));
    let spec = PoolSpec::new(move |_| {
        let (count, flag) = (Arc::clone(&count), Arc::clone(&flag));
        async move {
            count.fetch_add(1, Ordering::Relaxed);
            if flag.load(Ordering::Relaxed) { Err("the database is away".into()) } else { Ok(Obedient::default()) }
        }
    });
    (spec.workers(1).unwrap(), made, away)
}

#[tokio::test]
async fn a_panic_makes_the_worker_anew_in_place_and_the_job_is_tried_again() {
    let (spec, made, _) = counted();
    let (top, pool) = start(&spec.retry(Retry::attempts(2))).await;
    let before = worker(&top).await.get_id();
    let Err(JobError::Panicked { attempts: 2, .. }) = pool.call(Order::Panic, LONG).await else {
        panic!("it panics");
    };
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    assert_eq!((made.load(Ordering::Relaxed), worker(&top).await.get_id()), (3, before));
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn three_panics_in_a_row_end_the_worker_which_is_restarted() {
    let (spec, ..) = counted();
    let (top, pool) = start(&spec).await;
    let before = worker(&top).await.get_id();
    for _ in 0..3 {
        assert!(pool.call(Order::Panic, LONG).await.is_err());
    }
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    assert_ne!(worker(&top).await.get_id(), before);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_says_that_it_is_broken_is_restarted() {
    let (spec, made, _) = counted();
    let (top, pool) = start(&spec).await;
    assert!(matches!(pool.call(Order::Break, LONG).await, Err(JobError::Failed { .. })));
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    assert_eq!(made.load(Ordering::Relaxed), 2);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_first_worker_that_cannot_start_is_tried_again_with_growing_delays_and_the_jobs_wait() {
    let (spec, made, away) = counted();
    away.store(true, Ordering::Relaxed);
    let pool = spec.handle();
    let mut watch = pool.watch();
    let mut waiting = Box::pin(pool.call(Order::Answer(7), LONG));
    let (top, _) = start(&spec).await;
    let told = watch.next().await;
    let Some(PoolWatched::Event(PoolEvent::WorkerFailedToStart { error, .. })) = told else { panic!("{told:?}") };
    assert!(error.contains("the database is away"), "{error}");
    let minute = Duration::from_secs(60);
    assert!(tokio::time::timeout(minute, &mut waiting).await.is_err(), "there is no worker");
    assert!(matches!(pool.health(), Health::Degraded(_)), "a job waits, and no worker lives");
    let tried = made.load(Ordering::Relaxed);
    assert!((10..=20).contains(&tried), "{tried} starts in a minute");
    away.store(false, Ordering::Relaxed);
    assert_eq!(waiting.await.unwrap(), 7);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_counts_in_the_intensity_also_of_a_worker_that_has_never_run() {
    let (spec, made, away) = counted();
    away.store(true, Ordering::Relaxed);
    let spec = spec.intensity(RestartIntensity::new(2, Duration::from_secs(5)));
    let waiting = spec.handle().job(Order::Answer(7)).submit().unwrap();
    let top = SupervisorSpec::new(Strategy::OneForOne).child(spec.child("pool"));
    let top = Supervisor::start("top", top).await.unwrap();
    top.wait_until_gone().await;
    // Three starts each time, four lives of the supervisor of the workers, and four of that of the pool.
    let made = made.load(Ordering::Relaxed);
    assert!((40..=48).contains(&made), "{made}");
    let outcome = waiting.wait(LONG).await;
    assert!(matches!(outcome, Err(JobError::Returned { job: Order::Answer(7), .. })), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_is_repeated_when_the_backoff_is_over_and_no_later() {
    let (spec, _, away) = counted();
    away.store(true, Ordering::Relaxed);
    let backoff = Duration::from_millis(3_210);
    let spec = spec.backoff(Backoff::Constant(backoff));
    let mut watch = spec.handle().watch();
    let begun = Instant::now();
    let (top, _) = start(&spec).await;
    for failures in 0..4 {
        let failed = watch.next().await;
        assert!(matches!(failed, Some(PoolWatched::Event(PoolEvent::WorkerFailedToStart { .. }))), "{failed:?}");
        // To the millisecond of tokio's timers.
        let late = begun.elapsed() - failures * backoff;
        assert!(late <= Duration::from_millis(u64::from(failures)), "failure {failures}: {late:?}");
    }
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_start_and_is_not_wanted_any_more_is_removed() {
    let (spec, _, away) = counted();
    away.store(true, Ordering::Relaxed);
    let (top, pool) = start(&spec.workers(2).unwrap().backoff(Backoff::Constant(Duration::from_secs(5)))).await;
    let mut watch = pool.watch();
    pool.resize(1).unwrap();
    while !matches!(watch.next().await, Some(PoolWatched::Event(PoolEvent::WorkerEnded { .. }))) {}
    assert_eq!(pool.workers().len(), 1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn each_start_of_a_worker_is_told_the_first_ones_and_restarts_included() {
    let (spec, _, away) = counted();
    let mut watch = spec.handle().watch();
    let (top, _) = start(&spec).await;
    assert!(matches!(watch.next().await, Some(PoolWatched::Event(PoolEvent::WorkerStarted { .. }))));
    away.store(true, Ordering::Relaxed);
    worker(&top).await.kill();
    assert!(matches!(watch.next().await, Some(PoolWatched::Event(PoolEvent::WorkerFailedToStart { .. }))));
    away.store(false, Ordering::Relaxed);
    loop {
        match watch.next().await {
            Some(PoolWatched::Event(PoolEvent::WorkerStarted { .. })) => break,
            Some(PoolWatched::Event(PoolEvent::WorkerFailedToStart { .. })) => {}
            other => panic!("{other:?}"),
        }
    }
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_start_again_is_tried_with_growing_delays_and_the_jobs_wait() {
    let (spec, made, away) = counted();
    let (top, pool) = start(&spec).await;
    away.store(true, Ordering::Relaxed);
    worker(&top).await.kill();
    let mut waiting = Box::pin(pool.call(Order::Answer(7), LONG));
    let minute = Duration::from_secs(60);
    assert!(tokio::time::timeout(minute, &mut waiting).await.is_err(), "there is no worker");
    let tried = made.load(Ordering::Relaxed);
    assert!((10..=20).contains(&tried), "{tried} starts in a minute");
    away.store(false, Ordering::Relaxed);
    assert_eq!(waiting.await.unwrap(), 7);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_whose_workers_collapse_goes_on_with_its_jobs() {
    let (spec, ..) = counted();
    let spec = spec.intensity(RestartIntensity::new(0, Duration::from_secs(5)));
    let (top, pool) = start(&spec).await;
    let keeper = busy(&pool).await;
    let waiting = pool.job(Order::Answer(7)).submit().unwrap();
    worker(&top).await.kill();
    // The job at the gate is begun again, by the worker of the next life.
    keeper.open(1);
    assert_eq!(waiting.wait(LONG).await.unwrap(), 7);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ends_its_worker_each_time_dies() {
    let (spec, ..) = counted();
    let (top, pool) = start(&spec).await;
    let (at, mut keeper) = gate();
    let call = tokio::spawn({
        let pool = pool.clone();
        async move { pool.call(Order::Wait(at), LONG).await }
    });
    for _ in 0..3 {
        keeper.begun().await;
        worker(&top).await.kill();
    }
    assert!(matches!(call.await.unwrap(), Err(JobError::Interrupted { attempts: 3, .. })));
    top.shutdown().await;
}

#[tokio::test]
async fn a_worker_ends_in_order_when_it_is_stopped() {
    let (spec, stopped) = (spec().workers(1).unwrap(), Arc::new(AtomicU64::new(0)));
    let (top, pool) = start(&spec).await;
    pool.call(Order::CountStops(Arc::clone(&stopped)), LONG).await.unwrap();
    top.shutdown().await;
    assert_eq!(stopped.load(Ordering::Relaxed), 1);
}

/// A pool of one worker that is made at once, but for the second time, which never ends.
fn second_never_made() -> PoolSpec<Obedient> {
    let made = AtomicU64::new(0);
    let spec = PoolSpec::new(move |_| {
        let hangs = made.fetch_add(1, Ordering::Relaxed) == 1;
        async move { if hangs { std::future::pending().await } else { Ok(Obedient::default()) } }
    });
    spec.workers(1).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_not_made_anew_in_time_is_restarted() {
    let (top, pool) = start(&second_never_made()).await;
    assert!(pool.call(Order::Panic, LONG).await.is_err());
    let begun = Instant::now();
    assert_eq!(pool.call(Order::Answer(1), LONG).await.unwrap(), 1);
    let took = begun.elapsed().as_secs();
    assert!((30..32).contains(&took), "{took} s");
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_being_made_anew_stops_at_once_with_its_pool() {
    let (top, pool) = start(&second_never_made().worker_shutdown(LONG)).await;
    assert!(pool.call(Order::Panic, LONG).await.is_err());
    let begun = Instant::now();
    top.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

/// A task that fails as often as there are permits.
fn failing(may_fail: &Arc<Semaphore>) -> ChildSpec {
    let may_fail = Arc::clone(may_fail);
    let work = move |_| {
        let may_fail = Arc::clone(&may_fail);
        async move {
            may_fail.acquire().await?.forget();
            Err::<(), BoxError>("as ordered".into())
        }
    };
    ChildSpec::task("failing", work).restart(Restart::Permanent)
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_stopped_since_a_supervisor_above_gives_up_keeps_its_jobs_and_goes_on_with_them() {
    let spec = spec().workers(1).unwrap();
    let may_fail = Arc::new(Semaphore::new(0));
    let middle = SupervisorSpec::new(Strategy::OneForOne).intensity(RestartIntensity::new(0, Duration::from_secs(5)));
    let middle = ChildSpec::supervisor("middle", middle.child(spec.child("pool")).child(failing(&may_fail)));
    let top = Supervisor::start("top", SupervisorSpec::new(Strategy::OneForOne).child(middle)).await.unwrap();
    let pool = spec.handle();
    let keeper = busy(&pool).await;
    let waiting = pool.job(Order::Answer(7)).submit().unwrap();
    let begun = Instant::now();
    may_fail.add_permits(1);
    // The worker has its time to stop; the job at the gate is begun again by the next life.
    let mut waiting = Box::pin(waiting.wait(LONG));
    assert!(tokio::time::timeout(Duration::from_secs(6), &mut waiting).await.is_err());
    keeper.open(1);
    assert_eq!(waiting.await.unwrap(), 7);
    assert!(begun.elapsed() < Duration::from_secs(10), "nothing was drained: {:?}", begun.elapsed());
    assert_eq!(pool.stats().returned, 0);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_notes_its_progress_is_not_slow() {
    let spec = spec().workers(1).unwrap().stuck(Stuck::slow_after(Duration::from_secs(2)));
    let (top, pool) = start(&spec).await;
    let (at, mut keeper) = gate();
    pool.cast(Order::Progress(at)).unwrap();
    keeper.begun().await;
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(matches!(pool.workers()[0].state, WorkerState::Slow { .. }), "{:?}", pool.workers());
    assert_eq!(pool.workers()[0].current.unwrap().progress, None);
    keeper.open(1);
    keeper.begun().await;
    tokio::time::advance(Duration::from_secs(1)).await;
    let [stats] = pool.workers().try_into().unwrap();
    assert_eq!(stats.state, WorkerState::Performing);
    let current = stats.current.unwrap();
    let (progress, lasts) = (current.progress.unwrap(), current.lasts.unwrap());
    assert_eq!((progress.as_secs(), lasts.as_secs()), (1, 4));
    keeper.open(1);
    top.shutdown().await;
}
