//! A task that renews a lease.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::waking_contained;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::InstanceLease;
use super::cell::LeaseCell;
use crate::client::alarm::wait_until;
use crate::client::error::LeaseLostError;

/// A lease with the task that renews it, each third of its time to live; see
/// [`InstanceLease::heartbeats`].
///
/// The task ends when the lease is lost, at the latest with the namespace, and when this is dropped. The lease is dropped
/// then, too: its instance is withdrawn, unless the lease [outlives its
/// holder](crate::lease::LeaseTerms::outlives_holder).
///
/// ```
/// # use foundation_discovery::{Discovery, Instance};
/// # use std::time::Duration;
/// # async fn example(discovery: Discovery) -> Result<(), Box<dyn std::error::Error>> {
/// let instance = Instance::builder("orders", "remote-1").endpoint("grpc://10.0.0.7:8080").build()?;
/// let heartbeats = discovery.announce(&instance, Duration::from_secs(10)).await?.heartbeats();
/// // As long as the task is there, the instance is.
/// tokio::select! {
///     lost = heartbeats.lost() => return Err(lost.into()),
///     // What this process does meanwhile.
///     () = std::future::ready(()) => heartbeats.withdraw().await,
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "an instance whose heartbeats are dropped is withdrawn"]
pub struct HeartbeatTask {
    task: JoinHandle<()>,
    lease: Option<InstanceLease>,
    cell: Arc<LeaseCell>,
    lost: LeaseLostError,
}

impl InstanceLease {
    /// Renews the lease by a task, each third of its time to live, until it is lost or the task is dropped.
    pub fn heartbeats(self) -> HeartbeatTask {
        let (cell, lost) = (Arc::clone(self.cell()), self.lost());
        let task = self.runtime().spawn(renew(Arc::clone(&cell)));
        HeartbeatTask { task, lease: Some(self), cell, lost }
    }
}

impl HeartbeatTask {
    /// The lease that is renewed. `None` while the instance is being withdrawn.
    pub fn lease(&self) -> Option<&InstanceLease> {
        self.lease.as_ref()
    }

    /// Returns when the lease is lost. This method is cancel safe.
    pub async fn lost(&self) -> LeaseLostError {
        waking_contained(self.cell.lost()).await;
        self.lost.clone()
    }

    /// Withdraws the instance, and returns when its name is about to be free.
    pub async fn withdraw(mut self) {
        self.task.abort();
        if let Some(lease) = self.lease.take() {
            lease.withdraw().await;
        }
    }
}

async fn renew(cell: Arc<LeaseCell>) {
    while cell.renew(Instant::now()) {
        tokio::select! {
            () = wait_until(Instant::now() + cell.terms.renewal_interval()) => {}
            () = cell.lost() => return,
        }
    }
}

impl Drop for HeartbeatTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for HeartbeatTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeartbeatTask").field("lease", &self.lease).finish_non_exhaustive()
    }
}
