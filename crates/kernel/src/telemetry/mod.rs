//! Instruments: counters, gauges and histograms as plain atomics, and the [`Snapshot`] that they are read into.
//!
//! Nothing in here knows of actors, names or the registry, and nothing waits: an instrument can be used
//! from a message handler, from a blocking thread or from a destructor.
//!
//! | to measure | use | an update costs about |
//! |---|---|---|
//! | how often something happened | [`Counter`] | 2 ns, however many threads count |
//! | how much of something there is now | [`Gauge`] | 1 ns to set, 5 ns to add |
//! | how values are distributed | [`Histogram`] | 10 ns |

mod atomic_float;
mod bounds;
mod buckets;
mod counter;
mod counter_set;
mod gauge;
mod histogram;
mod reading;
mod slot;
mod snapshot;

pub use bounds::{Bounds, BoundsError};
pub use counter::Counter;
pub use counter_set::{CounterIndex, CounterSet};
pub use gauge::Gauge;
pub use histogram::Histogram;
pub use reading::{HistogramSnapshot, Reading};
pub use snapshot::Snapshot;
