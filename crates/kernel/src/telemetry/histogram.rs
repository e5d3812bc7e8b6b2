//! A histogram: the validation of its values, and the queries.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bounds::Bounds;
use super::buckets::RELATIVE_ERROR;
use super::distribution::Distribution;
use super::histogram_snapshot::HistogramSnapshot;
use super::recorded::Recorded;

/// The distribution of values such as durations and sizes, in bounded memory.
///
/// Values are counted in buckets, 32 of equal width between each power of two and the next (HdrHistogram's layout),
/// so a quantile is known to within [`RELATIVE_ERROR`](Self::RELATIVE_ERROR), whatever the values' magnitude and
/// however many there were. Count, least and greatest value are exact, and the sum is but for the rounding of `f64`.
/// The unit is the caller's choice; keep to one per histogram and say it in the name.
///
/// # Values
///
/// - From 2^-32 (2.3e-10) to 2^64 (1.8e19) the error is bounded as said: that is from a fraction of a nanosecond,
///   measured in seconds, to centuries, measured in nanoseconds.
/// - Smaller ones, zero included, share one bucket, and so do greater ones. A quantile that falls into the first
///   is reported as the least value, one that falls into the second as the greatest value.
/// - Negative values, infinities and NaN are *rejected*: counted by [`rejected`](Self::rejected) and otherwise without
///   effect. Minus zero is zero.
/// - The sum stops at `f64::MAX`.
///
/// # Cost
///
/// Recording takes no lock and about 10 ns, or 17 ns beside a second thread that does the same: it is a
/// compare-and-exchange for the sum and an atomic addition for the bucket, on cells that all threads share. On a path
/// of a few nanoseconds, record a sample. The first value, and the first of each octave (from one power of two to the
/// next), allocates.
///
/// An empty histogram takes 24 bytes; a used one 0.3 KB, 256 bytes for each octave that occurred and 128 for each eight
/// of them, at most 27 KB. Each query reads all buckets of the used octaves, which takes 0.2 µs for one and 3 µs for
/// twenty; to learn more than one thing, take a [`snapshot`](Self::snapshot).
///
/// ```
/// use foundation_kernel::Histogram;
///
/// let latency_us = Histogram::new();
/// (1..=100).for_each(|value| latency_us.record(f64::from(value)));
///
/// let p90 = latency_us.quantile(0.9).unwrap();
/// assert!((p90 - 90.0).abs() <= 90.0 * Histogram::RELATIVE_ERROR);
/// assert_eq!(latency_us.mean(), Some(50.5));
/// ```
#[derive(Default)]
pub struct Histogram {
    // Most histograms of a quiet system never record anything: the buckets come with the first value.
    recorded: OnceLock<Box<Recorded>>,
    rejected: AtomicU64,
}

impl Histogram {
    /// The bound of a quantile's error, as a fraction of the exact value: 1/64, or 1.6 %.
    ///
    /// ```
    /// use foundation_kernel::Histogram;
    ///
    /// assert_eq!(Histogram::RELATIVE_ERROR, 1.0 / 64.0);
    /// ```
    pub const RELATIVE_ERROR: f64 = RELATIVE_ERROR;

    /// An empty histogram; it allocates nothing.
    ///
    /// ```
    /// use foundation_kernel::Histogram;
    ///
    /// assert_eq!(Histogram::new().count(), 0);
    /// ```
    pub const fn new() -> Self {
        Self { recorded: OnceLock::new(), rejected: AtomicU64::new(0) }
    }

    /// An empty histogram that also counts its values at these bounds, exactly. It allocates at once, and recording
    /// costs a binary search among the bounds and an atomic addition more.
    ///
    /// ```
    /// use foundation_kernel::{Bounds, Histogram};
    ///
    /// let sizes = Histogram::with_bounds(Bounds::new([1_000.0]).unwrap());
    /// sizes.record(1_000.0);
    /// sizes.record(1_001.0);
    /// assert_eq!(sizes.snapshot().bounds, [(1_000.0, 1)]);
    /// ```
    pub fn with_bounds(bounds: Bounds) -> Self {
        let recorded = OnceLock::from(Box::new(Recorded::with_bounds(bounds)));
        Self { recorded, rejected: AtomicU64::new(0) }
    }

    /// Records a value, or rejects it if it is negative, infinite or not a number.
    ///
    /// ```
    /// use foundation_kernel::Histogram;
    ///
    /// let sizes = Histogram::new();
    /// sizes.record(512.0);
    /// sizes.record(f64::NAN);
    /// assert_eq!((sizes.count(), sizes.rejected()), (1, 1));
    /// ```
    pub fn record(&self, value: f64) {
        if value.is_finite() && value >= 0.0 {
            // The absolute value only turns minus zero, whose bits are out of order, into zero.
            self.recorded.get_or_init(Box::default).add(value.abs());
        } else {
            self.rejected.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many values were recorded.
    ///
    /// ```
    /// use foundation_kernel::Histogram;
    ///
    /// let sizes = Histogram::new();
    /// sizes.record(1.0);
    /// assert_eq!(sizes.count(), 1);
    /// ```
    pub fn count(&self) -> u64 {
        self.distribution().map_or(0, |it| it.count())
    }

    /// How many values were rejected.
    ///
    /// ```
    /// use foundation_kernel::Histogram;
    ///
    /// let sizes = Histogram::new();
    /// sizes.record(-1.0);
    /// assert_eq!(sizes.rejected(), 1);
    /// ```
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// The sum of the recorded values; zero if there are none.
    ///
    /// ```
    /// use foundation_kernel::Histogram;
    ///
    /// let sizes = Histogram::new();
    /// sizes.record(1.5);
    /// sizes.record(2.0);
    /// assert_eq!(sizes.sum(), 3.5);
    /// ```
    pub fn sum(&self) -> f64 {
        self.distribution().map_or(0.0, |it| it.sum())
    }

    /// The least recorded value, exactly.
    ///
    /// ```
    /// use foundation_kernel::Histogram;
    ///
    /// let sizes = Histogram::new();
    /// assert_eq!(sizes.min(), None);
    /// sizes.record(1.5);
    /// assert_eq!(sizes.min(), Some(1.5));
    /// ```
    pub fn min(&self) -> Option<f64> {
        self.distribution().map(|it| it.min())
    }

    /// The greatest recorded value, exactly.
    ///
    /// ```
    /// use foundation_kernel::Histogram;
    ///
    /// let sizes = Histogram::new();
    /// assert_eq!(sizes.max(), None);
    /// sizes.record(1.5);
    /// assert_eq!(sizes.max(), Some(1.5));
    /// ```
    pub fn max(&self) -> Option<f64> {
        self.distribution().map(|it| it.max())
    }

    /// The mean of the recorded values.
    ///
    /// ```
    /// use foundation_kernel::Histogram;
    ///
    /// let sizes = Histogram::new();
    /// assert_eq!(sizes.mean(), None);
    /// sizes.record(1.0);
    /// sizes.record(2.0);
    /// assert_eq!(sizes.mean(), Some(1.5));
    /// ```
    pub fn mean(&self) -> Option<f64> {
        self.distribution().map(|it| it.mean())
    }

    /// The least value that the fraction `q` of all values do not exceed (the *nearest rank*), with an error of at
    /// most [`RELATIVE_ERROR`](Self::RELATIVE_ERROR).
    ///
    /// `q` is a fraction, 0.5 for the median; below zero it counts as zero and above one as one, which give the
    /// least and the greatest value exactly. `None` if nothing was recorded or `q` is not a number.
    ///
    /// ```
    /// use foundation_kernel::Histogram;
    ///
    /// let sizes = Histogram::new();
    /// assert_eq!(sizes.quantile(0.5), None);
    /// [1.0, 2.0, 7.0].into_iter().for_each(|value| sizes.record(value));
    /// assert_eq!(sizes.quantile(1.0), Some(7.0));
    /// ```
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if q.is_nan() {
            return None;
        }
        self.distribution().map(|it| it.quantile(q))
    }

    /// Everything at once, for the price of one query.
    ///
    /// ```
    /// use foundation_kernel::Histogram;
    ///
    /// let sizes = Histogram::new();
    /// sizes.record(3.0);
    /// let snapshot = sizes.snapshot();
    /// assert_eq!((snapshot.count, snapshot.max), (1, Some(3.0)));
    /// ```
    pub fn snapshot(&self) -> HistogramSnapshot {
        // Before the distribution, so that no bound shows more than it has.
        let bounds = self.recorded.get().map(|it| it.at_bounds()).unwrap_or_default();
        let summary = self.distribution().map(|it| it.summary());
        HistogramSnapshot { rejected: self.rejected(), bounds, ..summary.unwrap_or_default() }
    }

    fn distribution(&self) -> Option<Distribution> {
        self.recorded.get()?.distribution()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram").field(&self.snapshot()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::distribution::nearest_rank;
    use super::*;

    fn histogram_of(values: &[f64]) -> Histogram {
        let histogram = Histogram::new();
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    #[test]
    fn an_empty_histogram_is_small_and_has_no_extremes() {
        assert!(size_of::<Histogram>() <= 24);
        assert_eq!(Histogram::new().snapshot(), HistogramSnapshot::default());
    }

    #[test]
    fn rejected_values_leave_no_trace_but_their_number() {
        let histogram = histogram_of(&[f64::NAN, -1.0, f64::INFINITY, f64::NEG_INFINITY, -0.1]);
        let expected = HistogramSnapshot { rejected: 5, ..Default::default() };
        assert_eq!(histogram.snapshot(), expected);
    }

    #[test]
    fn minus_zero_is_zero() {
        let histogram = histogram_of(&[-0.0, 1.0]);
        assert_eq!(histogram.rejected(), 0);
        assert!(histogram.min().is_some_and(|min| min == 0.0 && min.is_sign_positive()));
    }

    #[test]
    fn the_sum_stops_before_infinity() {
        let histogram = histogram_of(&[f64::MAX, f64::MAX]);
        assert_eq!(histogram.sum(), f64::MAX);
        assert!(histogram.mean().unwrap().is_finite());
    }

    #[test]
    fn quantiles_beyond_the_buckets_are_the_extremes() {
        let histogram = histogram_of(&[0.0, 0.0, 1e-20, 1e20, 1e25, 1e30]);
        assert_eq!(histogram.quantile(0.4), Some(0.0));
        assert_eq!(histogram.quantile(0.8), Some(1e30));
    }

    #[test]
    fn a_quantile_that_is_not_a_number_has_no_value() {
        assert_eq!(histogram_of(&[1.0]).quantile(f64::NAN), None);
    }

    #[test]
    fn values_of_several_threads_are_all_recorded() {
        let histogram = Histogram::new();
        thread::scope(|scope| {
            for thread in 1..=4 {
                let record = |value| histogram.record(f64::from(value));
                scope.spawn(move || (0..10_000).map(|i| i % 50 * thread).for_each(record));
            }
        });
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count, snapshot.min, snapshot.max), (40_000, Some(0.0), Some(196.0)));
        assert_eq!(snapshot.sum, 10.0 * 245_000.0);
    }

    #[test]
    fn a_reading_beside_a_writer_is_never_at_odds_with_itself() {
        let histogram = Histogram::new();
        thread::scope(|scope| {
            let descending = || (1..50_000).rev().for_each(|v| histogram.record(f64::from(v)));
            let writer = scope.spawn(descending);
            while !writer.is_finished() {
                let Some(median) = histogram.quantile(0.5) else { continue };
                assert!(histogram.min() <= Some(median) && Some(median) <= histogram.max());
            }
        });
    }

    #[test]
    fn a_bound_never_shows_more_than_the_histogram_has_beside_a_writer() {
        let histogram = Histogram::with_bounds(Bounds::new([10.0, 1e9]).unwrap());
        thread::scope(|scope| {
            let writer = scope.spawn(|| (0..50_000).for_each(|v| histogram.record(f64::from(v % 20))));
            while !writer.is_finished() {
                let snapshot = histogram.snapshot();
                assert!(snapshot.bounds[0].1 <= snapshot.bounds[1].1 && snapshot.bounds[1].1 <= snapshot.count);
            }
        });
        assert_eq!(histogram.snapshot().bounds, [(10.0, 27_500), (1e9, 50_000)]);
    }

    #[test]
    fn chosen_bounds_are_shown_before_there_is_a_value() {
        let snapshot = Histogram::with_bounds(Bounds::new([1.0]).unwrap()).snapshot();
        assert_eq!(snapshot, HistogramSnapshot { bounds: vec![(1.0, 0)], ..Default::default() });
    }

    /// Values of all magnitudes with a bounded error, with repetitions.
    fn values() -> impl Strategy<Value = Vec<f64>> {
        let any_magnitude = (-31.9..63.9f64).prop_map(f64::exp2);
        let whole = (1..1_000u32).prop_map(f64::from);
        vec(prop_oneof![any_magnitude, whole], 1..200)
    }

    /// Zero, powers of two and what lies around them, and beyond all buckets.
    fn any_value() -> impl Strategy<Value = f64> {
        let power = || (-40..70i32).prop_map(|exponent| f64::from(exponent).exp2());
        let any_magnitude = (-40.0..70.0f64).prop_map(f64::exp2);
        prop_oneof![Just(0.0), power(), power().prop_map(f64::next_up), power().prop_map(f64::next_down), any_magnitude]
    }

    proptest! {
        #[test]
        fn quantiles_are_within_the_stated_error(mut values in values(), q in 0.0..=1.0f64) {
            let approximate = histogram_of(&values).quantile(q).unwrap();
            values.sort_by(f64::total_cmp);
            let exact = values[nearest_rank(q, values.len() as u64) as usize - 1];
            prop_assert!((approximate - exact).abs() <= exact * Histogram::RELATIVE_ERROR);
        }

        #[test]
        fn quantiles_rise_with_their_fraction(values in values(), a in 0.0..=1.0f64, b in 0.0..=1.0f64) {
            let histogram = histogram_of(&values);
            prop_assert!(histogram.quantile(a.min(b)) <= histogram.quantile(a.max(b)));
        }

        #[test]
        fn count_sum_and_extremes_are_exact(values in values()) {
            let snapshot = histogram_of(&values).snapshot();
            prop_assert_eq!(snapshot.count, values.len() as u64);
            prop_assert_eq!(snapshot.sum, values.iter().sum::<f64>());
            prop_assert_eq!(snapshot.min, values.iter().copied().reduce(f64::min));
            prop_assert_eq!(snapshot.max, values.iter().copied().reduce(f64::max));
        }

        #[test]
        fn each_bound_counts_exactly_the_values_that_are_at_most_as_great(values in vec(any_value(), 0..100)) {
            let snapshot = histogram_of(&values).snapshot();
            for (exponent, count) in &snapshot.buckets {
                let bound = f64::from(*exponent).exp2();
                prop_assert_eq!(*count, values.iter().filter(|value| **value <= bound).count() as u64);
            }
            prop_assert!(snapshot.buckets.is_sorted_by(|a, b| a.0 < b.0));
        }

        #[test]
        fn a_chosen_bound_counts_exactly_the_values_that_are_at_most_as_great(
            values in vec(any_value(), 0..100),
            mut bounds in vec(any_value(), 1..10),
        ) {
            bounds.sort_by(f64::total_cmp);
            bounds.dedup();
            let histogram = Histogram::with_bounds(Bounds::new(bounds.iter().copied()).unwrap());
            values.iter().for_each(|value| histogram.record(*value));
            let counted = |bound: &f64| (*bound, values.iter().filter(|value| *value <= bound).count() as u64);
            prop_assert_eq!(histogram.snapshot().bounds, bounds.iter().map(counted).collect::<Vec<_>>());
            // All else is as without them.
            let snapshot = HistogramSnapshot { bounds: Vec::new(), ..histogram.snapshot() };
            prop_assert_eq!(snapshot, histogram_of(&values).snapshot());
        }

        #[test]
        fn no_value_makes_a_reading_that_is_not_finite(values in vec(any::<f64>(), 0..50)) {
            let snapshot = histogram_of(&values).snapshot();
            let parts = [snapshot.min, snapshot.max, snapshot.mean, snapshot.p50, snapshot.p999];
            prop_assert!(snapshot.sum.is_finite() && parts.into_iter().flatten().all(f64::is_finite));
            prop_assert_eq!(snapshot.count + snapshot.rejected, values.len() as u64);
        }
    }
}
