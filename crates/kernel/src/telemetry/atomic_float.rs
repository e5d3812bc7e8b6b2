//! A floating-point number that threads may change together.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// An `f64`, kept as its bits, for lack of an atomic one in the standard library.
///
/// Everything is relaxed: the number stands for itself and publishes nothing else.
#[derive(Default)]
pub(super) struct AtomicFloat {
    // The bits of zero are zero, so the derived default is right.
    bits: AtomicU64,
}

impl AtomicFloat {
    pub(super) const fn zero() -> Self {
        Self { bits: AtomicU64::new(0) }
    }

    pub(super) fn load(&self) -> f64 {
        f64::from_bits(self.bits.load(Ordering::Relaxed))
    }

    pub(super) fn store(&self, value: f64) {
        self.bits.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Replaces the value by `change` of it, again and again until no other thread came between.
    pub(super) fn update(&self, change: impl Fn(f64) -> f64) {
        let mut seen = self.bits.load(Ordering::Relaxed);
        while let Err(found) = self.try_replace(seen, change(f64::from_bits(seen))) {
            seen = found;
        }
    }

    fn try_replace(&self, seen: u64, value: f64) -> Result<u64, u64> {
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        self.bits.compare_exchange_weak(seen, value.to_bits(), success, failure)
    }
}

impl fmt::Debug for AtomicFloat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load().fmt(f)
    }
}
