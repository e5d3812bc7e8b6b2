//! What the simulation has found, as scenarios of their own.

use std::time::Duration;

use foundation::supervision::Supervisor;
use foundation_pool::{PoolSpec, Routing};

use crate::setup::{LONG, Obedient, Order, busy, spec, start};

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
