//! What belongs to the specification of a pool and outlives every life of it.

use std::fmt;
use std::time::Duration;

use crate::queue::job_queue::JobQueue;
use crate::worker::crew::Crew;

/// The longest time that is added to the rule of a worker until it is taken for abandoned.
const GRACE: Duration = Duration::from_secs(1);

/// What belongs to the specification of a pool: its queue, and the way to its workers.
pub(crate) struct Shared<J, T> {
    pub(crate) queue: std::sync::Arc<JobQueue<J, T>>,
    pub(crate) crew: Crew,
    /// How long a worker may take to stop.
    pub(crate) worker_stop: Duration,
}

impl<J, T> Shared<J, T> {
    /// How long it may take until all workers are gone that do not block their threads.
    pub(crate) fn stop_within(&self) -> Duration {
        self.worker_stop.saturating_add(GRACE)
    }
}

impl<J, T> fmt::Debug for Shared<J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("crew", &self.crew).finish_non_exhaustive()
    }
}
