//! The task of a pool that keeps its time, and that drains it when the pool is stopped.
//!
//! It is the last child of the pool's supervisor, so it is the first one to be stopped, while the workers still work. If the
//! supervisor gives up, or one above it, nothing is drained, and the next life of the pool goes on with all jobs. If there is
//! none, or if the pool was stopped while this task waited for its restart, the jobs go to their owners with the last
//! [attachment](crate::attachment).

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::supervision::{StopReason, TaskStop};
use futures::future::pending;
use tokio::time::{Instant, sleep_until};

use crate::drain::{deliver, drain};
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
    let drained = keeping_time(&shared, drain(&shared.queue, &shared.crew, drain_within)).await;
    deliver(&shared.queue, drained);
}

/// Keeps the time of a pool until this future ends: so that jobs which wait for a time become due, whether the keeper runs or
/// waits for its restart.
pub(crate) async fn keeping_time<J, T, R>(shared: &Shared<J, T>, work: impl Future<Output = R>) -> R {
    let mut keeping = pin!(keep_time(shared));
    let mut work = pin!(work);
    poll_fn(|context| {
        // It never ends.
        let _ = keeping.as_mut().poll(context);
        work.as_mut().poll(context)
    })
    .await
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
