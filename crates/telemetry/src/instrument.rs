//! What the three kinds of instrument have in common.

use foundation_kernel::{Bounds, Counter, Gauge, Histogram, Reading};

/// An instrument that begins at zero and can be read.
pub trait Reads: Default + Send + Sync + 'static {
    /// The name of the kind.
    const KIND: &'static str;
    /// What it shows now.
    fn read(&self) -> Reading;
    /// One at zero; only a histogram uses the bounds.
    fn with_bounds(_: Option<&Bounds>) -> Self {
        Self::default()
    }
}

macro_rules! reads {
    ($kind:ident, $name:literal $(, $with_bounds:item)?) => {
        impl Reads for $kind {
            const KIND: &'static str = $name;
            fn read(&self) -> Reading {
                Reading::from(self)
            }
            $($with_bounds)?
        }
    };
}
reads!(Counter, "counter");
reads!(Gauge, "gauge");
reads!(
    Histogram,
    "histogram",
    fn with_bounds(bounds: Option<&Bounds>) -> Self {
        bounds.cloned().map_or_else(Self::new, Self::with_bounds)
    }
);

/// A number that differs whenever something was counted or recorded in between; for a reading that only grows, its
/// size.
pub(super) fn mark(reading: &Reading) -> u64 {
    match reading {
        Reading::Counter(value) => *value,
        Reading::Gauge(value) => value.to_bits(),
        Reading::Histogram(summary) => summary.count.wrapping_add(summary.rejected),
        _ => 0,
    }
}
