//! The durable queues of a namespace that have a pool.

use std::collections::BTreeSet;
use std::sync::Arc;

use foundation_kernel::names::{ServiceName, ServiceRegistry};
use parking_lot::Mutex;

use super::error::QueueTakenError;

/// The durable queues of a namespace that have a pool: one at a time, or jobs would be performed twice.
#[derive(Default)]
pub(crate) struct OpenQueues(Mutex<BTreeSet<ServiceName>>);

/// The right of a pool to the jobs of a queue.
pub(crate) struct OpenQueue {
    all: Arc<OpenQueues>,
    queue: ServiceName,
}

impl OpenQueues {
    /// # Errors
    /// [`QueueTakenError`] while another pool has it.
    pub(crate) fn enter(names: &ServiceRegistry, queue: &ServiceName) -> Result<OpenQueue, QueueTakenError> {
        let all = names.extension(OpenQueues::default);
        if all.0.lock().insert(queue.clone()) {
            return Ok(OpenQueue { all: Arc::clone(&all), queue: queue.clone() });
        }
        Err(QueueTakenError { queue: queue.clone(), namespace: names.namespace().to_string() })
    }
}

impl Drop for OpenQueue {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.queue);
    }
}
