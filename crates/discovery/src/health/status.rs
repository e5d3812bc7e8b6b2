//! The status of an instance, with its reason.

use std::fmt;
use std::time::Duration;

use foundation_kernel::supervision::Health;
use serde::Serialize;

/// Whether an instance is to be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InstanceStatus {
    /// All its checks succeed.
    Healthy,
    /// Nothing is known of it: it has no check, or none has had a result yet. It is in rotation, as in Kubernetes
    /// without a probe.
    Unknown,
    /// It works, but not in full, or its checks flap. It is in rotation.
    Degraded,
    /// A check fails, or has had no result for too long. It is out of rotation.
    Unhealthy,
    /// It is about to leave, by its own word. It is out of rotation.
    Draining,
}

impl InstanceStatus {
    /// Whether it is chosen for new work.
    pub const fn is_in_rotation(self) -> bool {
        matches!(self, Self::Healthy | Self::Unknown | Self::Degraded)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for InstanceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the result of a check is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CheckRole {
    /// An instance whose check fails is out of rotation.
    #[default]
    Readiness,
    /// An instance whose check fails is out of rotation, and is restarted, as far as the
    /// [budget](super::RestartBudget) allows. For a check of the instance alone: one that asks a database fails everywhere when
    /// the database does.
    Liveness,
    /// An instance whose check fails is degraded, no more.
    Advisory,
}

/// Why an instance is not healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StatusReason {
    /// What its check found.
    Check {
        /// The last result.
        health: Health,
        /// How many results in a row were like it.
        in_a_row: u32,
    },
    /// The last result of a check is too old.
    Stale {
        /// How old it is, or how long the first one is awaited.
        #[serde(rename = "age_ms", serialize_with = "foundation_kernel::written::millis")]
        age: Duration,
    },
    /// Its results change too often.
    Flapping {
        /// How many of the last 21 results differ from the one before.
        changes: u32,
    },
    /// Its lease was not renewed when it should have been.
    LeaseSuspect {
        /// The time since the last renewal.
        #[serde(rename = "silent_for_ms", serialize_with = "foundation_kernel::written::millis")]
        silent_for: Duration,
    },
    /// Its lease has run out, and is kept since too many others have.
    LeaseKept {
        /// The time since the last renewal.
        #[serde(rename = "silent_for_ms", serialize_with = "foundation_kernel::written::millis")]
        silent_for: Duration,
    },
    /// Its [liveness](CheckRole::Liveness) check fails, and it is not restarted: enough instances of its service were.
    RestartWithheld {
        /// The last result.
        health: Health,
        /// How many results in a row were like it.
        in_a_row: u32,
        /// How many instances of its service were restarted lately.
        restarted: usize,
        /// How many may be.
        limit: usize,
    },
    /// Its [liveness](CheckRole::Liveness) check fails, and its restart has begun.
    Restarting {
        /// The last result.
        health: Health,
        /// How many results in a row were like it.
        in_a_row: u32,
    },
    /// An operator has set its status.
    Override {
        /// Why, in the operator's words.
        reason: String,
    },
    /// Its status follows from its checks, of which one is not run, since it has as many as it may have.
    TooManyChecks {
        /// The check that is not run.
        check: String,
        /// How many checks it may have.
        limit: usize,
    },
}

impl fmt::Display for StatusReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check { health, in_a_row } => write!(f, "{}", found(health, *in_a_row)),
            Self::Stale { age } => write!(f, "no result for {age:?}"),
            Self::Flapping { changes } => write!(f, "flapping: {changes} changes in its last results"),
            Self::LeaseSuspect { silent_for } => write!(f, "its lease was not renewed for {silent_for:?}"),
            Self::LeaseKept { silent_for } => {
                write!(f, "its lease has run out, not renewed for {silent_for:?}, and is kept with many others")
            }
            Self::RestartWithheld { health, in_a_row, restarted, limit } => {
                let found = found(health, *in_a_row);
                write!(f, "{found}; not restarted: {restarted} of its service were lately, {limit} may be")
            }
            Self::Restarting { health, in_a_row } => write!(f, "{}; its restart has begun", found(health, *in_a_row)),
            Self::Override { reason } => write!(f, "set by an operator: {reason}"),
            Self::TooManyChecks { check, limit } => {
                write!(f, "its check {check:?} is not run: it has {limit} checks, as many as it may have")
            }
        }
    }
}

fn found(health: &Health, in_a_row: u32) -> String {
    if in_a_row < 2 { health.to_string() } else { format!("{health} ({in_a_row} in a row)") }
}

/// The status of an instance, with the reason: always if it is not healthy.
///
/// A change of the reason alone, such as the text of an error, is no change of the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InstanceHealth {
    /// The status.
    pub status: InstanceStatus,
    /// Why.
    pub reason: Option<StatusReason>,
}

impl InstanceHealth {
    /// The health of an instance without checks.
    pub const UNKNOWN: Self = Self { status: InstanceStatus::Unknown, reason: None };

    /// A status without a reason.
    pub const fn new(status: InstanceStatus) -> Self {
        Self { status, reason: None }
    }

    /// A status with its reason.
    pub const fn because(status: InstanceStatus, reason: StatusReason) -> Self {
        Self { status, reason: Some(reason) }
    }

    /// The health of an instance from those of its checks: the worst, where an unhealthy
    /// [advisory](CheckRole::Advisory) check only degrades. A draining instance is draining whatever its checks say.
    pub fn combined(checks: impl IntoIterator<Item = (CheckRole, Self)>, draining: bool) -> Self {
        if draining {
            return Self::new(InstanceStatus::Draining);
        }
        let counted = checks.into_iter().map(|(role, health)| match role {
            CheckRole::Advisory => Self { status: health.status.min(InstanceStatus::Degraded), ..health },
            CheckRole::Readiness | CheckRole::Liveness => health,
        });
        // The first of the worst.
        let worse = |worst: Self, next: Self| if next.status > worst.status { next } else { worst };
        counted.reduce(worse).unwrap_or(Self::UNKNOWN)
    }
}

impl Default for InstanceHealth {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl fmt::Display for InstanceHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{}: {reason}", self.status),
            None => self.status.fmt(f),
        }
    }
}

/// How many instances have which status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StatusCounts {
    /// How many are healthy.
    pub healthy: usize,
    /// Of how many nothing is known.
    pub unknown: usize,
    /// How many are degraded.
    pub degraded: usize,
    /// How many are unhealthy.
    pub unhealthy: usize,
    /// How many are about to leave.
    pub draining: usize,
}

impl StatusCounts {
    /// Counts one more.
    pub fn add(&mut self, status: InstanceStatus) {
        let count = match status {
            InstanceStatus::Healthy => &mut self.healthy,
            InstanceStatus::Unknown => &mut self.unknown,
            InstanceStatus::Degraded => &mut self.degraded,
            InstanceStatus::Unhealthy => &mut self.unhealthy,
            InstanceStatus::Draining => &mut self.draining,
        };
        *count += 1;
    }

    /// How many have this status.
    pub fn of(&self, status: InstanceStatus) -> usize {
        match status {
            InstanceStatus::Healthy => self.healthy,
            InstanceStatus::Unknown => self.unknown,
            InstanceStatus::Degraded => self.degraded,
            InstanceStatus::Unhealthy => self.unhealthy,
            InstanceStatus::Draining => self.draining,
        }
    }

    /// All of them.
    pub fn total(&self) -> usize {
        self.in_rotation() + self.unhealthy + self.draining
    }

    /// Those that are chosen for new work.
    pub fn in_rotation(&self) -> usize {
        self.healthy + self.unknown + self.degraded
    }

    /// Each status that occurs, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (InstanceStatus, usize)> {
        let all = [
            (InstanceStatus::Healthy, self.healthy),
            (InstanceStatus::Unknown, self.unknown),
            (InstanceStatus::Degraded, self.degraded),
            (InstanceStatus::Unhealthy, self.unhealthy),
            (InstanceStatus::Draining, self.draining),
        ];
        all.into_iter().filter(|(_, count)| *count > 0)
    }
}

impl fmt::Display for StatusCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.iter().map(|(status, count)| format!("{count} {status}")).collect();
        f.write_str(&if counts.is_empty() { "none".to_owned() } else { counts.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhealthy() -> InstanceHealth {
        let reason = StatusReason::Check { health: Health::Failed("no disk".to_owned()), in_a_row: 3 };
        InstanceHealth::because(InstanceStatus::Unhealthy, reason)
    }

    #[test]
    fn the_worst_check_decides_and_an_advisory_one_only_degrades() {
        let healthy = InstanceHealth::new(InstanceStatus::Healthy);
        let both = [(CheckRole::Readiness, healthy.clone()), (CheckRole::Readiness, unhealthy())];
        let combined = InstanceHealth::combined(both, false);
        assert_eq!(combined.to_string(), "unhealthy: failed: no disk (3 in a row)");

        let advised = [(CheckRole::Advisory, unhealthy()), (CheckRole::Readiness, healthy)];
        let combined = InstanceHealth::combined(advised, false);
        assert_eq!(combined.to_string(), "degraded: failed: no disk (3 in a row)");
    }

    #[test]
    fn without_a_check_nothing_is_known_and_a_draining_one_is_draining() {
        assert_eq!(InstanceHealth::combined([], false), InstanceHealth::UNKNOWN);
        let draining = InstanceHealth::combined([(CheckRole::Readiness, unhealthy())], true);
        assert_eq!(draining, InstanceHealth::new(InstanceStatus::Draining));
    }

    #[test]
    fn counts_are_written_without_those_that_are_zero() {
        let mut counts = StatusCounts::default();
        assert_eq!(counts.to_string(), "none");
        for status in [InstanceStatus::Unhealthy, InstanceStatus::Healthy, InstanceStatus::Unhealthy] {
            counts.add(status);
        }
        assert_eq!(counts.to_string(), "1 healthy, 2 unhealthy");
        assert_eq!((counts.total(), counts.in_rotation()), (3, 1));
    }
}
