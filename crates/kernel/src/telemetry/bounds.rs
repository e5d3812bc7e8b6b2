//! Bounds that a histogram counts at exactly.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bounds at which a histogram counts its values exactly, in the unit of its values and in ascending order.
///
/// A histogram knows its quantiles without any. Bounds are for readers that need counts at limits of their own, such as
/// the `le` buckets of Prometheus or a service level objective. Cheap to clone.
///
/// ```
/// use foundation_kernel::instruments::{Bounds, Histogram};
///
/// let seconds = Histogram::with_bounds(Bounds::new([0.1, 0.3, 1.0]).unwrap());
/// [0.05, 0.3, 7.0].into_iter().for_each(|value| seconds.record(value));
/// assert_eq!(seconds.snapshot().bounds, [(0.1, 1), (0.3, 2), (1.0, 2)]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds(Arc<[f64]>);

/// Why bounds are refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BoundsError {
    /// The number of bounds is zero or exceeds the limit.
    #[error("{found} bounds are given; a histogram has 1 to {}", Bounds::MAX)]
    Count {
        /// How many were given; one more than the limit if there were even more.
        found: usize,
    },
    /// A bound is not a finite number from zero upwards, which no value could be compared with.
    #[error("{bound} is no bound; bounds are finite numbers from zero upwards")]
    Value {
        /// The first such bound.
        bound: f64,
    },
    /// A bound is not greater than the one before it.
    #[error("the bound {bound} follows {before}; bounds are in ascending order, and each occurs once")]
    Order {
        /// The first such bound.
        bound: f64,
        /// The one before it.
        before: f64,
    },
}

impl Bounds {
    /// The largest number of bounds: 64.
    ///
    /// ```
    /// use foundation_kernel::instruments::Bounds;
    ///
    /// assert!(Bounds::new((0..65).map(f64::from)).is_err());
    /// ```
    pub const MAX: usize = 64;

    /// Validates bounds in ascending order. There is none for *all values*: that is the count.
    ///
    /// ```
    /// use foundation_kernel::instruments::Bounds;
    ///
    /// let refusal = Bounds::new([1.0, 0.5]).unwrap_err().to_string();
    /// assert_eq!(refusal, "the bound 0.5 follows 1; bounds are in ascending order, and each occurs once");
    /// ```
    ///
    /// # Errors
    /// [`BoundsError`] names the first bound that is refused and why.
    pub fn new(bounds: impl IntoIterator<Item = f64>) -> Result<Self, BoundsError> {
        // The sum only turns minus zero into zero.
        let bounds: Arc<[f64]> = bounds.into_iter().take(Self::MAX + 1).map(|bound| bound + 0.0).collect();
        if bounds.is_empty() || bounds.len() > Self::MAX {
            return Err(BoundsError::Count { found: bounds.len() });
        }
        if let Some(bound) = bounds.iter().find(|bound| !(bound.is_finite() && **bound >= 0.0)) {
            return Err(BoundsError::Value { bound: *bound });
        }
        match bounds.windows(2).find(|pair| pair[0] >= pair[1]) {
            Some(pair) => Err(BoundsError::Order { bound: pair[1], before: pair[0] }),
            None => Ok(Self(bounds)),
        }
    }

    /// The bounds.
    ///
    /// ```
    /// use foundation_kernel::instruments::Bounds;
    ///
    /// assert_eq!(Bounds::new([1.0, 2.0]).unwrap().as_slice(), [1.0, 2.0]);
    /// ```
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }
}

/// How many values lie between each bound and the one before it.
///
/// A value is counted in its octave before it is counted here, and a reader reads these counts first: no bound ever
/// shows more values than the histogram has.
pub(super) struct BoundCounts {
    bounds: Bounds,
    counts: Box<[AtomicU64]>,
}

impl BoundCounts {
    pub(super) fn new(bounds: Bounds) -> Self {
        let counts = bounds.as_slice().iter().map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts }
    }

    pub(super) fn count(&self, value: f64) {
        let position = self.bounds.as_slice().partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(position) {
            count.fetch_add(1, Ordering::Release);
        }
    }

    /// For each bound, how many values are at most as great.
    pub(super) fn cumulative(&self) -> Vec<(f64, u64)> {
        let mut passed = 0;
        let counts = self.bounds.as_slice().iter().zip(&self.counts);
        counts
            .map(|(bound, count)| {
                // Acquire, the other half of the release in `count`.
                passed += count.load(Ordering::Acquire);
                (*bound, passed)
            })
            .collect()
    }
}

impl fmt::Debug for BoundCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BoundCounts").field(&self.cumulative()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_nothing_can_be_counted_at_are_refused() {
        assert_eq!(Bounds::new([]), Err(BoundsError::Count { found: 0 }));
        assert_eq!(Bounds::new((0..1_000_000).map(f64::from)), Err(BoundsError::Count { found: 65 }));
        for bound in [-1.0, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Bounds::new([0.0, bound]), Err(BoundsError::Value { bound }));
        }
        assert!(matches!(Bounds::new([f64::NAN]), Err(BoundsError::Value { .. })));
        assert_eq!(Bounds::new([1.0, 1.0]), Err(BoundsError::Order { bound: 1.0, before: 1.0 }));
        assert_eq!(Bounds::new([-0.0, 0.0]), Err(BoundsError::Order { bound: 0.0, before: 0.0 }));
    }
}
