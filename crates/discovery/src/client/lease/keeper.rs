//! Keepers: each has the name of an instance outside of this process, until its lease ends.

use std::mem::discriminant;
use std::pin::pin;
use std::sync::Arc;

use foundation_kernel::ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::cell::LeaseCell;
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
        let renewals = Arc::clone(&self.cell.renewals);
        loop {
            let mut changed = pin!(renewals.changed());
            // Subscribe before looking: a change between the two is noticed.
            changed.as_mut().enable();
            match self.look() {
                Look::Ended(end) => return end,
                Look::Again => {}
                Look::Until(next) => {
                    tokio::select! {
                        () = wait_until(next) => {}
                        () = changed => {}
                    }
                }
            }
        }
    }

    fn look(&mut self) -> Look {
        let now = Instant::now();
        // Notes that the name was taken away, if it was.
        self.shared.refresh(now);
        self.cell.take_in(now);
        let Some(last) = self.cell.renewal() else { return Look::Ended(LeaseEnd::NameLost) };
        match self.shared.leases.look(&self.key, &self.cell, last, now, &self.shared.notices) {
            KeeperLook::Ended(end) => Look::Ended(end),
            KeeperLook::Renewed => Look::Again,
            KeeperLook::Until { state, next } => {
                self.show(state);
                if state != LeaseState::Fresh && !self.cell.renewals.await_next(last) {
                    return Look::Again;
                }
                let within = self.cell.renewals.look_within(self.cell.terms.ttl());
                Look::Until(within.map_or(next, |within| next.min(now + within)))
            }
        }
    }

    /// Shows the status of the instance if the lease is in another state. Before its registration the instance cannot be shown:
    /// the holder has the keeper look again afterwards.
    fn show(&mut self, state: LeaseState) {
        if discriminant(&state) == discriminant(&self.shown) {
            return;
        }
        if self.shared.mark(&self.key.0, self.key.1, |mark| mark.set_lease(state)).is_some() {
            self.shown = state;
        }
    }
}

/// What a keeper does next.
enum Look {
    /// It ends.
    Ended(LeaseEnd),
    /// It looks again at once.
    Again,
    /// It looks again at this time, or when it is woken.
    Until(Instant),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foundation_kernel::names::{Namespace, ProcessRegistry, ServiceKey};

    use super::*;
    use crate::client::options::DiscoveryOptions;
    use crate::health::InstanceStatus;
    use crate::instance::Instance;
    use crate::lease::LeaseTerms;

    #[tokio::test(start_paused = true)]
    async fn what_a_keeper_found_before_its_instance_was_registered_is_shown_afterwards() {
        let registry = ProcessRegistry::start().await.unwrap();
        let names = registry.namespace(Namespace::test()).await.unwrap();
        let shared = Arc::new(Shared::new(names.clone(), DiscoveryOptions::new()));
        let instance = Instance::builder("orders", "a").endpoint("http://10.0.0.7:80").build().unwrap();
        let terms = LeaseTerms::new(Duration::from_secs(10)).suspect_after(Duration::ZERO);
        let (name, cell) = (instance.name().clone(), Arc::new(LeaseCell::new(terms, Instant::now())));
        let keeper = Keeper { shared: Arc::clone(&shared), name: name.clone(), cell: Arc::clone(&cell) };
        let (keeper, task) = Actor::spawn(None, keeper, ()).await.unwrap();
        // It looks, and cannot show that the lease is suspect.
        tokio::task::yield_now().await;
        let key = ServiceKey::<Remote>::from(name.registered().clone());
        names.with_metadata(instance.to_metadata().unwrap()).register(&key, &keeper).await.unwrap();
        cell.renewals.wake();
        tokio::task::yield_now().await;
        let status = shared.record(&name, keeper.get_id()).map(|record| record.status());
        assert_eq!(status, Some(InstanceStatus::Degraded));
        keeper.stop(None);
        task.await.unwrap();
        registry.shutdown().await;
    }
}
