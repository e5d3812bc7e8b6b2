//! What belongs to the specification of a pool and outlives every life of it.

use std::sync::Arc;

use crate::queue::job_queue::JobQueue;
use crate::worker::crew::Crew;

/// What belongs to the specification of a pool: its queue, and the way to its workers.
pub(crate) struct Shared<J, T> {
    pub(crate) queue: Arc<JobQueue<J, T>>,
    pub(crate) crew: Crew,
}
