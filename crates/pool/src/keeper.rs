//! The task of a pool that keeps its time, and that drains it when the pool is stopped.
//!
//! It is the last child of the pool's supervisor, so it is the first one to be stopped, while the workers still work. If the
//! supervisor gives up, or one above it, nothing is drained, and the next life of the pool goes on with all jobs.

use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::report;
use foundation_kernel::supervision::{StopReason, TaskStop};
use futures::future::pending;
use tokio::time::{Instant, sleep_until};

use crate::dead_letters::DeadLetter;
use crate::drain::{Drained, drain};
use crate::error::JobError;
use crate::shared::Shared;

/// Keeps the time of a pool until it is asked to stop, and then drains the pool.
pub(crate) async fn keep<J, T>(shared: Arc<Shared<J, T>>, drain_within: Duration, stop: TaskStop) {
    tokio::select! {
        () = stop.requested() => {}
        () = keep_time(&shared) => {}
    }
    if stop.reason() == Some(StopReason::GaveUp) {
        return;
    }
    // While the workers are down, a wait would be for nothing: they are not started again before the end.
    let drain_within = shared.crew.supervisor().map_or(Duration::ZERO, |_| drain_within);
    let drained = tokio::select! {
        drained = drain(&shared.queue, &shared.crew, drain_within) => drained,
        () = keep_time(&shared) => return,
    };
    tell(&shared, drained);
}

/// Lets jobs that are due wait for a worker, and ends those that have waited for too long.
async fn keep_time<J, T>(shared: &Shared<J, T>) {
    loop {
        let due = shared.queue.tick();
        tokio::select! {
            () = shared.queue.earlier_than(due) => {}
            () = until(due) => {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the delay of a job is the feature itself")]
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

/// Takes the jobs that were not done to the dead letters: no caller waits for them.
fn tell<J, T>(shared: &Shared<J, T>, drained: Drained<J>) {
    match drained.is_complete() {
        true => report(|| tracing::debug!(%drained, "a pool has ended")),
        false => report(|| tracing::warn!(%drained, "a pool has ended before all of its jobs were done")),
    }
    let dead_letters = &shared.queue.rules().dead_letters;
    for unfinished in drained.returned {
        let (id, job) = (unfinished.id, unfinished.job);
        dead_letters.deliver(DeadLetter { id, error: JobError::Returned { id, job } });
    }
}
