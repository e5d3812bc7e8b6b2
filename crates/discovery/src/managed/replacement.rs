//! How a running service is replaced, and the steps that start, stop and replace services, each with its undo.
//!
//! # Invariants
//!
//! 1. The undo of a step is known before it is taken, and takes back also a step that was not completed.
//! 2. A step can be taken again: what it brings about is there afterwards, however often and however far it was taken.
//! 3. At each point of a blue-green replacement, and of its undo, one generation has the name and takes messages.

use std::fmt;
use std::time::Duration;

use foundation_kernel::names::ServiceName;
use serde::{Deserialize, Serialize};

/// How long a service may take to finish its work before its successor is started, unless its kind says otherwise.
const DRAIN: Duration = Duration::from_secs(5);

/// How a running service takes another configuration. Kubernetes' rollout strategy.
///
/// | | until it has the new configuration | if that fails |
/// |---|---|---|
/// | `Nothing` | it goes on; the next start uses it | |
/// | `Reload` | it goes on | it goes on with the old one |
/// | `DrainFirst` | a gap, in which calls are refused | it is down, and unhealthy |
/// | `BlueGreen` | the predecessor goes on | the predecessor goes on |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rollout {
    /// The running service is left as it is.
    Nothing,
    /// The running service takes it without a restart.
    Reload,
    /// It is taken out of rotation, finishes what it has, and is stopped; then it is started with the new one.
    DrainFirst {
        /// How long it may take to finish.
        #[serde(rename = "within_ms", with = "millis")]
        within: Duration,
    },
    /// A successor is started beside it, gets its name when its checks have succeeded, and only then it is drained and
    /// stopped. No call is refused and none is lost.
    BlueGreen {
        /// How long the successor may take until its checks have succeeded.
        #[serde(rename = "ready_within_ms", with = "millis")]
        ready_within: Duration,
        /// How long the predecessor may take to finish what it has.
        #[serde(rename = "overlap_ms", with = "millis")]
        overlap: Duration,
    },
}

impl Default for Rollout {
    /// Drain first, within 5 s.
    fn default() -> Self {
        Self::DrainFirst { within: DRAIN }
    }
}

/// One step of a service from one state to another.
///
/// A service runs in generations: each configuration and each restart begins a new one. The steps name them, so that a
/// step that is taken again, or late, finds out whether it is still to be done.
///
/// ```
/// use foundation_discovery::managed::ServiceStep;
/// use foundation_kernel::names::ServiceName;
///
/// let prepare = ServiceStep::Prepare { name: ServiceName::new("orders")?, from: 1, to: 2 };
/// assert_eq!(prepare.to_string(), "prepare orders#2 beside #1");
/// assert_eq!(prepare.undo().to_string(), "discard orders#2 beside #1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServiceStep {
    /// Start the generation under the name, and wait until it is healthy.
    Start {
        /// The service.
        name: ServiceName,
        /// The generation that is to run.
        generation: u64,
    },
    /// Stop the generation, and wait until it is gone.
    Stop {
        /// The service.
        name: ServiceName,
        /// The generation that is to be gone.
        generation: u64,
    },
    /// Replace one generation by the other, and wait until that is healthy.
    Replace {
        /// The service.
        name: ServiceName,
        /// The generation that runs.
        from: u64,
        /// The generation that is to run.
        to: u64,
        /// How.
        rollout: Rollout,
    },
    /// The first part of a blue-green replacement: start the successor beside its predecessor, without the name, and wait
    /// until it is healthy.
    Prepare {
        /// The service.
        name: ServiceName,
        /// The generation that has the name.
        from: u64,
        /// The generation that is to run beside it.
        to: u64,
    },
    /// Stop a successor that was prepared and does not have the name.
    Discard {
        /// The service.
        name: ServiceName,
        /// The generation that has the name.
        from: u64,
        /// The generation that is to be gone.
        to: u64,
    },
    /// The second part of a blue-green replacement: give the name to the successor that was prepared; its predecessor
    /// finishes what it has and is stopped.
    HandOver {
        /// The service.
        name: ServiceName,
        /// The generation that has the name.
        from: u64,
        /// The generation that gets it.
        to: u64,
        /// How long each of the two parts of the replacement back may take, if it is undone.
        rollout: Rollout,
    },
}

impl ServiceStep {
    /// The service.
    pub fn name(&self) -> &ServiceName {
        match self {
            Self::Start { name, .. }
            | Self::Stop { name, .. }
            | Self::Replace { name, .. }
            | Self::Prepare { name, .. }
            | Self::Discard { name, .. }
            | Self::HandOver { name, .. } => name,
        }
    }

    /// The step that takes this one back, known before it is taken.
    ///
    /// It takes back also a step that was not completed. What a stopped generation had in its state does not come back.
    pub fn undo(&self) -> Self {
        match self.clone() {
            Self::Start { name, generation } => Self::Stop { name, generation },
            Self::Stop { name, generation } => Self::Start { name, generation },
            Self::Replace { name, from, to, rollout } | Self::HandOver { name, from, to, rollout } => {
                Self::Replace { name, from: to, to: from, rollout }
            }
            Self::Prepare { name, from, to } => Self::Discard { name, from, to },
            Self::Discard { name, from, to } => Self::Prepare { name, from, to },
        }
    }

    /// The steps that take these back: the undo of each, the last one first.
    pub fn undo_of(steps: &[Self]) -> Vec<Self> {
        steps.iter().rev().map(Self::undo).collect()
    }

    /// Whether the service loses what it has in its state: its generation that works is stopped.
    pub fn loses_state(&self) -> bool {
        match self {
            Self::Stop { .. } | Self::HandOver { .. } => true,
            Self::Replace { rollout, .. } => !matches!(rollout, Rollout::Nothing | Rollout::Reload),
            Self::Start { .. } | Self::Prepare { .. } | Self::Discard { .. } => false,
        }
    }
}

impl fmt::Display for Rollout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nothing => "nothing",
            Self::Reload => "reload",
            Self::DrainFirst { .. } => "drain first",
            Self::BlueGreen { .. } => "blue-green",
        })
    }
}

impl fmt::Display for ServiceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { name, generation } => write!(f, "start {name}#{generation}"),
            Self::Stop { name, generation } => write!(f, "stop {name}#{generation}"),
            Self::Replace { name, from, to, rollout } => write!(f, "replace {name}#{from} by #{to}, {rollout}"),
            Self::Prepare { name, from, to } => write!(f, "prepare {name}#{to} beside #{from}"),
            Self::Discard { name, from, to } => write!(f, "discard {name}#{to} beside #{from}"),
            Self::HandOver { name, from, to, .. } => write!(f, "hand {name} over from #{from} to #{to}"),
        }
    }
}

/// A duration as a whole number of milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
