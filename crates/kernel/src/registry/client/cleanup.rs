//! Reports of a clean-up or a shutdown.

use std::fmt;
use std::time::Duration;

use crate::namespace::Namespace;
use crate::supervisor::Stopped;
use serde::Serialize;

/// One actor that a shutdown or a clean-up has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoppedService {
    /// Its place in the tree: the path of its supervisor and its id. For an actor that the namespace has not started:
    /// `registered/` and its name, or `joined/` and its group.
    pub path: String,
    /// Whether it stopped in time, or was or had to be killed.
    pub how: Stopped,
}

/// The report of a clean-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CleanupReport {
    /// Which namespace is gone.
    #[serde(serialize_with = "crate::written::text")]
    pub namespace: Namespace,
    /// The actors that were stopped, in the order of their ends.
    pub stopped: Vec<StoppedService>,
    /// How long it took.
    #[serde(rename = "took_ms", serialize_with = "crate::written::millis")]
    pub took: Duration,
}

impl CleanupReport {
    /// Those that did not stop in their time and had to be killed.
    pub fn killed(&self) -> impl Iterator<Item = &StoppedService> {
        self.stopped.iter().filter(|service| service.how == Stopped::Killed)
    }
}

impl fmt::Display for CleanupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, killed) = (self.stopped.len(), self.killed().count());
        write!(f, "{}: {all} actors stopped, {killed} of them killed, in {:?}", self.namespace, self.took)
    }
}
