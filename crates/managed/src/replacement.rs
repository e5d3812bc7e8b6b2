//! The steps that start, stop and replace a service, each with its inverse.
//!
//! # Invariants
//!
//! 1. The inverse of the inverse of a step is the step, and takes back also a step that was not completed.
//! 2. A step can be taken again: what it brings about is there afterwards, however often and however far it was taken.
//! 3. At each point of a blue-green replacement, and of its undo, one generation holds the name and takes messages.

use std::fmt;
use std::time::Duration;

use foundation_kernel::names::ServiceName;
use serde::{Deserialize, Serialize};

/// How long a service may take to finish what it has, unless a strategy says otherwise.
const DEFAULT_WITHIN: Duration = Duration::from_secs(30);

/// How a running service gets a new configuration.
///
/// | | the name | messages | state |
/// |---|---|---|---|
/// | [`Reload`](Self::Reload) | held | none refused | kept |
/// | [`DrainFirst`](Self::DrainFirst) | free for a moment | refused meanwhile | lost |
/// | [`BlueGreen`](Self::BlueGreen) | held by the old or the new one | none refused | lost; two run for a moment |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReplacementStrategy {
    /// Nothing is to be done: the configurations do not differ in what matters to a running service.
    Nothing,
    /// The service takes the configuration while it runs.
    Reload,
    /// The old one finishes what it has and is stopped; then the new one is started.
    DrainFirst {
        /// How long the old one may take to finish.
        #[serde(rename = "within_ms", with = "millis")]
        within: Duration,
    },
    /// The new one is started beside the old one and takes the name over when it is ready; then the old one finishes what
    /// it has and is stopped.
    BlueGreen {
        /// How long the new one may take to be ready.
        #[serde(rename = "ready_within_ms", with = "millis")]
        ready_within: Duration,
        /// How long the old one may take to finish after it.
        #[serde(rename = "overlap_ms", with = "millis")]
        overlap: Duration,
    },
}

impl Default for ReplacementStrategy {
    /// Drain first, within 30 s.
    fn default() -> Self {
        Self::DrainFirst { within: DEFAULT_WITHIN }
    }
}

impl ReplacementStrategy {
    /// The steps that replace one generation of a service by another.
    ///
    /// ```
    /// use std::time::Duration;
    /// use foundation_managed::{ReplacementStrategy, ServiceStep};
    /// use foundation_kernel::names::ServiceName;
    ///
    /// let second = Duration::from_secs(1);
    /// let blue_green = ReplacementStrategy::BlueGreen { ready_within: second, overlap: second };
    /// let steps = blue_green.steps(&ServiceName::new("orders")?, 1, 2);
    /// let texts: Vec<_> = steps.iter().map(ServiceStep::to_string).collect();
    /// assert_eq!(texts, [
    ///     "start orders#2 beside",
    ///     "hand orders over from #1 to #2",
    ///     "drain orders#1",
    ///     "stop orders#1 beside",
    /// ]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn steps(&self, name: &ServiceName, from: u64, to: u64) -> Vec<ServiceStep> {
        let name = || name.clone();
        match *self {
            Self::Nothing => Vec::new(),
            Self::Reload => vec![ServiceStep::Reload { name: name(), from, to }],
            Self::DrainFirst { within } => vec![
                ServiceStep::Drain { name: name(), generation: from, within },
                ServiceStep::Stop { name: name(), generation: from },
                ServiceStep::Start { name: name(), generation: to },
            ],
            Self::BlueGreen { ready_within, overlap } => vec![
                ServiceStep::StartBeside { name: name(), generation: to, ready_within },
                ServiceStep::HandOver { name: name(), from, to },
                ServiceStep::Drain { name: name(), generation: from, within: overlap },
                ServiceStep::StopBeside { name: name(), generation: from, ready_within },
            ],
        }
    }
}

/// One step of a service from one state to another.
///
/// A service runs in generations: each configuration and each restart begins a new one. The steps name them, so that a
/// step that is taken again, or late, finds out whether it is still to be done.
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
    /// Stop the generation that has the name, and wait until it is gone.
    Stop {
        /// The service.
        name: ServiceName,
        /// The generation that is to be gone.
        generation: u64,
    },
    /// Start the generation beside the one that has the name, and wait until it is healthy.
    StartBeside {
        /// The service.
        name: ServiceName,
        /// The generation that is to run.
        generation: u64,
        /// How long it may take to be healthy.
        #[serde(rename = "ready_within_ms", with = "millis")]
        ready_within: Duration,
    },
    /// Stop the generation, which does not have the name, and wait until it is gone.
    StopBeside {
        /// The service.
        name: ServiceName,
        /// The generation that is to be gone.
        generation: u64,
        /// How long it may take to be healthy if it has to be started again.
        #[serde(rename = "ready_within_ms", with = "millis")]
        ready_within: Duration,
    },
    /// Give the name from one running generation to the other at once.
    HandOver {
        /// The service.
        name: ServiceName,
        /// The generation that has the name.
        from: u64,
        /// The generation that gets it.
        to: u64,
    },
    /// Take the generation out of rotation, and wait until it has nothing left to do, or the time is over.
    Drain {
        /// The service.
        name: ServiceName,
        /// The generation that finishes.
        generation: u64,
        /// How long it may take. It is stopped afterwards in any case.
        #[serde(rename = "within_ms", with = "millis")]
        within: Duration,
    },
    /// Take the generation back into rotation, if it runs.
    Resume {
        /// The service.
        name: ServiceName,
        /// The generation that takes work again.
        generation: u64,
        /// How long its drain may take.
        #[serde(rename = "within_ms", with = "millis")]
        within: Duration,
    },
    /// Let the running service take the configuration of another generation.
    Reload {
        /// The service.
        name: ServiceName,
        /// The generation that runs.
        from: u64,
        /// The generation that is to run.
        to: u64,
    },
}

impl ServiceStep {
    /// The service.
    pub fn name(&self) -> &ServiceName {
        match self {
            Self::Start { name, .. }
            | Self::Stop { name, .. }
            | Self::StartBeside { name, .. }
            | Self::StopBeside { name, .. }
            | Self::HandOver { name, .. }
            | Self::Drain { name, .. }
            | Self::Resume { name, .. }
            | Self::Reload { name, .. } => name,
        }
    }

    /// The step that takes this one back, known before it is taken.
    ///
    /// It takes back also a step that was not completed. What a stopped generation had in its state does not come back.
    pub fn inverse(&self) -> Self {
        match self.clone() {
            Self::Start { name, generation } => Self::Stop { name, generation },
            Self::Stop { name, generation } => Self::Start { name, generation },
            Self::StartBeside { name, generation, ready_within } => Self::StopBeside { name, generation, ready_within },
            Self::StopBeside { name, generation, ready_within } => Self::StartBeside { name, generation, ready_within },
            Self::HandOver { name, from, to } => Self::HandOver { name, from: to, to: from },
            Self::Drain { name, generation, within } => Self::Resume { name, generation, within },
            Self::Resume { name, generation, within } => Self::Drain { name, generation, within },
            Self::Reload { name, from, to } => Self::Reload { name, from: to, to: from },
        }
    }

    /// Whether it ends a generation, with what that had in its state.
    pub fn ends_a_generation(&self) -> bool {
        matches!(self, Self::Stop { .. } | Self::StopBeside { .. })
    }
}

impl fmt::Display for ServiceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { name, generation } => write!(f, "start {name}#{generation}"),
            Self::Stop { name, generation } => write!(f, "stop {name}#{generation}"),
            Self::StartBeside { name, generation, .. } => write!(f, "start {name}#{generation} beside"),
            Self::StopBeside { name, generation, .. } => write!(f, "stop {name}#{generation} beside"),
            Self::HandOver { name, from, to } => write!(f, "hand {name} over from #{from} to #{to}"),
            Self::Drain { name, generation, .. } => write!(f, "drain {name}#{generation}"),
            Self::Resume { name, generation, .. } => write!(f, "resume {name}#{generation}"),
            Self::Reload { name, from, to } => write!(f, "reload {name} from #{from} to #{to}"),
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
