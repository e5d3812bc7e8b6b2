//! Durable jobs: a request that is dropped has recorded its job, which is performed, or has not.

use foundation::names::ServiceName;
use foundation_pool::durable::{DurablePool, DurableQueue, DurableSpec};
use foundation_pool::{JobContext, JobFailure, Worker};

use super::fixture::{Fixture, LONG, dropped_at_each_poll};

const QUEUE: ServiceName = ServiceName::from_static("numbers");

struct Doubler;

impl Worker for Doubler {
    type Job = u64;
    type Output = u64;

    async fn perform(&mut self, number: &mut u64, _: &JobContext<'_>) -> Result<u64, JobFailure> {
        Ok(*number * 2)
    }
}

async fn pool(fixture: &Fixture) -> DurablePool<u64, u64> {
    let queue = DurableQueue::new(fixture.registry(), QUEUE);
    let spec = DurableSpec::new(queue, |_| async { Ok(Doubler) });
    // A second time it is there already.
    let _ = fixture.services().supervise(spec.child("numbers")).await;
    spec.handle()
}

/// A handle that has no pool of its own: it records, and the pool that runs performs.
fn records(fixture: &Fixture) -> DurablePool<u64, u64> {
    DurableSpec::new(DurableQueue::new(fixture.registry(), QUEUE), |_| async { Ok(Doubler) }).handle()
}

// covers: DurablePool::send, DurableRequest::send
#[tokio::test(start_paused = true)]
async fn a_cancelled_acceptance_is_recorded_or_not_and_the_next_one_is() {
    dropped_at_each_poll(
        async |fixture| records(fixture).send(1).await.map(drop).unwrap(),
        async |fixture, _| assert_eq!(pool(fixture).await.call(2, LONG).await.unwrap(), 4),
    )
    .await;
    dropped_at_each_poll(
        async |fixture| records(fixture).job(1).unique("one").send().await.map(drop).unwrap(),
        async |fixture, _| assert_eq!(pool(fixture).await.call(2, LONG).await.unwrap(), 4),
    )
    .await;
}

// covers: DurablePool::call, DurableRequest::call
#[tokio::test(start_paused = true)]
async fn a_cancelled_call_leaves_a_pool_that_works() {
    dropped_at_each_poll(
        async |fixture| assert_eq!(pool(fixture).await.call(1, LONG).await.unwrap(), 2),
        async |fixture, _| {
            records(fixture).send(2).await.unwrap();
        },
    )
    .await;
    dropped_at_each_poll(
        async |fixture| {
            let request = pool(fixture).await;
            assert_eq!(request.job(1).idempotency_key("one").call(LONG).await.unwrap(), 2);
        },
        async |fixture, _| {
            records(fixture).send(2).await.unwrap();
        },
    )
    .await;
}
