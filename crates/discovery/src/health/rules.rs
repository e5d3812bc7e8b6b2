//! By which rules the results of a check become a status.

use std::time::Duration;

use super::status::CheckRole;

/// The longest time of a rule, a year: a later one could be more than a clock can count.
const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long a result counts unless the rules, or the interval of the check, say otherwise.
const EXPIRES_AFTER: Duration = Duration::from_secs(30);

/// By which rules the results of a check become a status.
///
/// | | default |
/// |---|---|
/// | [`role`](Self::role) | [`CheckRole::Readiness`] |
/// | [`rise`](Self::rise), [`fall`](Self::fall) | 2, 3 |
/// | [`grace`](Self::grace) | none |
/// | [`expires_after`](Self::expires_after) | 30 s; of an [`InstanceCheck`](crate::InstanceCheck) five intervals and its time limit |
///
/// A time beyond a year is a year.
/// More than 6 changes within 21 results are flapping, which ends with 10 like results in a row.
///
/// ```
/// use std::time::Duration;
/// use foundation_discovery::health::{CheckRules, CheckState, InstanceStatus};
/// use foundation_kernel::supervision::Health;
/// use tokio::time::Instant;
///
/// let (rules, began) = (CheckRules::new().fall(2), Instant::now());
/// let mut state = CheckState::new(began);
/// assert_eq!(state.health(&rules, began).status, InstanceStatus::Unknown);
///
/// state.record(&rules, Health::Healthy, began);
/// state.record(&rules, Health::Failed("no disk".to_owned()), began);
/// assert_eq!(state.health(&rules, began).status, InstanceStatus::Healthy);
/// state.record(&rules, Health::Failed("no disk".to_owned()), began);
/// assert_eq!(state.health(&rules, began).to_string(), "unhealthy: failed: no disk (2 in a row)");
///
/// let later = began + Duration::from_secs(31);
/// assert_eq!(state.health(&rules, later).to_string(), "unhealthy: no result for 31s");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRules {
    role: CheckRole,
    pub(super) rise: u32,
    pub(super) fall: u32,
    pub(super) grace: Duration,
    /// `None` for the default.
    expires_after: Option<Duration>,
}

impl Default for CheckRules {
    fn default() -> Self {
        Self { role: CheckRole::default(), rise: 2, fall: 3, grace: Duration::ZERO, expires_after: None }
    }
}

impl CheckRules {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What its result is for.
    pub fn role(self, role: CheckRole) -> Self {
        Self { role, ..self }
    }

    /// How many successes in a row make an unhealthy instance healthy; at least 1.
    pub fn rise(self, successes: u32) -> Self {
        Self { rise: successes.max(1), ..self }
    }

    /// How many failures in a row make an instance unhealthy; at least 1.
    pub fn fall(self, failures: u32) -> Self {
        Self { fall: failures.max(1), ..self }
    }

    /// How long from its beginning failures do not count, unless there has been a success.
    pub fn grace(self, time: Duration) -> Self {
        Self { grace: time.min(MAX_TIME), ..self }
    }

    /// How long a result counts.
    ///
    /// By default five intervals of the check and its time limit. While a check fails, its interval is up to three times as
    /// long, and half of that longer by the largest jitter: a shorter time would call a result old that is only late.
    pub fn expires_after(self, time: Duration) -> Self {
        Self { expires_after: Some(time.min(MAX_TIME)), ..self }
    }

    /// The same, unless the rules say already how long.
    pub(crate) fn or_expires_after(self, time: Duration) -> Self {
        Self { expires_after: self.expires_after.or(Some(time.min(MAX_TIME))), ..self }
    }

    /// How long a result counts.
    pub(super) fn expiry(&self) -> Duration {
        self.expires_after.unwrap_or(EXPIRES_AFTER)
    }

    /// What its result is for, as set.
    pub fn check_role(&self) -> CheckRole {
        self.role
    }

    /// How many failures in a row there were beyond those that make an instance unhealthy: 1 for the one that does.
    pub(crate) fn failures_beyond(&self, failures: u32) -> u32 {
        failures.saturating_add(1).saturating_sub(self.fall)
    }
}
