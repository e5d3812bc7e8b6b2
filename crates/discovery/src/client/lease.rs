//! The lease of an instance outside of this process, as its holder has it.
//!
//! # Invariants
//!
//! 1. A lease that is lost is never renewed: a renewal that succeeds came before the loss, and counts.
//! 2. A renewal is seen by the keeper at the latest when the lease would have run out.

pub(super) mod heartbeat;
pub(super) mod keeper;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use foundation_kernel::containment::waking_contained;
use foundation_kernel::ractor::{ActorCell, ActorRef};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::instance::{InstanceName, Remote};
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
    name: InstanceName,
    keeper: ActorRef<Remote>,
    cell: Arc<LeaseCell>,
    runtime: Handle,
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
    pub(super) fn new(name: InstanceName, keeper: ActorRef<Remote>, cell: Arc<LeaseCell>) -> Self {
        Self { name, keeper, cell, runtime: Handle::current() }
    }

    /// Renews the lease: its time to live begins again. Costs a look at the clock and two atomic writes, and asks no actor.
    ///
    /// # Errors
    /// [`LeaseLostError`] if it is too late. That the name was taken away through the registry itself is known after the next
    /// use of discovery in the namespace, or when the lease would have become suspect.
    pub fn renew(&self) -> Result<(), LeaseLostError> {
        if self.cell.renew(Instant::now()) { Ok(()) } else { Err(self.lost()) }
    }

    /// The name of the instance.
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// The owner of the instance, with which it is [updated](crate::Discovery::update).
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

/// What the holder of a lease and its keeper share.
#[derive(Debug)]
pub(super) struct LeaseCell {
    pub(super) terms: LeaseTerms,
    began: Instant,
    /// The last renewal, in nanoseconds since it began, or [`LOST`].
    renewed: AtomicU64,
    /// The longest time between two of its latest renewals, in nanoseconds; 0 before the first.
    interval: AtomicU64,
    /// Whether the keeper waits for a renewal: the lease is suspect or kept.
    awaited: AtomicBool,
    /// A renewal that was waited for, or the loss: the keeper looks again.
    changed: Notify,
    loss: Notify,
}

/// The value of a lease that is lost: later than each renewal, so none replaces it.
const LOST: u64 = u64::MAX;

/// When a lease was renewed, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Renewal(u64);

impl LeaseCell {
    pub(super) fn new(terms: LeaseTerms, now: Instant) -> Self {
        let (renewed, awaited) = (AtomicU64::new(0), AtomicBool::new(false));
        let interval = AtomicU64::new(0);
        Self { terms, began: now, renewed, interval, awaited, changed: Notify::new(), loss: Notify::new() }
    }

    /// False if the lease is lost.
    pub(super) fn renew(&self, now: Instant) -> bool {
        let nanos = u64::try_from(now.saturating_duration_since(self.began).as_nanos()).unwrap_or(LOST);
        // In one order with the look of a keeper that begins to wait for a renewal, so one of the two sees the other. Of two
        // renewals at the same time the later counts, and a lease that is lost stays it.
        let before = self.renewed.fetch_max(nanos.min(LOST - 1), Ordering::SeqCst);
        if before == LOST {
            return false;
        }
        self.note_interval(nanos.saturating_sub(before));
        if self.awaited.load(Ordering::SeqCst) && self.awaited.swap(false, Ordering::SeqCst) {
            self.changed.notify_one();
        }
        true
    }

    /// Keeps the longest interval; a longer one of the past is forgotten slowly. Of two renewals at the same time one may not
    /// be noted.
    fn note_interval(&self, interval: u64) {
        let before = self.interval.load(Ordering::Relaxed);
        self.interval.store(interval.max(before - before / 16), Ordering::Relaxed);
    }

    /// Whether a lease that was last renewed then is not renewed as often as it was before. One that was never renewed may
    /// take its whole time to live.
    pub(super) fn is_late(&self, last: Renewal, now: Instant) -> bool {
        let interval = Some(self.interval.load(Ordering::Relaxed)).filter(|interval| *interval > 0);
        // An eighth more for timers that are late.
        let usual = interval.map(|interval| Duration::from_nanos(interval.saturating_add(interval / 8)));
        now.saturating_duration_since(self.time_of(last)) >= usual.unwrap_or(self.terms.ttl()).min(self.terms.ttl())
    }

    /// The last renewal; `None` if the lease is lost.
    pub(super) fn renewal(&self) -> Option<Renewal> {
        Some(Renewal(self.renewed.load(Ordering::SeqCst))).filter(|renewal| renewal.0 != LOST)
    }

    pub(super) fn time_of(&self, renewal: Renewal) -> Instant {
        self.began.checked_add(Duration::from_nanos(renewal.0)).unwrap_or(self.began)
    }

    /// Ends the lease unless it was renewed after this; true if it is ended, and its loss has to be
    /// [notified](Self::notify_loss).
    pub(super) fn expire(&self, last: Renewal) -> bool {
        self.renewed.compare_exchange(last.0, LOST, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Wakes the waiters for the loss: not under a lock.
    pub(super) fn notify_loss(&self) {
        self.loss.notify_waiters();
    }

    /// Ends the lease. Wakes the waiters for it: not under a lock.
    pub(super) fn lose(&self) {
        if self.renewed.swap(LOST, Ordering::SeqCst) != LOST {
            self.changed.notify_one();
            self.notify_loss();
        }
    }

    /// Has the next renewal notify [`changed`](Self::changed). False if there was one after this, or the lease is lost.
    pub(super) fn await_renewal(&self, last: Renewal) -> bool {
        self.awaited.store(true, Ordering::SeqCst);
        self.renewal() == Some(last)
    }

    /// Returns after a renewal that was waited for, and after the loss.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Returns when the lease is lost.
    pub(super) async fn lost(&self) {
        let mut lost = std::pin::pin!(self.loss.notified());
        // Subscribe before looking: a loss between the two is noticed.
        lost.as_mut().enable();
        if self.renewal().is_some() {
            lost.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_latest_renewal_counts_until_the_lease_is_lost(renewals in vec(0..u64::MAX, 0..10), later: u64) {
            let began = Instant::now();
            let at = |nanos| began.checked_add(Duration::from_nanos(nanos)).unwrap_or(began);
            let cell = LeaseCell::new(Duration::from_secs(1).into(), began);
            for nanos in &renewals {
                prop_assert!(cell.renew(at(*nanos)));
            }
            let latest = renewals.iter().copied().max().unwrap_or(0);
            let renewal = cell.renewal().unwrap();
            prop_assert_eq!(cell.time_of(renewal), at(latest));

            prop_assert!(cell.expire(renewal));
            prop_assert!(!cell.renew(at(later)) && cell.renewal().is_none() && !cell.expire(renewal));
        }

        #[test]
        fn a_lease_is_late_when_it_is_silent_for_longer_than_between_its_renewals(
            gaps in vec(1..1_000_u64, 1..20), silent in 0..2_000_u64,
        ) {
            let (began, millis) = (Instant::now(), Duration::from_millis);
            let cell = LeaseCell::new(millis(1_000).into(), began);
            let mut at = began;
            for gap in &gaps {
                at += millis(*gap);
                prop_assert!(cell.renew(at));
            }
            let (last, longest) = (cell.renewal().unwrap(), *gaps.iter().max().unwrap());
            let is_late = cell.is_late(last, at + millis(silent));
            prop_assert!(!is_late || silent > *gaps.last().unwrap());
            prop_assert!(is_late || silent <= longest + longest / 8 + 1);
            prop_assert!(is_late || silent < 1_000);
        }

        #[test]
        fn a_lease_that_was_renewed_meanwhile_does_not_expire(first in 0..u64::MAX / 2, more in 1..u64::MAX / 2) {
            let began = Instant::now();
            let cell = LeaseCell::new(Duration::from_secs(1).into(), began);
            cell.renew(began + Duration::from_nanos(first));
            let seen = cell.renewal().unwrap();
            cell.renew(began + Duration::from_nanos(first + more));
            prop_assert!(!cell.expire(seen) && !cell.await_renewal(seen) && cell.renewal().is_some());
        }
    }
}
