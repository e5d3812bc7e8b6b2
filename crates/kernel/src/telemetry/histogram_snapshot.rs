//! The summary of a histogram.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::number::Figures;

/// What a [`Histogram`](crate::Histogram) had recorded when it was read, in the unit of the recorded values.
///
/// Whatever an empty histogram does not have is `None` (in JSON `null`), so that no one takes the absence of a
/// measurement for a very fast one. All numbers of a histogram's own snapshot are finite.
///
/// The count and the quantiles come from one pass over the buckets, so they agree with one another. The sum and the
/// extremes may be ahead of them by values that were being recorded at the same time.
///
/// ```
/// use foundation_kernel::Histogram;
///
/// let latency = Histogram::new();
/// latency.record(2.0);
/// let snapshot = latency.snapshot();
/// assert_eq!((snapshot.count, snapshot.p99), (1, Some(2.0)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HistogramSnapshot {
    /// How many values were recorded.
    pub count: u64,
    /// How many values were refused, being negative, infinite or not a number. They are in no other field.
    pub rejected: u64,
    /// The sum of the recorded values.
    pub sum: f64,
    /// The least value, exactly.
    pub min: Option<f64>,
    /// The greatest value, exactly.
    pub max: Option<f64>,
    /// The sum divided by the count.
    pub mean: Option<f64>,
    /// The median, within [`Histogram::RELATIVE_ERROR`](crate::Histogram::RELATIVE_ERROR), as all quantiles.
    pub p50: Option<f64>,
    /// The value that 90 % of the values do not exceed.
    pub p90: Option<f64>,
    /// The value that 99 % of the values do not exceed.
    pub p99: Option<f64>,
    /// The value that 99.9 % of the values do not exceed.
    pub p999: Option<f64>,
    /// Pairs (exponent, number of values that are at most 2^exponent), in ascending order: both bounds of each octave
    /// that holds a value. The counts are exact. Values beyond 2^64 are in `count` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<(i32, u64)>,
    /// Pairs (bound, number of values that are at most as great), in ascending order, at the [`Bounds`](crate::Bounds)
    /// that were chosen for the histogram; empty if none were. The counts are exact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<(f64, u64)>,
}

/// For people: one line, four significant digits, a dash for what is not there.
impl fmt::Display for HistogramSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count {}", self.count)?;
        let parts = [
            ("mean", self.mean),
            ("min", self.min),
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p999", self.p999),
            ("max", self.max),
        ];
        parts.iter().try_for_each(|(name, value)| write_part(f, name, *value))?;
        match self.rejected {
            0 => Ok(()),
            rejected => write!(f, "  rejected {rejected}"),
        }
    }
}

fn write_part(f: &mut fmt::Formatter<'_>, name: &str, value: Option<f64>) -> fmt::Result {
    match value {
        Some(value) => write!(f, "  {name} {}", Figures(value)),
        None => write!(f, "  {name} -"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_one_shows_dashes_and_no_zeros() {
        assert_eq!(
            HistogramSnapshot::default().to_string(),
            "count 0  mean -  min -  p50 -  p90 -  p99 -  p999 -  max -"
        );
    }

    #[test]
    fn rejected_values_are_shown_when_there_are_any() {
        let snapshot = HistogramSnapshot { rejected: 2, ..Default::default() };
        assert!(snapshot.to_string().ends_with("rejected 2"));
    }
}
