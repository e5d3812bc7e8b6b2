//! The task of a pool that keeps its time, and that drains it when the pool is stopped.
//!
//! It is the last child of the pool's supervisor, so it is the first one to be stopped, while the workers still work. If the
//! supervisor gives up, or one above it, nothing is drained, and the next life of the pool goes on with all jobs. If there is
//! none, or if the pool was stopped while this task waited for its restart, the jobs go to their owners with the last
//! [attachment](crate::attachment).

use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::supervision::{StopReason, TaskStop};

use crate::drain::{deliver, drain, keep_time};
use crate::shared::Shared;

/// Keeps the time of a pool until it is asked to stop, and then drains the pool.
pub(crate) async fn keep<J, T>(shared: Arc<Shared<J, T>>, drain_within: Duration, stop: TaskStop) {
    tokio::select! {
        () = stop.requested() => {}
        () = keep_time(&shared.queue) => {}
    }
    if stop.reason() == Some(StopReason::GaveUp) {
        return;
    }
    // While the workers are down, a wait would be for nothing: they are not started again before the end.
    let drain_within = shared.crew.supervisor().map_or(Duration::ZERO, |_| drain_within);
    let drained = drain(&shared.queue, &shared.crew, drain_within).await;
    deliver(&shared.queue, drained);
}
