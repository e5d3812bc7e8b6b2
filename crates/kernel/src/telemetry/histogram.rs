//! A histogram: the validation of its values, their record, and the queries.
//!
//! # Invariants
//!
//! 1. A value is in `sum`, `min` and `max` before it is counted in its bucket, and a reader reads the buckets first:
//!    so whatever it finds counted lies between the `min` and the `max` that it then reads.
//! 2. `min` only falls and `max` only rises.
//! 3. A value is counted in its bucket before it is counted at the bounds, which a reader reads before the buckets: so
//!    the count is never less than what a bound shows.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::atomic_float::AtomicFloat;
use super::bounds::{BoundCounts, Bounds};
use super::buckets::{Buckets, RELATIVE_ERROR, has_lower_bound, upper_exponent};
use super::reading::{HistogramSnapshot, Reading};

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
/// use foundation_kernel::instruments::Histogram;
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
    /// use foundation_kernel::instruments::Histogram;
    ///
    /// assert_eq!(Histogram::RELATIVE_ERROR, 1.0 / 64.0);
    /// ```
    pub const RELATIVE_ERROR: f64 = RELATIVE_ERROR;

    /// An empty histogram; it allocates nothing.
    ///
    /// ```
    /// use foundation_kernel::instruments::Histogram;
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
    /// use foundation_kernel::instruments::{Bounds, Histogram};
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
    /// use foundation_kernel::instruments::Histogram;
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
    /// use foundation_kernel::instruments::Histogram;
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
    /// use foundation_kernel::instruments::Histogram;
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
    /// use foundation_kernel::instruments::Histogram;
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
    /// use foundation_kernel::instruments::Histogram;
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
    /// use foundation_kernel::instruments::Histogram;
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
    /// use foundation_kernel::instruments::Histogram;
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
    /// use foundation_kernel::instruments::Histogram;
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
    /// use foundation_kernel::instruments::Histogram;
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

impl From<&Histogram> for Reading {
    fn from(histogram: &Histogram) -> Self {
        Self::Histogram(histogram.snapshot())
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram").field(&self.snapshot()).finish()
    }
}

/// The parts of a histogram that exist as soon as there is a value.
struct Recorded {
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
    fn with_bounds(bounds: Bounds) -> Self {
        Self { bounds: Some(Box::new(BoundCounts::new(bounds))), ..Self::default() }
    }

    fn add(&self, value: f64) {
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
    fn at_bounds(&self) -> Vec<(f64, u64)> {
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

    fn distribution(&self) -> Option<Distribution> {
        // First, and with acquire ordering (invariant 1).
        let counts = self.buckets.counts();
        let min = f64::from_bits(self.min.load(Ordering::Relaxed));
        let max = f64::from_bits(self.max.load(Ordering::Relaxed));
        Distribution::new(counts, self.sum.load(), min, max)
    }
}

/// The values of a histogram at one reading, of which there is at least one.
///
/// # Invariants
///
/// 1. `buckets` is in ascending order and holds no empty bucket; `count` is the sum of its counts and not zero.
/// 2. All counted values lie between `min` and `max`, which are finite.
#[derive(Debug)]
struct Distribution {
    buckets: Vec<(f64, u64)>,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Distribution {
    /// `None` if the buckets hold nothing; then neither is there a least or a greatest value.
    fn new(buckets: Vec<(f64, u64)>, sum: f64, min: f64, max: f64) -> Option<Self> {
        let count = buckets.iter().map(|(_, count)| count).sum();
        (count > 0).then_some(Self { buckets, count, sum, min, max })
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn sum(&self) -> f64 {
        self.sum
    }

    fn min(&self) -> f64 {
        self.min
    }

    fn max(&self) -> f64 {
        self.max
    }

    /// The sum may already hold values that were not yet counted, so it is narrowed to what is possible.
    fn mean(&self) -> f64 {
        (self.sum / self.count as f64).clamp(self.min, self.max)
    }

    /// By the nearest rank: the least value that at least the fraction `q` of all values do not exceed.
    fn quantile(&self, q: f64) -> f64 {
        match nearest_rank(q, self.count) {
            1 => self.min,
            rank if rank == self.count => self.max,
            rank => self.value_at(rank),
        }
    }

    /// Narrowing to the extremes never leads away from the true value, which lies between them (invariant 2 above).
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
    fn cumulative(&self) -> Vec<(i32, u64)> {
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
    fn summary(&self) -> HistogramSnapshot {
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
fn nearest_rank(q: f64, count: u64) -> u64 {
    // The cast turns what is below zero into zero.
    ((q * count as f64).ceil() as u64).clamp(1, count)
}

#[cfg(test)]
mod tests;
