//! Health: the status of an instance from the results of its checks, and the condition of a service from its instances.
//!
//! Four words, one meaning each: a *result* is what one run of a check has found, a [`Health`](foundation_kernel::supervision::Health).
//! A *status* is what follows from the results of an instance, an [`InstanceStatus`]. A *health* is a status with its reason,
//! an [`InstanceHealth`]. A *condition* is what follows for a service, a [`ServiceCondition`].

mod cadence;
mod check;
mod checks;
mod expiries;
mod restart_budget;
mod rules;
mod service;
mod status;
mod status_override;

pub use cadence::Cadence;
pub use check::CheckState;
pub(crate) use check::is_success;
pub use checks::{Checks, TooManyChecksError};
pub use restart_budget::{RestartBudget, RestartWithheld, Restarts};
pub use rules::CheckRules;
pub use service::{ServiceCondition, ServiceHealth};
pub use status::{CheckRole, InstanceHealth, InstanceStatus, StatusCounts, StatusReason};
pub use status_override::StatusOverride;
