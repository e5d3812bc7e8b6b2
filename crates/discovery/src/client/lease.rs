//! Leases of instances outside of this process.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foundation_kernel::containment::waking_contained;
use foundation_kernel::names::{ServiceKey, ServiceRegistry};
use foundation_kernel::ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::alarm::wait_until;
use super::remote::Remote;
use crate::instance::InstanceName;

/// The shortest time to live of a lease.
const MIN_TTL: Duration = Duration::from_millis(100);
/// The longest, a day.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The lease of an instance outside of this process: the instance is there as long as the lease is renewed.
///
/// An actor of the namespace has its name meanwhile, the keeper, of about 8 KB. It ends when the time to live has passed
/// without a renewal, and when the lease is dropped; the watches of the instance say which of the two.
#[must_use = "an instance whose lease is dropped is withdrawn"]
pub struct InstanceLease {
    name: InstanceName,
    names: ServiceRegistry,
    keeper: ActorRef<Remote>,
    term: Arc<Term>,
}

/// The keeper of an instance does not have its name any more: the lease ran out, the name was taken away, or the namespace
/// has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lease of {name} is lost: its keeper has ended or lost the name; announce the instance again")]
#[non_exhaustive]
pub struct LeaseLostError {
    /// The instance.
    pub name: InstanceName,
}

impl InstanceLease {
    pub(super) fn new(name: InstanceName, names: ServiceRegistry, keeper: ActorRef<Remote>, term: Arc<Term>) -> Self {
        Self { name, names, keeper, term }
    }

    /// Renews the lease: its time to live begins again. Costs a lookup of the name and one store, and asks no actor.
    ///
    /// # Errors
    /// [`LeaseLostError`] if it is too late.
    pub fn renew(&self) -> Result<(), LeaseLostError> {
        let key = ServiceKey::<Remote>::from(self.name.registered().clone());
        if self.names.with(&key, |holder| holder.get_id()).ok() != Some(self.keeper.get_id()) {
            return Err(LeaseLostError { name: self.name.clone() });
        }
        self.term.renew(Instant::now());
        Ok(())
    }

    /// The name of the instance.
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// The owner of the instance, with which it is [updated](crate::Discovery::update).
    pub fn owner(&self) -> &ActorCell {
        &self.keeper
    }

    /// Withdraws the instance, and returns when its name is about to be free.
    pub async fn withdraw(self) {
        // A keeper that has ended already, or is not gone in time, is no concern of the caller.
        let _ = waking_contained(self.keeper.stop_and_wait(Some(WITHDRAWN.to_owned()), None)).await;
    }
}

/// The reason of a keeper whose lease is dropped.
const WITHDRAWN: &str = "its lease was given back";

impl Drop for InstanceLease {
    fn drop(&mut self) {
        self.keeper.stop(Some(WITHDRAWN.to_owned()));
    }
}

impl fmt::Debug for InstanceLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstanceLease({} for {:?})", self.name, self.term.ttl)
    }
}

/// How long a lease is valid: shared by its holder, who renews it, and its keeper.
#[derive(Debug)]
pub(super) struct Term {
    began: Instant,
    ttl: Duration,
    /// In milliseconds since it began.
    renewed: AtomicU64,
}

impl Term {
    pub(super) fn new(ttl: Duration, now: Instant) -> Self {
        Self { began: now, ttl: ttl.clamp(MIN_TTL, MAX_TTL), renewed: AtomicU64::new(0) }
    }

    fn renew(&self, now: Instant) {
        let millis = now.saturating_duration_since(self.began).as_millis();
        // Of two renewals at the same time the later counts.
        self.renewed.fetch_max(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When it runs out, unless it is renewed before.
    fn ends_at(&self) -> Instant {
        let renewed = Duration::from_millis(self.renewed.load(Ordering::Relaxed));
        self.began.checked_add(renewed).unwrap_or(self.began) + self.ttl
    }

    /// Returns when it has run out. A renewal does not wake it: the term is looked at when it would have ended.
    async fn run_out(&self) {
        while Instant::now() < self.ends_at() {
            wait_until(self.ends_at()).await;
        }
    }
}

/// Has the name of an instance until its lease has run out.
pub(super) struct Keeper(pub(super) Arc<Term>);

#[cfg_attr(feature = "async-trait", foundation_kernel::ractor::async_trait)]
impl Actor for Keeper {
    type Msg = Remote;
    type State = Expiry;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Remote>, (): ()) -> Result<Expiry, ActorProcessingErr> {
        let term = Arc::clone(&self.0);
        Ok(Expiry(tokio::spawn(async move {
            term.run_out().await;
            myself.stop(Some(format!("its lease ran out, which was not renewed for {:?}", term.ttl)));
        })))
    }
}

/// The task that ends a keeper; it ends with this value.
pub(super) struct Expiry(JoinHandle<()>);

impl Drop for Expiry {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_lease_ends_one_time_to_live_after_its_latest_renewal(
            ttl in 0..100_000_000_u64, renewals in vec(0..1_000_000_u64, 0..10),
        ) {
            let began = Instant::now();
            let term = Term::new(Duration::from_millis(ttl), began);
            renewals.iter().for_each(|at| term.renew(began + Duration::from_millis(*at)));
            let latest = Duration::from_millis(renewals.iter().copied().max().unwrap_or(0));
            let ttl = Duration::from_millis(ttl).clamp(MIN_TTL, MAX_TTL);
            prop_assert_eq!(term.ends_at(), began + latest + ttl);
        }
    }
}
