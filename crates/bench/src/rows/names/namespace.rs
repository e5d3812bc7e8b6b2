//! A whole test namespace, up and down again: three services, an application, and the supervisors above them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foundation::Foundation;
use foundation::ractor::concurrency::JoinHandle;
use foundation::ractor::{Actor, ActorRef};
use futures::future::join_all;

use crate::actors::{Echo, EchoMsg};
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::stage::{as_task, runtime, started};

/// The number of actors in the namespace: two supervisors, three services, and one for the bookkeeping around them.
const BARE: usize = 6;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![BenchRow::new("namespace_up_down", 1, up_down)]
}

fn up_down(contest: &mut Contest<'_>) -> Vec<Measured> {
    let runtime = Arc::new(runtime());
    let foundation = started(runtime.block_on(Foundation::builder().start()));
    let ours = as_task(&runtime, move |operations| {
        let foundation = foundation.clone();
        timed(operations, async move || {
            let namespace = started(foundation.test_namespace().await);
            started(namespace.cleanup().await);
        })
    });
    let together = as_task(&runtime, |operations| timed(operations, bare_together));
    let in_order = as_task(&runtime, |operations| timed(operations, bare_in_order));
    let together = Peer::new("ractor spawn and stop 6 actors", 3.0, together);
    contest.between(ours, [together, Peer::shown("the same, stopped one after the other", in_order)])
}

async fn timed(operations: u64, operation: impl AsyncFn()) -> Duration {
    let begun = Instant::now();
    for _ in 0..operations {
        operation().await;
    }
    begun.elapsed()
}

async fn bare_together() {
    let running = spawned().await;
    running.iter().for_each(|(actor, _)| actor.stop(None));
    join_all(running.into_iter().map(|(_, task)| task)).await;
}

/// As a supervisor stops children: each is gone before the one started before it is asked to stop.
async fn bare_in_order() {
    for (actor, task) in spawned().await.into_iter().rev() {
        actor.stop(None);
        started(task.await);
    }
}

async fn spawned() -> Vec<(ActorRef<EchoMsg>, JoinHandle<()>)> {
    let mut running = Vec::with_capacity(BARE);
    for _ in 0..BARE {
        running.push(started(Actor::spawn(None, Echo, ()).await));
    }
    running
}
