//! What an instrument showed when it was read: a number, or the summary of a histogram.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What an instrument showed when it was read.
///
/// In JSON it is an object with one field, named after the kind: `{"counter":3}`. Gauges that are not finite are
/// written as the texts `"NaN"`, `"inf"` and `"-inf"`, as JSON has no such numbers.
///
/// ```
/// use foundation_kernel::instruments::{Counter, Reading};
///
/// let calls = Counter::new();
/// calls.add(3);
/// assert_eq!(Reading::from(&calls), Reading::Counter(3));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reading {
    /// The value of a [`Counter`](crate::instruments::Counter).
    Counter(u64),
    /// The value of a [`Gauge`](crate::instruments::Gauge).
    Gauge(#[serde(serialize_with = "serialize_number", deserialize_with = "deserialize_number")] f64),
    /// The summary of a [`Histogram`](crate::instruments::Histogram).
    Histogram(HistogramSnapshot),
}

impl Reading {
    /// The kind of the instrument, in the word that the serialised form uses.
    ///
    /// ```
    /// use foundation_kernel::instruments::Reading;
    ///
    /// assert_eq!(Reading::Gauge(0.5).kind(), "gauge");
    /// ```
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// For people: the value alone, with four significant digits where it is not a whole number.
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counter(value) => value.fmt(f),
            Self::Gauge(value) => Figures(*value).fmt(f),
            Self::Histogram(summary) => summary.fmt(f),
        }
    }
}

/// What a [`Histogram`](crate::instruments::Histogram) had recorded when it was read, in the unit of the recorded values.
///
/// Whatever an empty histogram does not have is `None` (in JSON `null`), so that no one takes the absence of a
/// measurement for a very fast one. All numbers of a histogram's own snapshot are finite.
///
/// The count and the quantiles come from one pass over the buckets, so they agree with one another. The sum and the
/// extremes may be ahead of them by values that were being recorded at the same time.
///
/// ```
/// use foundation_kernel::instruments::Histogram;
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
    /// The median, within [`Histogram::RELATIVE_ERROR`](crate::instruments::Histogram::RELATIVE_ERROR), as all quantiles.
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
    /// Pairs (bound, number of values that are at most as great), in ascending order, at the [`Bounds`](crate::instruments::Bounds)
    /// that were chosen for the histogram; empty if none were. The counts are exact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<(f64, u64)>,
}

impl HistogramSnapshot {
    /// Adds the values of another histogram of the same unit: counts, sum, extremes, mean and buckets are exactly those of
    /// both together. The quantiles of both cannot be known, and are `None`, unless one of the two has no values; bounds are
    /// kept if both have the same.
    ///
    /// ```
    /// use foundation_kernel::instruments::Histogram;
    ///
    /// let (here, there) = (Histogram::new(), Histogram::new());
    /// here.record(1.0);
    /// there.record(3.0);
    /// let mut both = here.snapshot();
    /// both.merge(&there.snapshot());
    /// assert_eq!((both.count, both.mean, both.max, both.p50), (2, Some(2.0), Some(3.0), None));
    /// ```
    pub fn merge(&mut self, other: &Self) {
        let rejected = self.rejected.wrapping_add(other.rejected);
        if self.count == 0 {
            *self = Self { rejected, ..other.clone() };
            return;
        }
        self.rejected = rejected;
        if other.count > 0 {
            self.merge_values(other);
        }
    }

    fn merge_values(&mut self, other: &Self) {
        self.count = self.count.wrapping_add(other.count);
        self.sum = (self.sum + other.sum).min(f64::MAX);
        self.min = lesser(self.min, other.min);
        self.max = lesser(self.max.map(|it| -it), other.max.map(|it| -it)).map(|it| -it);
        self.mean = Some(self.sum / self.count as f64);
        (self.p50, self.p90, self.p99, self.p999) = (None, None, None, None);
        self.buckets = merged_buckets(&self.buckets, &other.buckets);
        let same = self.bounds.len() == other.bounds.len()
            && self.bounds.iter().zip(&other.bounds).all(|((a, _), (b, _))| a == b);
        if same {
            self.bounds.iter_mut().zip(&other.bounds).for_each(|((_, count), (_, more))| *count += more);
        } else {
            self.bounds.clear();
        }
    }
}

fn lesser(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Both bounds of each octave that holds a value are listed: at any other bound the count is that of the one below it.
fn merged_buckets(one: &[(i32, u64)], other: &[(i32, u64)]) -> Vec<(i32, u64)> {
    let up_to = |buckets: &[(i32, u64)], exponent| {
        let below = buckets.partition_point(|(known, _)| *known <= exponent);
        below.checked_sub(1).map_or(0, |last| buckets[last].1)
    };
    let mut exponents: Vec<i32> = one.iter().chain(other).map(|(exponent, _)| *exponent).collect();
    exponents.sort_unstable();
    exponents.dedup();
    exponents.into_iter().map(|at| (at, up_to(one, at) + up_to(other, at))).collect()
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

/// A number with four significant digits, for display.
struct Figures(f64);

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        match value.abs() {
            size if size.is_nan() || size.is_infinite() || size == 0.0 => write!(f, "{value}"),
            size if (1e-3..1e15).contains(&size) => write!(f, "{value:.*}", decimals(size)),
            _ => write!(f, "{value:.3e}"),
        }
    }
}

fn decimals(size: f64) -> usize {
    // The cast turns the negative numbers of long ones into zero.
    (3.0 - size.log10().floor()) as usize
}

/// In text formats the numbers that are not finite become the texts `NaN`, `inf` and `-inf`:
/// JSON would turn them into `null`, which does not come back as a number.
fn serialize_number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() || !serializer.is_human_readable() {
        value.serialize(serializer)
    } else {
        serializer.collect_str(value)
    }
}

/// The opposite of [`serialize_number`].
fn deserialize_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_any(NumberOrText)
    } else {
        f64::deserialize(deserializer)
    }
}

struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, \"NaN\", \"inf\" or \"-inf\"")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        match text {
            "NaN" => Ok(f64::NAN),
            "inf" => Ok(f64::INFINITY),
            "-inf" => Ok(f64::NEG_INFINITY),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
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

    fn histogram(values: &[f64]) -> crate::instruments::Histogram {
        let histogram = crate::instruments::Histogram::new();
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    proptest::proptest! {
        #[test]
        fn merged_ones_are_that_of_all_values_but_for_the_quantiles(
            one in proptest::collection::vec(-1.0..1e9f64, 0..20),
            other in proptest::collection::vec(proptest::prop_oneof![0.0..10.0f64, proptest::strategy::Just(1e30)], 0..20),
        ) {
            let (mut merged, all) = (histogram(&one).snapshot(), histogram(&[one, other.clone()].concat()).snapshot());
            merged.merge(&histogram(&other).snapshot());
            proptest::prop_assert!((merged.sum - all.sum).abs() <= all.sum * 1e-12);
            let without = |it: HistogramSnapshot| HistogramSnapshot { sum: 0.0, mean: None, p50: None, p90: None, p99: None, p999: None, ..it };
            proptest::prop_assert_eq!(without(merged), without(all));
        }
    }

    #[test]
    fn rejected_values_are_shown_when_there_are_any() {
        let snapshot = HistogramSnapshot { rejected: 2, ..Default::default() };
        assert!(snapshot.to_string().ends_with("rejected 2"));
    }

    #[test]
    fn people_see_four_significant_digits() {
        let shown = [0.0, 0.5, 12.345, 99.999, 123_456.7, 2.5e-9, -1.0, f64::NAN, f64::NEG_INFINITY]
            .map(|value| Figures(value).to_string());
        let expected = ["0", "0.5000", "12.35", "100.00", "123457", "2.500e-9", "-1.000", "NaN", "-inf"];
        assert_eq!(shown, expected);
    }
}
