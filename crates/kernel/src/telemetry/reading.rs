//! The value of an instrument.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::number::{self, Figures};
use super::{Counter, Gauge, Histogram, HistogramSnapshot};

/// What an instrument showed when it was read.
///
/// In JSON it is an object with one field, named after the kind: `{"counter":3}`. Gauges that are not finite are
/// written as the texts `"NaN"`, `"inf"` and `"-inf"`, as JSON has no such numbers.
///
/// ```
/// use foundation_kernel::{Counter, Reading};
///
/// let calls = Counter::new();
/// calls.add(3);
/// assert_eq!(Reading::from(&calls), Reading::Counter(3));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reading {
    /// The value of a [`Counter`].
    Counter(u64),
    /// The value of a [`Gauge`].
    Gauge(#[serde(with = "number")] f64),
    /// The summary of a [`Histogram`].
    Histogram(HistogramSnapshot),
}

impl Reading {
    /// The kind of the instrument, in the word that the serialised form uses.
    ///
    /// ```
    /// use foundation_kernel::Reading;
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

impl From<&Counter> for Reading {
    fn from(counter: &Counter) -> Self {
        Self::Counter(counter.value())
    }
}

impl From<&Gauge> for Reading {
    fn from(gauge: &Gauge) -> Self {
        Self::Gauge(gauge.value())
    }
}

impl From<&Histogram> for Reading {
    fn from(histogram: &Histogram) -> Self {
        Self::Histogram(histogram.snapshot())
    }
}
