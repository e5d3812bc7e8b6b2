//! Ending a namespace: its services are gone, and each actor's `post_stop` and destructors have run.

use std::time::{Duration, Instant};

use foundation::ractor::Actor;
use foundation::{Foundation, ServiceKey};
use futures::future::join_all;

use crate::actors::{EchoMsg, Ends, Mortal};
use crate::contest::BenchRow;
use crate::contest::{Contest, Peer};
use crate::measured::Measured;
use crate::stage::{as_task, runtime, started};

/// The other actors of a namespace, stopped one by one: three services, the application's supervisor and its own.
const OWN: usize = 5;

pub(super) fn rows() -> Vec<BenchRow> {
    vec![
        BenchRow::new("cleanup_10", 1, |c| cleanup(c, 10, 1.6)),
        BenchRow::new("cleanup_1000", 1, |c| cleanup(c, 1_000, 1.4)),
    ]
}

fn cleanup(contest: &mut Contest<'_>, actors: usize, limit: f64) -> Vec<Measured> {
    let runtime = std::sync::Arc::new(runtime());
    let foundation = started(runtime.block_on(Foundation::builder().start()));
    let ours = as_task(&runtime, move |operations| {
        let foundation = foundation.clone();
        summed(operations, async move || namespace(&foundation, actors).await)
    });
    let together = as_task(&runtime, move |operations| summed(operations, async move || bare(actors + OWN, 0).await));
    let in_order = as_task(&runtime, move |operations| summed(operations, async move || bare(actors, OWN).await));
    let together = Peer::new("ractor stop and await, all at once", limit, together);
    contest.between(ours, [together, Peer::shown("the same, five of them one after the other", in_order)])
}

/// Each operation returns the duration of its measured part.
async fn summed(operations: u64, operation: impl AsyncFn() -> Duration) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..operations {
        took += operation().await;
    }
    took
}

async fn namespace(foundation: &Foundation, actors: usize) -> Duration {
    let (namespace, ends) = (started(foundation.test_namespace().await), Ends::default());
    for n in 0..actors {
        let key: ServiceKey<EchoMsg> = started(ServiceKey::new(format!("mortal-{n}")));
        started(namespace.services().spawn(&key, Mortal(ends.clone()), ()).await);
    }
    let begun = Instant::now();
    started(namespace.cleanup().await);
    let took = begun.elapsed();
    assert_eq!(ends.counted(), (actors as u64, actors as u64), "a clean-up returns when everybody is gone");
    took
}

/// Stops `together` actors at once, and then `in_order` actors, each gone before the next is asked.
async fn bare(together: usize, in_order: usize) -> Duration {
    let (ends, actors) = (Ends::default(), together + in_order);
    let mut running = Vec::with_capacity(actors);
    for _ in 0..actors {
        running.push(started(Actor::spawn(None, Mortal(ends.clone()), ()).await));
    }
    let begun = Instant::now();
    let after = running.split_off(together);
    running.iter().for_each(|(actor, _)| actor.stop(None));
    join_all(running.into_iter().map(|(_, task)| task)).await;
    for (actor, task) in after {
        actor.stop(None);
        started(task.await);
    }
    let took = begun.elapsed();
    assert_eq!(ends.counted(), (actors as u64, actors as u64), "a joined task has dropped its actor");
    took
}
