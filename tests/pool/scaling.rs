//! How many workers a pool has: by its load, by request, and beside those that are stuck.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use foundation_pool::{Pool, PoolEvent, PoolWatch, PoolWatched, QueueSpec, Rate, Scaling, Stuck, WorkerState};
use foundation_testkit::until;
use tokio::time::{Instant, interval, timeout};

use crate::setup::{LONG, Order, gate, spec, start};

const SECOND: Duration = Duration::from_secs(1);

/// The next event for which this is so.
async fn event(watch: &mut PoolWatch, is: impl Fn(&PoolEvent) -> bool) -> PoolEvent {
    let next = async {
        loop {
            match watch.next().await.unwrap() {
                PoolWatched::Event(event) if is(&event) => return event,
                _ => {}
            }
        }
    };
    timeout(LONG, next).await.unwrap()
}

/// Puts this many jobs in within each second, for so long.
async fn load(pool: &Pool<Order, u64>, per_second: u32, seconds: u32) {
    let mut ticks = interval(SECOND / per_second);
    for _ in 0..per_second * seconds {
        ticks.tick().await;
        pool.cast(Order::Last(SECOND / 10)).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_grows_with_its_load_and_shrinks_to_its_minimum_when_the_load_is_gone() {
    let (top, pool) = start(&spec().workers(1..=20).unwrap()).await;
    let mut watch = pool.watch();
    load(&pool, 50, 20).await;
    let stats = pool.stats();
    // 50 jobs a second of 100 ms are the work of 5 workers, of whose time 0.7 is to be used; and there was a backlog at first.
    assert!((7..=12).contains(&stats.workers), "{stats:?}");
    assert!(stats.busy_share > 0.4 && stats.busy_share < 0.8, "{stats:?}");
    event(&mut watch, |event| matches!(event, PoolEvent::Resized { to: 1, .. })).await;
    let ended = |event: &PoolEvent| matches!(event, PoolEvent::WorkerEnded { .. });
    while pool.workers().len() > 1 {
        event(&mut watch, ended).await;
    }
    assert_eq!(pool.stats().done, 1_000);
    top.shutdown().await;
}

/// The most workers that the pool wants within so long.
async fn most_wanted(pool: &Pool<Order, u64>, seconds: u32) -> usize {
    let (mut most, mut ticks) = (0, interval(SECOND / 2));
    for _ in 0..2 * seconds {
        ticks.tick().await;
        most = most.max(pool.stats().wanted);
    }
    most
}

#[tokio::test(start_paused = true)]
async fn jobs_that_wait_for_another_of_their_key_want_no_workers() {
    let (top, pool) = start(&spec().workers(1..=20).unwrap()).await;
    for _ in 0..500 {
        pool.job(Order::Last(SECOND / 10)).key("hot").cast().unwrap();
    }
    assert!(most_wanted(&pool, 40).await <= 2, "one job at a time is the work of one worker, busy for 0.7 of its time");
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_pool_that_is_paused_want_no_workers_until_it_goes_on() {
    let (top, pool) = start(&spec().workers(1..=20).unwrap()).await;
    load(&pool, 5, 10).await;
    pool.pause();
    load(&pool, 50, 10).await;
    assert_eq!(most_wanted(&pool, 10).await, 1);
    pool.resume();
    assert!(most_wanted(&pool, 2).await > 10, "500 jobs of 100 ms wait");
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn jobs_over_the_rate_want_no_workers() {
    let queue = QueueSpec::default().rate(Rate::per_second(20).unwrap());
    let (top, pool) = start(&spec().workers(1..=20).unwrap().queue(queue)).await;
    load(&pool, 100, 20).await;
    // 20 jobs a second of 100 ms are the work of 2 workers, of whose time 0.7 is to be used.
    let wanted = most_wanted(&pool, 20).await;
    assert!((3..=4).contains(&wanted), "{wanted}");
    let done = pool.stats().done;
    // At first there was one worker, which does 10 in a second.
    assert!((770..=801).contains(&done), "{done} in 40 s");
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_has_just_shrunk_grows_again_at_once() {
    let (top, pool) = start(&spec().workers(8).unwrap()).await;
    let mut watch = pool.watch();
    let begun = Instant::now();
    pool.resize(1).unwrap();
    // The workers end at once, which the scaler notes at its next tick.
    let live = || pool.workers().iter().filter(|worker| worker.state != WorkerState::Down).count();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(live(), 1);
    pool.resize(8).unwrap();
    for _ in 0..7 {
        event(&mut watch, |event| matches!(event, PoolEvent::WorkerStarted { .. })).await;
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!((live(), pool.stats().wanted), (8, 8));
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_has_the_size_that_is_asked_for() {
    let (top, pool) = start(&spec().workers(2..=2).unwrap()).await;
    let mut watch = pool.watch();
    pool.resize(6..=6).unwrap();
    for _ in 0..4 {
        event(&mut watch, |event| matches!(event, PoolEvent::WorkerStarted { .. })).await;
    }
    assert_eq!(pool.stats().workers, 6);
    pool.resize(1..=1).unwrap();
    for _ in 0..5 {
        event(&mut watch, |event| matches!(event, PoolEvent::WorkerEnded { .. })).await;
    }
    assert_eq!(pool.workers().len(), 1);
    assert!(pool.resize(0..=4).is_err() && pool.resize(std::ops::RangeInclusive::new(4, 2)).is_err());
    assert_eq!(pool.call(Order::Answer(7), LONG).await.unwrap(), 7);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_to_end_finishes_its_job_first() {
    let (top, pool) = start(&spec().workers(2..=2).unwrap()).await;
    let mut watch = pool.watch();
    let ((one, mut keeper), (other, mut other_keeper)) = (gate(), gate());
    pool.cast(Order::Wait(one)).unwrap();
    pool.cast(Order::Wait(other)).unwrap();
    keeper.begun().await;
    other_keeper.begun().await;
    pool.resize(1..=1).unwrap();
    event(&mut watch, |event| matches!(event, PoolEvent::Resized { to: 1, .. })).await;
    keeper.open(1);
    other_keeper.open(1);
    event(&mut watch, |event| matches!(event, PoolEvent::WorkerEnded { .. })).await;
    let stats = pool.stats();
    assert_eq!((stats.done, stats.failed, stats.in_work), (2, 0, 0));
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_worker_is_shown_and_then_replaced_and_its_job_is_tried_again() {
    let stuck = Stuck::slow_after(SECOND).kill_after(5 * SECOND);
    // By default a job that fails has one attempt; that of a worker which is replaced has not failed.
    let spec = spec().workers(1..=1).unwrap().stuck(stuck);
    let (top, pool) = start(&spec).await;
    let mut watch = pool.watch();
    let (at, mut keeper) = gate();
    let call = tokio::spawn({
        let pool = pool.clone();
        async move { pool.call(Order::Wait(at), LONG).await }
    });
    keeper.begun().await;
    let shown = event(&mut watch, |event| matches!(event, PoolEvent::WorkerStuck { blocking: false, .. })).await;
    let worker = &pool.workers()[0];
    assert!(matches!(worker.state, WorkerState::Slow { lasts } if lasts >= SECOND), "{shown}: {worker:?}");
    assert_eq!(worker.current.unwrap().attempt, 1);
    event(&mut watch, |event| matches!(event, PoolEvent::WorkerReplaced { .. })).await;
    keeper.begun().await;
    keeper.open(1);
    assert_eq!(call.await.unwrap().unwrap(), 2, "the second attempt");
    event(&mut watch, |event| matches!(event, PoolEvent::WorkerRecovered { .. })).await;
    top.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_that_blocks_its_thread_gets_a_spare_one_until_it_goes_on() {
    let stuck = Stuck::slow_after(SECOND / 20).spare_slots(1);
    let (top, pool) = start(&spec().workers(1..=1).unwrap().stuck(stuck)).await;
    let mut watch = pool.watch();
    let ((at, _keeper), release) = (gate(), Arc::new(Barrier::new(2)));
    pool.cast(Order::Block(at, Arc::clone(&release))).unwrap();
    let shown = event(&mut watch, |event| matches!(event, PoolEvent::WorkerStuck { blocking: true, .. })).await;
    // Nothing waits for the worker that blocks: another one performs this.
    assert_eq!(pool.call(Order::Answer(7), LONG).await.unwrap(), 7, "{shown}");
    let stats = pool.stats();
    assert_eq!((stats.workers, stats.stuck, stats.in_work), (2, 1, 1), "{stats:?}");
    // The worker is there already.
    release.wait();
    event(&mut watch, |event| matches!(event, PoolEvent::WorkerEnded { .. })).await;
    assert_eq!(pool.workers().len(), 1);
    // The one that has gone on may not have told yet that its job is done.
    until("both jobs are done", async || pool.stats().done == 2).await;
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_workers_than_that_start_at_the_same_time() {
    let at_once = 3;
    let scaling = Scaling::default().start_at_once(at_once);
    let spec = crate::setup::slow_to_start(SECOND).workers(1..=1).unwrap().scaling(scaling);
    let (top, pool) = start(&spec).await;
    let mut watch = pool.watch();
    pool.resize(10..=10).unwrap();
    let begun = tokio::time::Instant::now();
    for _ in 0..9 {
        event(&mut watch, |event| matches!(event, PoolEvent::WorkerStarted { .. })).await;
    }
    assert_eq!(begun.elapsed().as_secs(), 3, "9 starts of a second, 3 at once");
    top.shutdown().await;
}
