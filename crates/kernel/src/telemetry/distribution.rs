//! The values of a histogram at one reading: plain numbers, from which everything else is computed.

use super::buckets::{has_lower_bound, upper_exponent};
use super::histogram_snapshot::HistogramSnapshot;

/// The values of a histogram at one reading, of which there is at least one.
///
/// # Invariants
///
/// 1. `buckets` is in ascending order and holds no empty bucket; `count` is the sum of its counts and not zero.
/// 2. All counted values lie between `min` and `max`, which are finite.
#[derive(Debug)]
pub(super) struct Distribution {
    buckets: Vec<(f64, u64)>,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Distribution {
    /// `None` if the buckets hold nothing; then neither is there a least or a greatest value.
    pub(super) fn new(buckets: Vec<(f64, u64)>, sum: f64, min: f64, max: f64) -> Option<Self> {
        let count = buckets.iter().map(|(_, count)| count).sum();
        (count > 0).then_some(Self { buckets, count, sum, min, max })
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    pub(super) fn min(&self) -> f64 {
        self.min
    }

    pub(super) fn max(&self) -> f64 {
        self.max
    }

    /// The sum may already hold values that were not yet counted, so it is narrowed to what is possible.
    pub(super) fn mean(&self) -> f64 {
        (self.sum / self.count as f64).clamp(self.min, self.max)
    }

    /// By the nearest rank: the least value that at least the fraction `q` of all values do not exceed.
    pub(super) fn quantile(&self, q: f64) -> f64 {
        match nearest_rank(q, self.count) {
            1 => self.min,
            rank if rank == self.count => self.max,
            rank => self.value_at(rank),
        }
    }

    /// Narrowing to the extremes never leads away from the true value, which lies between them (invariant 2).
    fn value_at(&self, rank: u64) -> f64 {
        let mut passed = 0;
        let reaches = |(_, count): &&(f64, u64)| {
            passed += count;
            passed >= rank
        };
        let bucket = self.buckets.iter().find(reaches);
        bucket.map_or(self.max, |(middle, _)| middle.clamp(self.min, self.max))
    }

    /// For both bounds of each octave that holds a value, how many values are at most 2^exponent, in ascending order.
    /// What lies beyond the greatest bound is only in the count.
    pub(super) fn cumulative(&self) -> Vec<(i32, u64)> {
        let (mut bounds, mut passed) = (Vec::<(i32, u64)>::new(), 0);
        for (middle, count) in &self.buckets {
            let Some(upper) = upper_exponent(*middle) else { break };
            if has_lower_bound(upper) && bounds.last().is_none_or(|(last, _)| *last < upper - 1) {
                bounds.push((upper - 1, passed));
            }
            passed += count;
            match bounds.last_mut() {
                Some((last, so_far)) if *last == upper => *so_far = passed,
                _ => bounds.push((upper, passed)),
            }
        }
        bounds
    }

    /// Everything at once, but for the rejected values and the chosen bounds, which no distribution knows.
    pub(super) fn summary(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            count: self.count,
            rejected: 0,
            sum: self.sum,
            min: Some(self.min),
            max: Some(self.max),
            mean: Some(self.mean()),
            p50: Some(self.quantile(0.5)),
            p90: Some(self.quantile(0.9)),
            p99: Some(self.quantile(0.99)),
            p999: Some(self.quantile(0.999)),
            buckets: self.cumulative(),
            bounds: Vec::new(),
        }
    }
}

/// From 1 to `count`, whatever `q` is: too small a fraction means the first value, too great a one the last.
pub(super) fn nearest_rank(q: f64, count: u64) -> u64 {
    // The cast turns what is below zero into zero.
    ((q * count as f64).ceil() as u64).clamp(1, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Distribution {
        let buckets = vec![(1.01, 1), (2.02, 1), (4.04, 1)];
        Distribution::new(buckets, 7.0, 1.0, 4.0).unwrap()
    }

    #[test]
    fn nothing_has_no_distribution() {
        assert!(Distribution::new(Vec::new(), 0.0, f64::INFINITY, 0.0).is_none());
    }

    #[test]
    fn ranks_are_nearest_and_stay_within_the_values() {
        let ranks = [-1.0, 0.0, 0.1, 0.11, 0.5, 1.0, 2.0].map(|q| nearest_rank(q, 10));
        assert_eq!(ranks, [1, 1, 1, 2, 5, 10, 10]);
    }

    #[test]
    fn the_first_and_the_last_value_are_exact() {
        assert_eq!([0.0, 0.5, 1.0].map(|q| three().quantile(q)), [1.0, 2.02, 4.0]);
    }

    #[test]
    fn a_sum_that_is_ahead_of_the_count_cannot_push_the_mean_beyond_the_greatest_value() {
        let ahead = Distribution::new(vec![(1.0, 1)], 10.0, 1.0, 2.0).unwrap();
        assert_eq!(ahead.mean(), 2.0);
    }
}
