//! The stop signal of a task that ends in order.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::containment::waking_contained;

/// The notification that a task is asked to stop, for a task that ends in order.
///
/// A future that holds one is not dropped when it is asked to stop, even before its first poll. It has the time of its
/// [`Shutdown`](crate::Shutdown) to end; then it is killed. A future that holds none, such as a closure that ignores
/// its argument, is dropped at its next await point, or before it begins. That is the difference between an Erlang
/// process that traps exits and one that does not. Cost: a clone is two atomic increments.
#[derive(Debug, Clone)]
pub struct TaskStop {
    asked: CancellationToken,
    _held: Option<Arc<()>>,
}

impl TaskStop {
    pub(super) fn new(asked: CancellationToken, held: Option<Arc<()>>) -> Self {
        Self { asked, _held: held }
    }

    /// Returns when the task is asked to stop: at once if it has been.
    pub async fn requested(&self) {
        waking_contained(self.asked.cancelled()).await;
    }

    /// Whether the task has been asked to stop.
    pub fn is_requested(&self) -> bool {
        self.asked.is_cancelled()
    }
}
