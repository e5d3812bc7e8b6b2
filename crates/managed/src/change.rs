//! A change of a managed service.

use std::fmt;

use foundation_kernel::names::ServiceName;
use serde::Serialize;

use super::lifecycle::LifecycleChange;

/// A change of the lifecycle of one service.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServiceChange {
    /// The service.
    pub name: ServiceName,
    /// What it was, and is.
    pub change: LifecycleChange,
}

impl fmt::Display for ServiceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.change)
    }
}
