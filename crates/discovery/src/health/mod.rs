//! Health: the status of an instance from the results of its checks, and the condition of a service from its instances.

mod cadence;
mod check;
mod checks;
mod service;
mod status;

pub use cadence::Cadence;
pub use check::{CheckRules, CheckState};
pub use checks::{Checks, TooManyChecksError};
pub use service::{ServiceCondition, ServiceHealth};
pub use status::{CheckRole, InstanceHealth, InstanceStatus, StatusCounts, StatusReason};
