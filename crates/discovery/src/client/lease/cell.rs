//! What the holder of a lease and its keeper share.
//!
//! # Invariants
//!
//! 1. A lease that is lost is never renewed: a renewal that succeeds came before the loss, and counts.
//! 2. A renewal is seen by the keeper at the latest when the lease would have run out.
//! 3. A heartbeat has no time: the keeper counts it from its next look, which is at most a third of the time to live later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::lease::LeaseTerms;
use crate::pulse::{Pulse, Sign};

/// What the holder of a lease and its keeper share.
#[derive(Debug)]
pub(in crate::client) struct LeaseCell {
    pub(in crate::client) terms: LeaseTerms,
    /// The renewals: they end with the lease. The keeper and the waiters for the loss are woken by it.
    pub(in crate::client) renewals: Arc<Pulse>,
    /// The longest time between two of its latest renewals, in nanoseconds; 0 before the first.
    interval: AtomicU64,
}

impl LeaseCell {
    pub(in crate::client) fn new(terms: LeaseTerms, now: Instant) -> Self {
        Self { terms, renewals: Arc::new(Pulse::new(now)), interval: AtomicU64::new(0) }
    }

    /// False if the lease is lost.
    pub(in crate::client) fn renew(&self, now: Instant) -> bool {
        let interval = self.renewals.note(now);
        interval.inspect(|interval| self.note_interval(*interval)).is_some()
    }

    /// Takes in a heartbeat, if there was one since the last look: the lease is renewed now.
    pub(in crate::client) fn take_in(&self, now: Instant) {
        self.renewals.take_in(now).into_iter().for_each(|interval| self.note_interval(interval));
    }

    /// Keeps the longest interval; a longer one of the past is forgotten slowly. Of two renewals at the same time one may not
    /// be noted.
    fn note_interval(&self, interval: Duration) {
        let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let before = self.interval.load(Ordering::Relaxed);
        self.interval.store(interval.max(before - before / 16), Ordering::Relaxed);
    }

    /// Whether a lease that was last renewed then is not renewed as often as it was before. One that was never renewed may
    /// take its whole time to live.
    pub(in crate::client) fn is_late(&self, last: Sign, now: Instant) -> bool {
        let interval = Some(self.interval.load(Ordering::Relaxed)).filter(|interval| *interval > 0);
        // An eighth more for timers that are late.
        let usual = interval.map(|interval| Duration::from_nanos(interval.saturating_add(interval / 8)));
        now.saturating_duration_since(self.time_of(last)) >= usual.unwrap_or(self.terms.ttl()).min(self.terms.ttl())
    }

    /// The last renewal; `None` if the lease is lost.
    pub(in crate::client) fn renewal(&self) -> Option<Sign> {
        self.renewals.last()
    }

    /// The time of a renewal, and of the beginning if there was none.
    pub(in crate::client) fn time_of(&self, renewal: Sign) -> Instant {
        self.renewals.time_of(renewal).unwrap_or(self.renewals.began())
    }

    /// Ends the lease. Wakes the waiters for it: not under a lock.
    pub(in crate::client) fn lose(&self) {
        if self.renewals.end() {
            self.renewals.wake();
        }
    }

    /// Returns when the lease is lost.
    pub(in crate::client) async fn lost(&self) {
        self.renewals.ended().await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_latest_renewal_counts_until_the_lease_is_lost(renewals in vec(0..u64::MAX / 8, 0..10), later: u64) {
            let began = Instant::now();
            let at = |nanos| began.checked_add(Duration::from_nanos(nanos)).unwrap_or(began);
            let cell = LeaseCell::new(Duration::from_secs(1).into(), began);
            for nanos in &renewals {
                prop_assert!(cell.renew(at(*nanos)));
            }
            let latest = renewals.iter().copied().max().unwrap_or(0);
            let renewal = cell.renewal().unwrap();
            prop_assert_eq!(cell.time_of(renewal), at(latest));

            prop_assert!(cell.renewals.end_after(renewal));
            prop_assert!(!cell.renew(at(later)) && cell.renewal().is_none() && !cell.renewals.end_after(renewal));
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
    }
}
