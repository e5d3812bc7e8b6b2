//! Waiting until a name is taken, and until it is free.

use std::future::pending;
use std::time::Duration;

use futures::future::{Either, select};
use ractor::{ActorRef, Message};
use tokio::time::timeout;

use super::error::RegistryError;
use super::holder::{Origin, Standing};
use super::service_registry::ServiceRegistry;
use super::table::LookupError;
use super::via::explain;
use crate::containment::waking_contained;
use crate::namespace::{ServiceKey, ServiceName};

impl ServiceRegistry {
    /// Waits until a live actor has this name; [5 s](crate::RegistryLimits::wait) if no limit is given. Woken by the
    /// registration itself.
    ///
    /// # Errors
    /// [`RegistryError::WaitTimedOut`] names the near misses; [`RegistryError::WrongType`];
    /// [`RegistryError::NotRunning`] when the namespace ends, since no actor can register there any more.
    pub async fn wait_for_service<M: Message>(
        &self,
        key: &ServiceKey<M>,
        limit: impl Into<Option<Duration>>,
    ) -> Result<ActorRef<M>, RegistryError> {
        let limit = limit.into().unwrap_or(self.state().limits.wait);
        match waking_contained(timeout(limit, self.while_open(self.appearance(key)))).await {
            Ok(found) => found?,
            Err(_) => Err(RegistryError::wait_timed_out(&self.state().table, key.name(), limit)),
        }
    }

    async fn appearance<M: Message>(&self, key: &ServiceKey<M>) -> Result<ActorRef<M>, RegistryError> {
        let table = &self.state().table;
        let listening = table.waiters().listen(key.name());
        loop {
            // Subscribe before checking: a registration between the two is noticed.
            let change = listening.change();
            match table.with::<M, _>(key.name().as_str(), |actor| actor.clone().into()) {
                Err(LookupError::Absent) => change.await,
                Ok(actor) => return Ok(actor),
                Err(miss) => return Err(explain(table, key, miss)),
            }
        }
    }

    /// Waits until this name is free, so that it can be taken over; [5 s](crate::RegistryLimits::wait) if no limit is
    /// given. Woken by the end of the holder itself. Another actor may have taken the name before the caller claims it.
    ///
    /// # Errors
    /// [`RegistryError::StillHeld`] names the holder; [`RegistryError::NotRunning`] when the namespace ends.
    pub async fn wait_until_free<M>(
        &self,
        key: &ServiceKey<M>,
        limit: impl Into<Option<Duration>>,
    ) -> Result<(), RegistryError> {
        let waited = limit.into().unwrap_or(self.state().limits.wait);
        match waking_contained(timeout(waited, self.while_open(self.parting(key.name())))).await {
            Ok(free) => free,
            Err(_) => {
                let holder = self.state().table.holder(key.name().as_str()).and_then(|holder| holder.actor_id());
                Err(RegistryError::StillHeld { namespace: self.namespace(), name: key.name().clone(), holder, waited })
            }
        }
    }

    /// Returns when this name may be claimed: never, once the namespace takes no names.
    pub(super) async fn claimable(self, name: ServiceName) {
        self.parting(&name).await;
        if self.state().table.is_closed() {
            pending().await
        }
    }

    /// Returns when this name is free.
    async fn parting(&self, name: &ServiceName) {
        let table = &self.state().table;
        let listening = table.waiters().listen(name);
        loop {
            // Subscribe before checking: a release between the two is noticed.
            let change = listening.change();
            let Some(holder) = table.holder(name.as_str()) else { return };
            match holder.actor() {
                _ if holder.standing() == Standing::Gone => return,
                // The end of a foreign actor that never started may not be reported: wait for the actor itself.
                Some(actor) if holder.origin() == Origin::Foreign => {
                    let end = std::pin::pin!(waking_contained(actor.wait(None)));
                    let _: Either<_, _> = select(end, std::pin::pin!(change)).await;
                }
                _ => change.await,
            }
        }
    }
}
