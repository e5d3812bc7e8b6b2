//! Direct spawning: children of a supervisor are started on the caller's side, past its mailbox.

use std::sync::{Arc, Weak};

use ractor::{Actor, ActorCell, ActorRef, SpawnErr};
use tokio_util::task::TaskTracker;

use super::group::Ticket;
use super::managed::Managed;
use super::metering::Metering;

/// A supervisor's cell with the means to give its children tickets, for as long as it is there.
#[derive(Clone)]
pub(crate) struct DirectSpawner {
    supervisor: ActorCell,
    members: TaskTracker,
    // Weak: a strong one would itself be a member, and the group would never be empty.
    around: Weak<Ticket>,
}

impl DirectSpawner {
    pub(super) fn new(supervisor: ActorCell, (members, around): (TaskTracker, Weak<Ticket>)) -> Self {
        Self { supervisor, members, around }
    }

    /// Spawns a temporary child that holds `lease` until it is gone, and is measured by `meter`.
    pub(crate) async fn spawn<A, L, M>(
        &self,
        actor: A,
        args: A::Arguments,
        lease: L,
        meter: M,
    ) -> Result<ActorRef<A::Msg>, SpawnErr>
    where
        A: Actor,
        L: Send + Sync + 'static,
        M: Metering,
    {
        let gone = || SpawnErr::StartupFailed("the supervisor has stopped".into());
        let around: Arc<Ticket> = self.around.upgrade().ok_or_else(gone)?;
        let managed = Managed::new(actor, lease, meter, Ticket::regain(&self.members, around));
        let (actor, _task) = Actor::spawn_linked(None, managed, args, self.supervisor.clone()).await?;
        Ok(actor)
    }
}
