//! The lease of an instance outside of this process, as its holder has it.

pub(super) mod cell;
pub(super) mod heartbeat;
pub(super) mod keeper;

use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::waking_contained;
use foundation_kernel::ractor::{ActorCell, ActorRef};
use tokio::runtime::Handle;
use tokio::time::Instant;

use self::cell::LeaseCell;
use super::error::{DiscoveryError, LeaseLostError};
use super::heartbeat::Heartbeat;
use super::state::Shared;
use crate::instance::{Instance, InstanceBuilder, InstanceName, Remote};
use crate::lease::{LeaseEnd, LeaseTerms};

/// The lease of an instance outside of this process: the instance is there as long as the lease is renewed.
///
/// An actor of the namespace has its name meanwhile, the keeper, of about 8 KB. It ends when the time to live has passed
/// without a renewal, and when the lease is dropped; the watches of the instance say which of the two.
///
/// Not renewed for two thirds of its time to live, the lease is suspect, and its instance degraded. If many leases run out at
/// the same time they are [kept](crate::lease::Preservation) for a while, and their instances are unhealthy.
#[must_use = "an instance whose lease is dropped is withdrawn"]
pub struct InstanceLease {
    shared: Arc<Shared>,
    name: InstanceName,
    keeper: ActorRef<Remote>,
    cell: Arc<LeaseCell>,
    runtime: Handle,
}

impl InstanceLease {
    pub(super) fn new(shared: Arc<Shared>, name: InstanceName, keeper: ActorRef<Remote>, cell: Arc<LeaseCell>) -> Self {
        Self { shared, name, keeper, cell, runtime: Handle::current() }
    }

    /// Renews the lease: its time to live begins again. Costs a look at the clock and two atomic writes, and asks no actor.
    /// A [heartbeat](Self::heartbeat) is cheaper, and less exact.
    ///
    /// # Errors
    /// [`LeaseLostError`] if it is too late. That the name was taken away through the registry itself is known after the next
    /// use of discovery in the namespace, or when the lease would have become suspect.
    pub fn renew(&self) -> Result<(), LeaseLostError> {
        if self.cell.renew(Instant::now()) { Ok(()) } else { Err(self.lost()) }
    }

    /// A handle that renews the lease without a look at the clock, for holders that renew it often; see [`Heartbeat`].
    ///
    /// The keeper counts a heartbeat from its next look, which is at most a third of the time to live later. So the lease runs
    /// out between one and four thirds of its time to live after the last one. The handle does not keep the lease.
    pub fn heartbeat(&self) -> Heartbeat {
        Heartbeat::new(&self.name, &self.cell.renewals)
    }

    /// Changes what the instance says of itself: its weight, labels, capabilities, version or endpoint. Its watches see it as
    /// [updated](crate::InstanceChange::Updated). The lease is not renewed by it.
    ///
    /// `change` may run more than once, if two updates race. Returns the instance in force.
    ///
    /// ```
    /// # use foundation_discovery::{DiscoveryError, InstanceLease};
    /// # fn example(lease: InstanceLease) -> Result<(), DiscoveryError> {
    /// let updated = lease.update(|instance| instance.weight(50).label("rack", "7"))?;
    /// assert_eq!(updated.weight(), 50);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DiscoveryError::LeaseLost`]; [`DiscoveryError::Field`] and [`DiscoveryError::OtherName`] as for
    /// [`Discovery::update`](crate::Discovery::update): then nothing is changed.
    pub fn update(&self, change: impl FnMut(InstanceBuilder) -> InstanceBuilder) -> Result<Instance, DiscoveryError> {
        let updated = self.shared.update(&self.name, self.owner(), change);
        // What the registry says of a name that was lost is no news: the lease is lost.
        match updated {
            Err(DiscoveryError::Registry(_)) if self.is_lost() => Err(self.lost().into()),
            updated => updated,
        }
    }

    /// Whether it is lost, as far as is known when discovery is up to date.
    fn is_lost(&self) -> bool {
        self.shared.record(&self.name, self.keeper.get_id()).is_none()
    }

    /// The name of the instance.
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// The owner of the instance: the actor that has its name.
    pub fn owner(&self) -> &ActorCell {
        &self.keeper
    }

    /// Its terms.
    pub fn terms(&self) -> LeaseTerms {
        self.cell.terms
    }

    /// Withdraws the instance, and returns when its name is about to be free.
    pub async fn withdraw(self) {
        // A keeper that has ended already, or is not gone in time, is no concern of the caller.
        let _ = waking_contained(self.keeper.stop_and_wait(Some(LeaseEnd::Withdrawn.to_string()), None)).await;
    }

    pub(super) fn lost(&self) -> LeaseLostError {
        LeaseLostError { name: self.name.clone() }
    }

    pub(super) fn cell(&self) -> &Arc<LeaseCell> {
        &self.cell
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl Drop for InstanceLease {
    fn drop(&mut self) {
        if !self.cell.terms.stays() {
            self.keeper.stop(Some(LeaseEnd::Withdrawn.to_string()));
        }
    }
}

impl fmt::Debug for InstanceLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstanceLease({} for {:?})", self.name, self.cell.terms.ttl())
    }
}
