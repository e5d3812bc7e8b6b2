//! core
mod exit;
mod message;
mod namespace;
mod near;
mod registry;
mod supervisor;
mod telemetry;
pub use exit::{ExitReason, ReservedReason, check_stop_reason};
pub use namespace::{NameError, Namespace, ParseNamespaceError, ServiceKey, ServiceName, TestRef};
pub use near::NearMisses;
pub use ractor;
pub use registry::*;
pub use supervisor::*;
pub use telemetry::*;
