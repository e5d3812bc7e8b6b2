//! Jobs that are routed to workers: how they are spread, and that none is lost when workers or the routing change.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use foundation::supervision::Supervisor;
use foundation_pool::{JobContext, JobFailure, JobHandle, Pool, PoolSpec, QueueSpec, Routing, Stuck, Worker};
use futures::stream::{self, FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::setup::{Keeper, LONG, Obedient, Order, at_once, gate, start_any};

type Job = (u64, Order);

/// The slots and the numbers of the jobs that were done, in their order.
type Done = Arc<Mutex<Vec<(u64, u64)>>>;

/// Notes what it has done, and answers with the number of its slot.
struct Placed {
    slot: u64,
    takes: Duration,
    done: Done,
}

impl Worker for Placed {
    type Job = Job;
    type Output = u64;

    async fn perform(&mut self, (number, order): &mut Job, context: &JobContext<'_>) -> Result<u64, JobFailure> {
        Obedient::default().perform(order, context).await?;
        if !self.takes.is_zero() {
            let _ = timeout(self.takes, pending::<()>()).await;
        }
        self.done.lock().push((self.slot, *number));
        Ok(self.slot)
    }
}

/// So many workers, of which the first takes this time for a job and the others a tenth of it.
fn placed(workers: usize, first_takes: Duration) -> (PoolSpec<Placed>, Done, Arc<AtomicBool>) {
    let (done, away) = (Done::default(), Arc::new(AtomicBool::new(false)));
    let (of_workers, flag) = (Arc::clone(&done), Arc::clone(&away));
    let spec = PoolSpec::new(move |slot| {
        let (done, away) = (Arc::clone(&of_workers), flag.load(Ordering::Relaxed));
        let takes = if slot.number() == 1 { first_takes } else { first_takes / 10 };
        async move { if away { Err("it is away".into()) } else { Ok(Placed { slot: slot.number() as u64, takes, done }) } }
    });
    (spec.workers(workers).unwrap(), done, away)
}

/// Starts the pool; each of its workers has performed a job, so that each can be routed to.
async fn start(spec: &PoolSpec<Placed>, workers: usize, routing: Routing) -> (Supervisor, Pool<Job, u64>) {
    let (top, pool) = start_any(spec).await;
    let (gates, mut keeper) = gate();
    let handles: Vec<_> = (0..workers).map(|_| pool.job((0, Order::Wait(gates.clone()))).submit().unwrap()).collect();
    for _ in 0..workers {
        keeper.begun().await;
    }
    keeper.open(workers);
    for handle in handles {
        handle.wait(LONG).await.unwrap();
    }
    pool.set_routing(routing);
    assert_eq!(pool.routing(), routing);
    (top, pool)
}

fn submit(pool: &Pool<Job, u64>, numbers: std::ops::RangeInclusive<u64>) -> Vec<JobHandle<Job, u64>> {
    numbers.map(|number| pool.job((number, Order::Answer(0))).submit().unwrap()).collect()
}

/// How many of these jobs each worker has done, by its slot.
async fn spread(routing: Routing, jobs: u64) -> Vec<usize> {
    let (spec, done, _) = placed(4, Duration::ZERO);
    let (top, pool) = start(&spec.weights([100, 100, 200, 400]), 4, routing).await;
    pool.pause();
    done.lock().clear();
    let handles = submit(&pool, 1..=jobs);
    assert_eq!(pool.queued() as u64, jobs);
    pool.resume();
    let mut spread = vec![0; 4];
    for handle in handles {
        spread[handle.wait(LONG).await.unwrap() as usize - 1] += 1;
    }
    top.shutdown().await;
    spread
}

#[tokio::test]
async fn jobs_are_spread_over_the_workers_as_each_routing_says() {
    assert_eq!(spread(Routing::round_robin().pinned(), 400).await, [100; 4]);
    let random = spread(Routing::random().pinned(), 800).await;
    assert!(random.iter().all(|jobs| (140..260).contains(jobs)), "{random:?}");
    for routing in [Routing::weighted(), Routing::least_in_flight(), Routing::power_of_two()] {
        let jobs = spread(routing.pinned(), 800).await;
        let near = jobs.iter().zip([100, 100, 200, 400]).all(|(jobs, share)| jobs.abs_diff(share) <= 30);
        assert!(near, "{routing}: {jobs:?}");
    }
}

#[tokio::test]
async fn jobs_with_a_label_go_to_the_same_worker_and_those_without_one_to_any() {
    let (spec, done, _) = placed(4, Duration::ZERO);
    let (top, pool) = start(&spec, 4, Routing::affinity().pinned()).await;
    done.lock().clear();
    for number in 0..400 {
        pool.job((number, Order::Answer(0))).label((number % 20).to_string()).cast().unwrap();
        pool.cast((1_000, Order::Answer(0))).unwrap();
    }
    assert!(pool.drain(LONG).await.returned.is_empty());
    top.shutdown().await;
    let mut labels = BTreeMap::<u64, BTreeSet<u64>>::new();
    for (slot, number) in done.lock().iter().filter(|(_, number)| *number < 1_000) {
        labels.entry(number % 20).or_default().insert(*slot);
    }
    assert!(labels.len() == 20 && labels.values().all(|slots| slots.len() == 1), "{labels:?}");
    assert!(labels.values().flatten().collect::<BTreeSet<_>>().len() > 1, "{labels:?}");
    assert_eq!(done.lock().len(), 800);
}

#[tokio::test(start_paused = true)]
async fn by_performance_a_slow_worker_gets_fewer_jobs() {
    let (spec, done, _) = placed(4, Duration::from_millis(100));
    let (top, pool) = start(&spec, 4, Routing::performance().pinned()).await;
    done.lock().clear();
    let jobs = stream::iter((1..=400).map(|number| (number, Order::Answer(0))));
    let outputs: Vec<_> = pool.each(jobs, at_once(4)).collect().await;
    let by_slow = outputs.iter().filter(|slot| matches!(slot, Ok(1))).count();
    assert_eq!(done.lock().len(), 400);
    assert!(by_slow < 40, "{by_slow} of 400 jobs were done by the slow one of 4 workers");
    top.shutdown().await;
}

/// One of the workers, at a gate.
async fn one_busy(pool: &Pool<Job, u64>) -> Keeper {
    let (at, mut keeper) = gate();
    pool.cast((0, Order::Wait(at))).unwrap();
    keeper.begun().await;
    keeper
}

#[tokio::test]
async fn an_idle_worker_takes_the_jobs_of_one_that_is_busy() {
    let (spec, ..) = placed(2, Duration::ZERO);
    let (top, pool) = start(&spec, 2, Routing::round_robin()).await;
    let keeper = one_busy(&pool).await;
    let mut slots = BTreeSet::new();
    for handle in submit(&pool, 1..=10) {
        slots.insert(handle.wait(LONG).await.unwrap());
    }
    assert_eq!(slots.len(), 1);
    keeper.open(1);
    top.shutdown().await;
}

#[tokio::test]
async fn a_pinned_worker_takes_only_its_own_jobs() {
    let (spec, ..) = placed(2, Duration::ZERO);
    let (top, pool) = start(&spec, 2, Routing::round_robin().pinned()).await;
    let keeper = one_busy(&pool).await;
    let mut outcomes: FuturesUnordered<_> = submit(&pool, 1..=10).into_iter().map(|it| it.wait(LONG)).collect();
    let idle = outcomes.next().await.unwrap().unwrap();
    for _ in 0..4 {
        assert_eq!(outcomes.next().await.unwrap().unwrap(), idle);
    }
    for _ in 0..20 {
        yield_now().await;
    }
    assert_eq!((pool.queued(), pool.stats().queued_by_priority), (5, vec![5]));
    keeper.open(1);
    while let Some(slot) = outcomes.next().await {
        assert_ne!(slot.unwrap(), idle);
    }
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn by_affinity_the_worker_of_a_label_does_its_jobs_while_it_is_free_and_idle_ones_help_while_it_is_not() {
    let (spec, ..) = placed(4, Duration::ZERO);
    let (top, pool) = start(&spec, 4, Routing::affinity()).await;
    let labelled = |number| pool.job((number, Order::Answer(0))).label("cache");
    let own = labelled(0).call(LONG).await.unwrap();
    for number in 1..=100 {
        assert_eq!(labelled(number).call(LONG).await.unwrap(), own, "it is free");
    }
    let (at, mut keeper) = gate();
    let busy = pool.job((0, Order::Wait(at))).label("cache").submit().unwrap();
    keeper.begun().await;
    assert_ne!(labelled(101).call(LONG).await.unwrap(), own, "the others are idle");
    keeper.open(1);
    assert_eq!(busy.wait(LONG).await.unwrap(), own);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn by_pinned_affinity_the_jobs_of_a_label_wait_for_its_worker_though_others_are_idle() {
    let (spec, ..) = placed(4, Duration::ZERO);
    let (top, pool) = start(&spec, 4, Routing::affinity().pinned()).await;
    let (at, mut keeper) = gate();
    let busy = pool.job((0, Order::Wait(at))).label("cache").submit().unwrap();
    keeper.begun().await;
    let mut waiting = Box::pin(pool.job((1, Order::Answer(0))).label("cache").call(LONG));
    assert!(timeout(LONG / 2, &mut waiting).await.is_err(), "it waits for its worker");
    let inboxes: Vec<_> =
        pool.workers().iter().filter(|worker| worker.inbox > 0).map(|it| (it.slot.number() as u64, it.inbox)).collect();
    keeper.open(1);
    let own = busy.wait(LONG).await.unwrap();
    assert_eq!(inboxes, [(own, 1)]);
    assert_eq!(waiting.await.unwrap(), own);
    top.shutdown().await;
}

#[tokio::test]
async fn the_jobs_of_a_worker_that_is_killed_are_done_by_the_others() {
    let (spec, _, away) = placed(2, Duration::ZERO);
    let (top, pool) = start(&spec, 2, Routing::round_robin().pinned()).await;
    let (gates, mut keeper) = gate();
    let busy: Vec<_> = (0..2).map(|_| pool.job((0, Order::Wait(gates.clone()))).submit().unwrap()).collect();
    keeper.begun().await;
    keeper.begun().await;
    let handles = submit(&pool, 1..=10);
    away.store(true, Ordering::Relaxed);
    let workers = top.supervisor("pool").await.unwrap().unwrap().supervisor("workers").await.unwrap().unwrap();
    workers.actor().unwrap().get_children()[0].kill();
    keeper.open(2);
    let mut slots = BTreeSet::new();
    for handle in handles.into_iter().chain(busy) {
        slots.insert(handle.wait(LONG).await.unwrap());
    }
    assert_eq!(slots.len(), 1, "the other one cannot start again");
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_jobs_of_workers_that_are_retired_are_done_by_the_others() {
    let (spec, done, _) = placed(4, Duration::from_millis(100));
    let (top, pool) = start(&spec, 4, Routing::round_robin().pinned()).await;
    done.lock().clear();
    pool.pause();
    let handles = submit(&pool, 1..=40);
    pool.resize(1).unwrap();
    pool.resume();
    for handle in handles {
        handle.wait(LONG).await.unwrap();
    }
    assert_eq!(done.lock().len(), 40);
    top.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_jobs_of_a_worker_that_blocks_its_thread_are_done_by_the_others() {
    let (spec, ..) = placed(2, Duration::ZERO);
    let stuck = Stuck::slow_after(Duration::from_millis(50)).spare_slots(0);
    let (top, pool) = start(&spec.stuck(stuck), 2, Routing::round_robin().pinned()).await;
    let (at, mut keeper) = gate();
    let barrier = Arc::new(Barrier::new(2));
    pool.cast((0, Order::Block(at, Arc::clone(&barrier)))).unwrap();
    keeper.begun().await;
    let mut slots = BTreeSet::new();
    for handle in submit(&pool, 1..=10) {
        slots.insert(handle.wait(LONG).await.unwrap());
    }
    assert_eq!(slots.len(), 1);
    // It waits for the worker only, which is there already.
    tokio::task::spawn_blocking(move || barrier.wait()).await.unwrap();
    top.shutdown().await;
}

#[tokio::test]
async fn a_drain_gives_back_what_is_in_inboxes_in_order() {
    let (spec, ..) = placed(3, Duration::ZERO);
    let (top, pool) = start(&spec, 3, Routing::round_robin().pinned()).await;
    pool.pause();
    for number in 1..=20 {
        pool.cast((number, Order::Answer(0))).unwrap();
    }
    let drained = pool.drain(Duration::ZERO).await;
    let numbers: Vec<_> = drained.returned.iter().map(|unfinished| unfinished.job.0).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    assert_eq!(pool.queued(), 0);
    top.shutdown().await;
}

#[tokio::test]
async fn an_inbox_gives_urgent_jobs_first_and_a_change_of_the_routing_keeps_their_order() {
    let (spec, done, _) = placed(1, Duration::ZERO);
    let queue = QueueSpec::bounded(100).unwrap().priorities([1_000, 1]);
    let (top, pool) = start(&spec.queue(queue), 1, Routing::round_robin()).await;
    for switched in [false, true] {
        done.lock().clear();
        pool.pause();
        for number in 1..=10 {
            pool.job((number, Order::Answer(0))).priority((number % 2) as u8).cast().unwrap();
        }
        assert_eq!(pool.stats().queued_by_priority, [5, 5]);
        if switched {
            pool.set_routing(Routing::shared());
        }
        let last = pool.job((11, Order::Answer(0))).priority(1).submit().unwrap();
        pool.resume();
        last.wait(LONG).await.unwrap();
        let numbers: Vec<_> = done.lock().iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, [2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]);
    }
    top.shutdown().await;
}

const ROUTINGS: [Routing; 10] = [
    Routing::shared(),
    Routing::round_robin(),
    Routing::random().pinned(),
    Routing::weighted(),
    Routing::least_in_flight(),
    Routing::power_of_two().pinned(),
    Routing::performance(),
    Routing::affinity(),
    Routing::affinity().pinned(),
    Routing::performance().pinned(),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_routing_is_changed_a_thousand_times_each_job_is_done_once_and_keys_keep_their_order() {
    let (spec, done, _) = placed(4, Duration::ZERO);
    let spec = spec.queue(QueueSpec::bounded(500).unwrap());
    let (top, pool) = start(&spec, 4, Routing::shared()).await;
    done.lock().clear();
    let send = |sender: u64| {
        let pool = pool.clone();
        tokio::spawn(async move {
            for number in (0..20_000).filter(|number| number % 4 == sender) {
                let job = pool.job((number, Order::Answer(0)));
                let job = if number % 3 == 0 { job } else { job.key((number % 28).to_string()) };
                job.send().await.unwrap();
            }
        })
    };
    let senders: Vec<_> = (0..4).map(send).collect();
    for routing in ROUTINGS.iter().cycle().take(1_000) {
        pool.set_routing(*routing);
        yield_now().await;
    }
    for sender in senders {
        sender.await.unwrap();
    }
    assert!(pool.drain(LONG).await.returned.is_empty());
    top.shutdown().await;
    let mut keys = BTreeMap::<u64, Vec<u64>>::new();
    for (_, number) in done.lock().iter().filter(|(_, number)| number % 3 != 0) {
        keys.entry(number % 28).or_default().push(*number);
    }
    assert!(keys.values().all(|numbers| numbers.is_sorted()));
    let mut numbers: Vec<_> = done.lock().iter().map(|(_, number)| *number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20_000).collect::<Vec<_>>());
}
