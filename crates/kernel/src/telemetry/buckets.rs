//! The buckets of a histogram: each octave (from one power of two to the next) is cut into equal steps.
//!
//! The idea is HdrHistogram's. A double has this layout built in: its exponent is the octave and the first bits
//! of its mantissa are the step, so finding a bucket is a shift.
//!
//! # Invariants
//!
//! 1. Each finite value from zero upwards has exactly one bucket. A bucket holds its upper bound and not its lower one,
//!    so that the powers of two, where an octave ends, are exact bounds of *at most*.
//! 2. A greater value never has a lower bucket, so [`Buckets::counts`] is in ascending order.
//! 3. Between `LOWEST` and `HIGHEST`, the middle of a bucket differs from each of the bucket's values by at most
//!    [`RELATIVE_ERROR`] of that value.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The first bits of the mantissa that tell the steps of an octave apart.
const STEP_BITS: u32 = 5;
const STEPS: usize = 1 << STEP_BITS;
/// The rest of the mantissa, which a bucket does not tell apart.
const IGNORED_BITS: u32 = f64::MANTISSA_DIGITS - 1 - STEP_BITS;

const OCTAVES: usize = 96;
/// Octaves that are found by one entry of the upper table: values that belong together are seldom further apart.
const SPAN: usize = 8;
/// The exponent of the bound below the steps.
const LOWEST_EXPONENT: i32 = -32;
/// The bits of the greatest value below the buckets with a bounded error: 2^-32.
const LOWEST: u64 = (1.0 / (1u64 << 32) as f64).to_bits();
/// The bits of the greatest value in those buckets: 2^64.
const HIGHEST: u64 = LOWEST + ((OCTAVES as u64) << (f64::MANTISSA_DIGITS - 1));

/// Half a step at the lower end of an octave, where it weighs most.
pub(super) const RELATIVE_ERROR: f64 = 0.5 / STEPS as f64;

/// Where a value is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bucket {
    /// At most 2^-32, zero included.
    Low,
    /// The position above 2^-32.
    Step(usize),
    /// More than 2^64.
    High,
}

impl Bucket {
    /// The bucket of a value that is finite and not negative. The bits of such values are ordered as the values are.
    fn of(value: f64) -> Self {
        match value.to_bits() {
            bits if bits <= LOWEST => Self::Low,
            bits if bits <= HIGHEST => Self::Step(((bits - LOWEST - 1) >> IGNORED_BITS) as usize),
            _ => Self::High,
        }
    }

    /// What stands for the bucket's values. At both ends it is the outermost value; the reader narrows it
    /// to the extremes that were recorded.
    fn middle(self) -> f64 {
        match self {
            Self::Low => 0.0,
            Self::Step(position) => {
                let lower = LOWEST + ((position as u64) << IGNORED_BITS);
                f64::from_bits(lower + (1 << (IGNORED_BITS - 1)))
            }
            Self::High => f64::MAX,
        }
    }
}

/// How many values fell into each bucket. An octave is allocated when its first value arrives, and so is the table of
/// the octaves around it: a table of all would be the greater part of most histograms.
pub(super) struct Buckets {
    low: AtomicU64,
    spans: [OnceLock<Box<Span>>; OCTAVES / SPAN],
    high: AtomicU64,
}

type Span = [OnceLock<Box<Octave>>; SPAN];
type Octave = [AtomicU64; STEPS];

impl Buckets {
    pub(super) fn new() -> Self {
        Self { low: AtomicU64::new(0), spans: [const { OnceLock::new() }; OCTAVES / SPAN], high: AtomicU64::new(0) }
    }

    /// Counts a value that is finite and not negative. A reader that sees it counted sees all that the thread wrote
    /// before.
    pub(super) fn count(&self, value: f64) {
        self.cell(Bucket::of(value)).fetch_add(1, Ordering::Release);
    }

    fn cell(&self, bucket: Bucket) -> &AtomicU64 {
        match bucket {
            Bucket::Low => &self.low,
            Bucket::Step(position) => {
                let octave = position / STEPS;
                let span = self.spans[octave / SPAN].get_or_init(new_span);
                &span[octave % SPAN].get_or_init(new_octave)[position % STEPS]
            }
            Bucket::High => &self.high,
        }
    }

    /// The middles of the buckets that hold something, in ascending order, each with its number of values.
    pub(super) fn counts(&self) -> Vec<(f64, u64)> {
        let low = [(Bucket::Low, &self.low)];
        let high = [(Bucket::High, &self.high)];
        let all = low.into_iter().chain(self.steps()).chain(high);
        // Acquire, the other half of the release in `count`.
        all.map(|(bucket, cell)| (bucket.middle(), cell.load(Ordering::Acquire)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    fn steps(&self) -> impl Iterator<Item = (Bucket, &AtomicU64)> {
        let spans = (0..).step_by(SPAN).zip(&self.spans);
        let octaves = spans.filter_map(|(first, span)| Some((first..).zip(span.get()?.iter()))).flatten();
        let allocated = octaves.filter_map(|(number, octave)| Some((number, octave.get()?)));
        allocated.flat_map(|(number, octave)| {
            let positions = (number * STEPS..).map(Bucket::Step);
            positions.zip(octave.iter())
        })
    }
}

/// The octave that a bucket's middle, as [`Buckets::counts`] gives it, lies in: the exponent of the power of two that
/// is its upper bound. `None` for what lies beyond all octaves.
pub(super) fn upper_exponent(middle: f64) -> Option<i32> {
    match middle.to_bits() {
        bits if bits <= LOWEST => Some(LOWEST_EXPONENT),
        bits if bits <= HIGHEST => {
            let octave = (bits - LOWEST - 1) >> (f64::MANTISSA_DIGITS - 1);
            Some(LOWEST_EXPONENT + 1 + octave as i32)
        }
        _ => None,
    }
}

/// Whether an octave has another bound below its own.
pub(super) fn has_lower_bound(upper_exponent: i32) -> bool {
    upper_exponent > LOWEST_EXPONENT
}

fn new_span() -> Box<Span> {
    Box::new([const { OnceLock::new() }; SPAN])
}

fn new_octave() -> Box<Octave> {
    Box::new([const { AtomicU64::new(0) }; STEPS])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAST: usize = OCTAVES * STEPS - 1;

    #[test]
    fn the_ends_of_the_range_are_where_they_are_said_to_be() {
        assert_eq!(Bucket::of(2f64.powi(-32)), Bucket::Low);
        assert_eq!(Bucket::of(2f64.powi(-32).next_up()), Bucket::Step(0));
        assert_eq!(Bucket::of(2f64.powi(64)), Bucket::Step(LAST));
        assert_eq!(Bucket::of(2f64.powi(64).next_up()), Bucket::High);
    }

    #[test]
    fn zero_and_the_extremes_have_a_bucket() {
        assert_eq!(Bucket::of(0.0), Bucket::Low);
        assert_eq!(Bucket::of(f64::from_bits(1)), Bucket::Low);
        assert_eq!(Bucket::of(f64::MAX), Bucket::High);
    }

    #[test]
    fn each_middle_lies_in_its_own_bucket() {
        for position in 0..=LAST {
            let bucket = Bucket::Step(position);
            assert_eq!(Bucket::of(bucket.middle()), bucket);
        }
    }

    #[test]
    fn counts_are_in_ascending_order_and_leave_empty_buckets_out() {
        let buckets = Buckets::new();
        let values = [1e300, 3.0, 0.0, 1.0, 3.0];
        values.into_iter().for_each(|value| buckets.count(value));
        let (middles, counts): (Vec<f64>, Vec<u64>) = buckets.counts().into_iter().unzip();
        assert!(middles.is_sorted());
        assert_eq!(counts, [1, 1, 2, 1]);
    }

    proptest! {
        #[test]
        fn the_middle_of_a_bucket_is_close_to_each_of_its_values(exponent in -32.0..64.0f64) {
            let value = exponent.exp2();
            let middle = Bucket::of(value).middle();
            prop_assert!((middle - value).abs() <= value * RELATIVE_ERROR);
        }

        #[test]
        fn a_greater_value_never_has_a_lower_bucket(a in 0.0..f64::MAX, exponent in -40.0..70.0f64) {
            let b = exponent.exp2();
            prop_assert_eq!(Bucket::of(a.min(b)), Bucket::of(a).min(Bucket::of(b)));
        }
    }
}
