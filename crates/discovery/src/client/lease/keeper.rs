//! Keepers: each has the name of an instance outside of this process, until its lease ends.

use std::mem::discriminant;
use std::sync::Arc;

use foundation_kernel::ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::LeaseCell;
use crate::client::alarm::wait_until;
use crate::client::leases::{KeeperLook, LeaseKey};
use crate::client::state::Shared;
use crate::instance::{InstanceName, Remote};
use crate::lease::{LeaseEnd, LeaseState};

/// Has the name of an instance until its lease ends.
pub(in crate::client) struct Keeper {
    pub(in crate::client) shared: Arc<Shared>,
    pub(in crate::client) name: InstanceName,
    pub(in crate::client) cell: Arc<LeaseCell>,
}

#[cfg_attr(feature = "async-trait", foundation_kernel::ractor::async_trait)]
impl Actor for Keeper {
    type Msg = Remote;
    type State = Keeping;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Remote>, (): ()) -> Result<Keeping, ActorProcessingErr> {
        let (shared, key, cell) =
            (Arc::clone(&self.shared), (self.name.clone(), myself.get_id()), Arc::clone(&self.cell));
        shared.leases.add(key.clone(), Arc::clone(&cell));
        let looks = Looks { shared: Arc::clone(&shared), key: key.clone(), cell, shown: LeaseState::Fresh };
        let task = tokio::spawn(async move {
            let mut keeper = StopOnDrop { keeper: myself, reason: None };
            keeper.reason = Some(looks.until_the_end().await.to_string());
        });
        Ok(Keeping { shared, key, task })
    }
}

/// The state of a keeper: with it the lease ends.
pub(in crate::client) struct Keeping {
    shared: Arc<Shared>,
    key: LeaseKey,
    task: JoinHandle<()>,
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.end_lease(&self.key);
    }
}

/// Stops the keeper when the task that looks at its lease ends, in whichever way: without that task the lease would stay.
struct StopOnDrop {
    keeper: ActorRef<Remote>,
    reason: Option<String>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.keeper.stop(self.reason.take().or_else(|| Some("its lease is not looked at any more".to_owned())));
    }
}

/// Looks at a lease whenever it may be another one.
struct Looks {
    shared: Arc<Shared>,
    key: LeaseKey,
    cell: Arc<LeaseCell>,
    shown: LeaseState,
}

impl Looks {
    async fn until_the_end(mut self) -> LeaseEnd {
        loop {
            let now = Instant::now();
            // Notes that the name was taken away, if it was.
            self.shared.refresh(now);
            let Some(last) = self.cell.renewal() else { return LeaseEnd::NameLost };
            let look = self.shared.leases.look(&self.key, &self.cell, last, now, &self.shared.notices);
            if let LeaseState::Expired { silent_for } = look.state {
                match self.cell.renewal() {
                    None => return LeaseEnd::Expired(silent_for),
                    // It was renewed meanwhile.
                    Some(_) => continue,
                }
            }
            self.show(&look);
            if look.state != LeaseState::Fresh && !self.cell.await_renewal(last) {
                continue;
            }
            tokio::select! {
                () = wait_until(look.next) => {}
                () = self.cell.changed() => {}
            }
        }
    }

    /// Shows the status of the instance if the lease is in another state.
    fn show(&mut self, look: &KeeperLook) {
        if discriminant(&look.state) != discriminant(&self.shown) {
            self.shown = look.state;
            self.shared.mark(&self.key.0, self.key.1, |mark| mark.set_lease(look.state));
        }
    }
}
