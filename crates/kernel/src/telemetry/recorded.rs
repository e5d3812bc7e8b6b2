//! The values of a histogram.
//!
//! # Invariants
//!
//! 1. A value is in `sum`, `min` and `max` before it is counted in its bucket, and a reader reads the buckets first:
//!    so whatever it finds counted lies between the `min` and the `max` that it then reads.
//! 2. `min` only falls and `max` only rises.
//! 3. A value is counted in its bucket before it is counted at the bounds, which a reader reads before the buckets: so
//!    the count is never less than what a bound shows.

use std::sync::atomic::{AtomicU64, Ordering};

use super::atomic_float::AtomicFloat;
use super::bounds::{BoundCounts, Bounds};
use super::buckets::Buckets;
use super::distribution::Distribution;

/// The parts of a histogram that exist as soon as there is a value.
pub(super) struct Recorded {
    buckets: Buckets,
    sum: AtomicFloat,
    // As bits: those of values that are not negative are ordered as the values are.
    min: AtomicU64,
    max: AtomicU64,
    /// `None` unless bounds were chosen: then a value costs no more than a check of it.
    bounds: Option<Box<BoundCounts>>,
}

impl Default for Recorded {
    fn default() -> Self {
        Self {
            buckets: Buckets::new(),
            sum: AtomicFloat::zero(),
            min: AtomicU64::new(f64::INFINITY.to_bits()),
            max: AtomicU64::new(0),
            bounds: None,
        }
    }
}

impl Recorded {
    pub(super) fn with_bounds(bounds: Bounds) -> Self {
        Self { bounds: Some(Box::new(BoundCounts::new(bounds))), ..Self::default() }
    }

    pub(super) fn add(&self, value: f64) {
        self.sum.update(|sum| (sum + value).min(f64::MAX));
        self.widen(value.to_bits());
        // After the extremes, and with release ordering (invariant 1).
        self.buckets.count(value);
        // Last (invariant 3).
        if let Some(bounds) = &self.bounds {
            bounds.count(value);
        }
    }

    /// How many values are at most as great as each bound; read it before the distribution (invariant 3).
    pub(super) fn at_bounds(&self) -> Vec<(f64, u64)> {
        self.bounds.as_ref().map(|bounds| bounds.cumulative()).unwrap_or_default()
    }

    /// Most values lie between the extremes already, and a load is cheaper than an exchange. A load may find an old
    /// extreme, but by invariant 2 only a nearer one: then the exchange, which cannot, leaves the newer one alone.
    fn widen(&self, bits: u64) {
        if bits < self.min.load(Ordering::Relaxed) {
            self.min.fetch_min(bits, Ordering::Relaxed);
        }
        if bits > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(bits, Ordering::Relaxed);
        }
    }

    pub(super) fn distribution(&self) -> Option<Distribution> {
        // First, and with acquire ordering (invariant 1).
        let counts = self.buckets.counts();
        let min = f64::from_bits(self.min.load(Ordering::Relaxed));
        let max = f64::from_bits(self.max.load(Ordering::Relaxed));
        Distribution::new(counts, self.sum.load(), min, max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_size_is_bounded() {
        assert!(size_of::<Recorded>() <= 240);
    }
}
