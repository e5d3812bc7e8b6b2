//! What a pool and its workers show of themselves.

use std::time::Duration;

use foundation_pool::{Measurement, PoolEvent, PoolWatched, QueueSpec, Routing, WorkerState};

use crate::setup::{LONG, Order, busy, gate, spec, start};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_worker_shows_its_job_and_what_it_has_done() {
    let (top, pool) = start(&spec().workers(1..=1).unwrap().measurement(Measurement::Full)).await;
    pool.call(Order::Last(SECOND), LONG).await.unwrap();
    pool.call(Order::Fail, LONG).await.unwrap_err();
    let (at, mut keeper) = gate();
    let id = pool.cast(Order::Wait(at)).unwrap();
    keeper.begun().await;
    tokio::time::advance(3 * SECOND).await;
    let worker = pool.workers().remove(0);
    assert_eq!((worker.state, worker.performed, worker.failed), (WorkerState::Performing, 2, 1));
    let current = worker.current.unwrap();
    assert_eq!((current.id, current.attempt, current.lasts), (id, 1, Some(3 * SECOND)));
    assert_eq!((worker.last_activity, worker.times_ns.count), (Some(3 * SECOND), 2));
    assert!(worker.uptime >= Some(4 * SECOND) && worker.restarts == 0, "{worker:?}");
    keeper.open(1);
    top.shutdown().await;
}

#[tokio::test]
async fn a_worker_shows_its_weight() {
    let spec = spec().workers(3).unwrap().weights([7, 0]).routing(Routing::weighted());
    let (top, pool) = start(&spec).await;
    let weights: Vec<_> = pool.workers().iter().map(|worker| worker.weight).collect();
    assert_eq!(weights, [7, 1, 100], "0 counts as 1");
    assert_eq!(serde_json::to_value(&pool.workers()[0]).unwrap()["weight"], 7);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_accounts_for_each_job() {
    let (top, pool) = start(&spec().workers(1..=1).unwrap()).await;
    let (at, mut keeper) = gate();
    pool.cast(Order::Wait(at)).unwrap();
    keeper.begun().await;
    pool.cast(Order::Answer(1)).unwrap();
    tokio::time::advance(2 * SECOND).await;
    let stats = pool.stats();
    assert_eq!((stats.accepted, stats.queued(), stats.in_work, stats.done), (2, 1, 1, 0));
    assert_eq!(stats.oldest_wait, Some(2 * SECOND));
    keeper.open(1);
    pool.call(Order::Answer(2), LONG).await.unwrap();
    pool.call(Order::Fail, LONG).await.unwrap_err();
    let stats = pool.stats();
    assert_eq!((stats.accepted, stats.done, stats.failed, stats.died), (4, 3, 1, 1), "{stats:?}");
    assert_eq!((stats.queued(), stats.in_work, stats.oldest_wait), (0, 0, None));
    assert!(stats.wait_ns.count >= 1);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn each_job_that_waits_is_counted_once_wherever_it_does() {
    let queue = QueueSpec::default().priorities([2, 1]);
    let (top, pool) = start(&spec().workers(1..=1).unwrap().queue(queue)).await;
    let keeper = busy(&pool).await;
    for number in 0..5 {
        pool.job(Order::Answer(number)).key("k").priority((number % 2) as u8).cast().unwrap();
    }
    pool.cast(Order::Answer(5)).unwrap();
    pool.job(Order::Answer(6)).key("k").after(SECOND).cast().unwrap();
    let stats = pool.stats();
    assert_eq!((&stats.queued_by_priority[..], stats.queued(), pool.queued()), (&[4, 2][..], 6, 6));
    assert_eq!((stats.delayed, stats.in_work, stats.accepted), (1, 1, 8));
    tokio::time::advance(2 * SECOND).await;
    // The keeper of the time has its turn before this job is begun.
    keeper.open(1);
    pool.call(Order::Last(SECOND), LONG).await.unwrap();
    while pool.stats().done < 9 {
        pool.call(Order::Last(SECOND), LONG).await.unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.queued_by_priority, stats.delayed, stats.in_work), (vec![0, 0], 0, 0));
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_shows_each_job_that_dies() {
    let (top, pool) = start(&spec()).await;
    let mut watch = pool.watch();
    let id = pool.cast(Order::Fail).unwrap();
    loop {
        if let Some(PoolWatched::Event(PoolEvent::JobDied { id: died, attempts, error })) = watch.next().await {
            assert_eq!((died, attempts), (id, 1));
            assert!(error.contains("as ordered"), "{error}");
            break;
        }
    }
    top.shutdown().await;
}
