//! A histogram as OTLP has it: exponential, with a bucket for each octave.

use foundation_kernel::instruments::HistogramSnapshot;

/// The exponent of the least bound: values that are at most 2^-32 count as zero.
const LEAST: i32 = -32;
/// The index of the bucket above the greatest bound, which is 2^64.
const BEYOND: i32 = 64;
/// The greatest value that counts as zero.
pub(super) const ZERO_THRESHOLD: f64 = 1.0 / (1_u64 << 32) as f64;

/// The counts of the octaves. The one at index i has the values above 2^i, up to 2^(i+1): scale 0 of OTLP, without a loss.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Octaves {
    /// The values that count as zero.
    pub(super) zero: u64,
    /// The index of the first of the counts.
    pub(super) offset: i32,
    /// From the first octave with a value to the last one.
    pub(super) counts: Vec<u64>,
}

impl Octaves {
    /// What is not in the buckets of a snapshot is above its greatest bound, so that the counts add up to that of the snapshot.
    pub(super) fn of(snapshot: &HistogramSnapshot) -> Self {
        let mut octaves = Self::default();
        let mut passed = 0;
        for &(exponent, up_to) in &snapshot.buckets {
            let count = up_to.saturating_sub(passed);
            passed = passed.max(up_to);
            if exponent <= LEAST { octaves.zero += count } else { octaves.add(exponent - 1, count) }
        }
        octaves.add(BEYOND, snapshot.count.saturating_sub(passed));
        octaves
    }

    /// Indices come in ascending order.
    fn add(&mut self, index: i32, count: u64) {
        if count == 0 {
            return;
        }
        if self.counts.is_empty() {
            self.offset = index;
        }
        self.counts.resize(usize::try_from(index - self.offset).unwrap_or(0), 0);
        self.counts.push(count);
    }
}

#[cfg(test)]
mod tests {
    use foundation_kernel::instruments::Histogram;

    use super::*;

    fn octaves(values: &[f64]) -> Octaves {
        let histogram = Histogram::new();
        values.iter().for_each(|value| histogram.record(*value));
        Octaves::of(&histogram.snapshot())
    }

    #[test]
    fn a_value_at_a_bound_is_in_the_octave_below_it() {
        assert_eq!(octaves(&[1.0, 1.5, 2.0, 2.5]), Octaves { zero: 0, offset: -1, counts: vec![1, 2, 1] });
    }

    #[test]
    fn octaves_without_a_value_between_others_have_zero() {
        assert_eq!(octaves(&[1.0, 16.0]), Octaves { zero: 0, offset: -1, counts: vec![1, 0, 0, 0, 1] });
    }

    #[test]
    fn the_least_values_are_zero_and_the_greatest_have_the_last_bucket() {
        let least = ZERO_THRESHOLD;
        assert_eq!(octaves(&[0.0, least, 1e300]), Octaves { zero: 2, offset: 64, counts: vec![1] });
        assert_eq!(octaves(&[least * 1.1]), Octaves { zero: 0, offset: -32, counts: vec![1] });
        assert_eq!(octaves(&[2_f64.powi(64)]), Octaves { zero: 0, offset: 63, counts: vec![1] });
        assert_eq!(octaves(&[]), Octaves::default());
    }
}
