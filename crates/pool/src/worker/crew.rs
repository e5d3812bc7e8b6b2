//! The workers of a pool, as children of their supervisor.

use std::fmt;
use std::time::Duration;

use foundation_kernel::containment::drop_contained;
use foundation_kernel::supervision::DynamicSupervisor;
use futures::future::join_all;
use parking_lot::RwLock;
use tokio::time::timeout;

/// The supervisor of the workers in its current life. Belongs to the specification of the pool.
#[derive(Default)]
pub(crate) struct Crew {
    supervisor: RwLock<Option<DynamicSupervisor>>,
}

impl Crew {
    /// Notes a supervisor that has started.
    pub(crate) fn supervised_by(&self, supervisor: DynamicSupervisor) {
        let before = self.supervisor.write().replace(supervisor);
        // Not under the lock: the last reference to a supervisor drops its unread requests.
        drop_contained("a former supervisor of workers", before);
    }

    /// The supervisor of the workers, if it runs.
    pub(crate) fn supervisor(&self) -> Option<DynamicSupervisor> {
        let supervisor = self.supervisor.read().clone()?;
        supervisor.actor().is_ok().then_some(supervisor)
    }

    /// Asks all workers to end, each by its rule; returns when they are gone, or after this time.
    pub(crate) async fn stop(&self, within: Duration) {
        let Some(supervisor) = self.supervisor() else { return };
        let stopping = async {
            let children = supervisor.which_children().await.unwrap_or_default();
            let actors = children.into_iter().filter_map(|child| match child.state {
                foundation_kernel::supervision::ChildState::Running(actor) => Some(actor),
                _ => None,
            });
            join_all(actors.map(|actor| supervisor.terminate_child(actor))).await;
        };
        let _ = timeout(within, stopping).await;
    }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("runs", &self.supervisor().is_some()).finish()
    }
}
