//! The measures of services, taken without their doing: how many messages, how many failures, how long, and when last.

mod by_name;
mod facade;
mod measurement;
mod measuring;
mod meter;
mod metered;
mod series;
mod service_measures;

pub(crate) use by_name::Measures;
pub use measurement::Measurement;
pub(crate) use meter::Meter;
pub use service_measures::ServiceMeasures;
