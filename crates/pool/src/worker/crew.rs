//! The workers of a pool, as children of their supervisor.

use std::fmt;
use std::time::Duration;

use foundation_kernel::containment::drop_contained;
use foundation_kernel::ractor::ActorId;
use foundation_kernel::supervision::{ChildState, DynamicSupervisor};
use futures::future::join_all;
use parking_lot::{Mutex, RwLock};
use tokio::time::timeout;

/// What is added to the time that a worker may take to stop, before it is taken for abandoned.
const GRACE: Duration = Duration::from_secs(1);

/// The supervisor of the workers in its current life. Belongs to the specification of the pool.
pub(crate) struct Crew {
    supervisor: RwLock<Option<DynamicSupervisor>>,
    /// The supervisor of the pool in its current life.
    pool: Mutex<Option<ActorId>>,
    /// How long a worker may take to stop.
    worker_stop: Duration,
}

impl Crew {
    pub(crate) fn new(worker_stop: Duration) -> Self {
        Self { supervisor: RwLock::default(), pool: Mutex::default(), worker_stop }
    }

    /// How long it may take until all workers are gone that do not block their threads.
    pub(crate) fn stop_time(&self) -> Duration {
        self.worker_stop.saturating_add(GRACE)
    }

    /// Workers start below this supervisor of the pool: whether they are the first ones that do.
    pub(crate) fn begin_below(&self, pool: ActorId) -> bool {
        self.pool.lock().replace(pool) != Some(pool)
    }

    /// Whether any workers have ever been started.
    pub(crate) fn has_begun(&self) -> bool {
        self.pool.lock().is_some()
    }

    /// Notes a supervisor that has started.
    pub(crate) fn supervised_by(&self, supervisor: DynamicSupervisor) {
        let before = self.supervisor.write().replace(supervisor);
        // Not under the lock: the last reference to a supervisor drops its unread requests.
        drop_contained("a former supervisor of workers", before);
    }

    /// The supervisor of the workers, if it runs.
    pub(crate) fn supervisor(&self) -> Option<DynamicSupervisor> {
        let supervisor = self.supervisor.read().clone()?;
        supervisor.is_running().then_some(supervisor)
    }

    /// Asks all workers to end, each by its rule; returns when they are gone, but for those that block their threads.
    pub(crate) async fn stop(&self) {
        self.stop_within(self.stop_time()).await;
    }

    /// The same, and returns at the latest after so long.
    pub(crate) async fn stop_within(&self, limit: Duration) {
        let Some(supervisor) = self.supervisor() else { return };
        let stopping = async {
            let children = supervisor.which_children().await.unwrap_or_default();
            let actors = children.into_iter().filter_map(|child| match child.state {
                ChildState::Running(actor) => Some(actor),
                _ => None,
            });
            join_all(actors.map(|actor| supervisor.terminate_child(actor))).await;
        };
        let _ = timeout(limit, stopping).await;
    }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("runs", &self.supervisor().is_some()).finish()
    }
}
