//! The measures of services, taken without their doing: how many messages, how many failures, how long, and when last.

mod measurement;
mod series;
mod service_measures;

pub use measurement::Measurement;
pub use service_measures::ServiceMeasures;

pub(super) use series::{Measures, meter::Meter};
