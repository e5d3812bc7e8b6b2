//! When the next health changes without a result.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Until then no health changes without a result: written under the lock of the state, and read without one.
pub(super) struct NextExpiry {
    began: Instant,
    /// In nanoseconds since it began.
    at: AtomicU64,
}

impl NextExpiry {
    const NONE: u64 = u64::MAX;

    pub(super) fn new(began: Instant) -> Self {
        Self { began, at: AtomicU64::new(Self::NONE) }
    }

    pub(super) fn set(&self, expiry: Option<Instant>) {
        let nanos = expiry.map(|at| at.saturating_duration_since(self.began).as_nanos());
        // Who has been notified of a result in any way sees at least its expiry.
        self.at.store(nanos.map_or(Self::NONE, |nanos| nanos as u64), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Option<Instant> {
        let nanos = Some(self.at.load(Ordering::Relaxed)).filter(|nanos| *nanos != Self::NONE);
        nanos.map(|nanos| self.began + Duration::from_nanos(nanos))
    }
}
