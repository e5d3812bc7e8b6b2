//! Pools whose supervisors and tasks collapse, and what the simulation has found, as scenarios of their own.

use std::time::Duration;

use foundation::supervision::{Backoff, RestartIntensity, Strategy, Supervisor, SupervisorSpec};
use foundation_pool::{JobError, PoolError, PoolEvent, PoolSpec, PoolWatched, Routing};

use crate::setup::{LONG, Obedient, Order, busy, letters, spec, start};

const SECOND: Duration = Duration::from_secs(1);

/// The supervisor of the workers ends, and is started again with the fewest workers.
async fn collapse(top: &Supervisor) {
    let pool = top.supervisor("pool").await.unwrap().unwrap();
    pool.child("workers").await.unwrap().unwrap().kill();
}

/// Lets this much time pass.
async fn passes(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_resized_while_it_collapses_has_its_size_afterwards_and_no_worker_more() {
    let spec = PoolSpec::new(|slot| async move {
        passes(SECOND * u32::from(slot.number() == 1)).await;
        Ok(Obedient::default())
    });
    let (top, pool) = start(&spec.workers(1..=4).unwrap()).await;
    collapse(&top).await;
    // The next life begins a few milliseconds later with two workers, of which the first takes a second: meanwhile
    // the ticks know the supervisor that has ended.
    passes(SECOND / 200).await;
    pool.resize(2..=4).unwrap();
    passes(60 * SECOND).await;
    let workers = top.supervisor("pool").await.unwrap().unwrap().child("workers").await.unwrap().unwrap();
    assert_eq!((pool.workers().len(), workers.get_children().len()), (2, 2));
    top.shutdown().await;
}

#[tokio::test]
async fn a_job_that_expires_at_a_claim_lets_the_next_one_of_its_key_be_routed_by_load() {
    let (top, pool) = start(&spec().workers(2).unwrap().routing(Routing::least_in_flight())).await;
    let (first, second) = (busy(&pool).await, busy(&pool).await);
    let expired = pool.job(Order::Answer(1)).key("a").deadline(Duration::ZERO).submit().unwrap();
    let next = pool.job(Order::Answer(2)).key("a").submit().unwrap();
    first.open(1);
    second.open(1);
    assert!(expired.wait(LONG).await.is_err());
    assert_eq!(next.wait(LONG).await.unwrap(), 2);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_pool_whose_topmost_supervisor_gives_up_go_to_their_owners() {
    let (dead_letters, mut letters) = letters();
    let spec = spec().workers(1).unwrap().dead_letters(dead_letters);
    let top = SupervisorSpec::new(Strategy::OneForOne).intensity(RestartIntensity::new(0, SECOND));
    let top = Supervisor::start("top", top.child(spec.child("pool"))).await.unwrap();
    let pool = spec.handle();
    let _keeper = busy(&pool).await;
    let called = pool.job(Order::Answer(1)).submit().unwrap();
    let cast = pool.job(Order::Answer(2)).after(LONG).cast().unwrap();
    top.child("pool").await.unwrap().unwrap().kill();
    top.wait_until_gone().await;
    let outcome = called.wait(SECOND).await;
    assert!(matches!(outcome, Err(JobError::Returned { job: Order::Answer(1), .. })), "{outcome:?}");
    let mut returned = [letters.recv().await.unwrap(), letters.recv().await.unwrap()];
    returned.sort_by_key(|letter| letter.id);
    assert!(matches!(returned[0].error, JobError::Returned { job: Order::Wait(_), .. }), "{returned:?}");
    assert_eq!(returned[1].id, cast);
    assert!(matches!(pool.cast(Order::Answer(3)), Err(PoolError::NotRunning { .. })));
    // The specification is as good as before.
    let (top, _) = start(&spec).await;
    assert_eq!(pool.call(Order::Answer(4), LONG).await.unwrap(), 4);
    top.shutdown().await;
}

#[tokio::test]
async fn a_description_of_a_pool_that_is_never_started_takes_no_jobs_with_it() {
    let spec = spec().workers(1).unwrap();
    let waiting = spec.handle().job(Order::Answer(7)).submit().unwrap();
    drop(spec.child("unused"));
    let (top, _) = start(&spec).await;
    assert_eq!(waiting.wait(LONG).await.unwrap(), 7);
    top.shutdown().await;
}

/// The task that keeps the time of the pool ends, and is not started again for an hour.
async fn without_keeper(top: &Supervisor) {
    let pool = top.supervisor("pool").await.unwrap().unwrap();
    let keeper = pool.child("keeper").await.unwrap().unwrap();
    keeper.kill_and_wait(None).await.unwrap();
    while pool.child("keeper").await.unwrap().is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_pool_whose_keeper_waits_for_its_restart_is_drained_by_hand_with_the_jobs_for_later() {
    let (top, pool) = start(&spec().workers(1).unwrap().backoff(Backoff::Constant(LONG))).await;
    without_keeper(&top).await;
    let later = pool.job(Order::Answer(8)).after(5 * SECOND).submit().unwrap();
    let drained = pool.drain(LONG).await;
    assert!(drained.is_complete() && drained.took < 6 * SECOND, "{drained:?}");
    assert_eq!(later.wait(SECOND).await.unwrap(), 8);
    top.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_stopped_while_its_keeper_waits_for_its_restart_gives_its_jobs_back_with_a_report() {
    let (dead_letters, mut letters) = letters();
    let spec = spec().workers(1).unwrap().backoff(Backoff::Constant(LONG)).worker_shutdown(SECOND);
    let (top, pool) = start(&spec.dead_letters(dead_letters)).await;
    let mut watch = pool.watch();
    without_keeper(&top).await;
    let _keeper = busy(&pool).await;
    let called = pool.job(Order::Answer(1)).submit().unwrap();
    let cast = pool.cast(Order::Answer(2)).unwrap();
    top.shutdown().await;
    let outcome = called.wait(SECOND).await;
    assert!(matches!(outcome, Err(JobError::Returned { job: Order::Answer(1), .. })), "{outcome:?}");
    let letters = [letters.recv().await.unwrap().id, letters.recv().await.unwrap().id];
    assert!(letters.contains(&cast), "{letters:?}");
    let counts = loop {
        if let PoolWatched::Event(PoolEvent::Drained { returned, under_way }) = watch.next().await.unwrap() {
            break (returned, under_way);
        }
    };
    assert_eq!(counts, (3, 0));
}
