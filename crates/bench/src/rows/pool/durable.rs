//! Durable jobs, until all are accepted and done, beside the events that one would append alone.

use std::sync::Arc;
use std::time::Instant;

use foundation::names::ServiceName;
use foundation_pool::durable::{DurablePool, DurableQueue, DurableSpec};
use foundation_pool::{JobContext, JobFailure, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::contest::{BenchRow, Contest, Peer};
use crate::events::{RunningStore, append};
use crate::measured::Measured;
use crate::stage::{as_task, divided, started};

const CLIENTS: u64 = 16;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("pool_durable_16_clients", 2, durable)]
}

#[derive(Serialize, Deserialize)]
struct Order {
    order: u64,
    item: String,
    quantity: u32,
    price: f64,
}

impl Order {
    /// As large as the event beside it.
    fn new(order: u64) -> Self {
        Self { order, item: "darjeeling, first flush".to_owned(), quantity: 3, price: 12.25 }
    }
}

/// Adds a permit for each job that is done.
struct Clerk(Arc<Semaphore>);

impl Worker for Clerk {
    type Job = Order;
    type Output = ();

    async fn perform(&mut self, _: &mut Order, _: &JobContext<'_>) -> Result<(), JobFailure> {
        self.0.add_permits(1);
        Ok(())
    }
}

fn durable(contest: &mut Contest<'_>) -> Vec<Measured> {
    let (kept, beside) = (RunningStore::in_file(), RunningStore::in_file());
    let done = Arc::new(Semaphore::new(0));
    let pool = start(&kept, &done);
    let ours = as_task(&kept.stage.runtime, move |operations| {
        let (pool, done) = (pool.clone(), Arc::clone(&done));
        async move {
            let begun = Instant::now();
            divided(operations, CLIENTS, move |order| {
                let pool = pool.clone();
                async move {
                    started(pool.send(Order::new(order)).await);
                }
            })
            .await;
            started(done.acquire_many(operations as u32).await).forget();
            begun.elapsed()
        }
    });
    let store = beside.store.clone();
    let peer = as_task(&beside.stage.runtime, move |operations| {
        let store = store.clone();
        async move { divided(operations, CLIENTS, move |order| append(store.clone(), order)).await }
    });
    contest.between(ours, [Peer::new("an append of one event for each", 1.25, peer)])
}

fn start(kept: &RunningStore, done: &Arc<Semaphore>) -> DurablePool<Order> {
    let queue = DurableQueue::new(&kept.stage.registry, ServiceName::from_static("orders"));
    let done = Arc::clone(done);
    let spec = DurableSpec::new(queue, move |_| {
        let done = Arc::clone(&done);
        async move { Ok(Clerk(done)) }
    });
    let spec = started(spec.pool(|pool| pool.workers(4)));
    let pool = spec.handle();
    started(kept.stage.runtime.block_on(kept.stage.registry.supervise(spec.child("orders"))));
    pool
}
