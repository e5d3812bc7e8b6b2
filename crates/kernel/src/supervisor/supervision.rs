//! The rules of a supervisor, for display.

use std::fmt;

use serde::Serialize;

use super::restart::{RestartIntensity, Strategy};
use super::significant::AutoShutdown;

/// The rules of one supervisor, as a [`Tree`](crate::Tree) shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Supervision {
    /// Which children restart with a failed child.
    pub strategy: Strategy,
    /// Which ends of significant children end the supervisor.
    pub auto_shutdown: AutoShutdown,
    /// The restart intensity.
    pub intensity: RestartIntensity,
    /// The restarts in the window now.
    pub used: u32,
}

impl fmt::Display for Supervision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.strategy, self.intensity)?;
        if self.used > 0 {
            write!(f, " ({} used)", self.used)?;
        }
        match self.auto_shutdown {
            AutoShutdown::Never => Ok(()),
            mode => write!(f, ", stops when {mode} children have ended"),
        }
    }
}
