//! The status that an operator has set.

use std::time::Duration;

use foundation_kernel::text::shortened_to;
use tokio::time::Instant;

use super::status::{InstanceHealth, InstanceStatus, StatusReason};
use crate::limits::MAX_CHECK_TEXT;

/// The longest time to live, a year.
const MAX_TTL: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A status that an operator has set, whatever the checks of the instance find: for ever, or for a time.
///
/// The idea is Eureka's status override.
///
/// ```
/// use std::time::Duration;
/// use foundation_discovery::health::{InstanceStatus, StatusOverride};
/// use tokio::time::Instant;
///
/// let now = Instant::now();
/// let maintenance = StatusOverride::new(InstanceStatus::Unhealthy, "a new disk", Some(Duration::from_secs(60)), now);
/// assert_eq!(maintenance.health().to_string(), "unhealthy: set by an operator: a new disk");
/// assert!(maintenance.is_in_force(now) && !maintenance.is_in_force(now + Duration::from_secs(61)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusOverride {
    status: InstanceStatus,
    reason: String,
    until: Option<Instant>,
}

impl StatusOverride {
    /// Sets this status from now on, for `ttl`, a year at most, or without an end. Of a longer reason the first
    /// [`MAX_CHECK_TEXT`] bytes are kept.
    pub fn new(status: InstanceStatus, reason: &str, ttl: Option<Duration>, now: Instant) -> Self {
        let until = ttl.map(|ttl| now + ttl.min(MAX_TTL));
        Self { status, reason: shortened_to(reason, MAX_CHECK_TEXT), until }
    }

    /// When it ends.
    pub fn ends_at(&self) -> Option<Instant> {
        self.until
    }

    /// Whether it counts at this time.
    pub fn is_in_force(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now <= until)
    }

    /// The health that it gives an instance.
    pub fn health(&self) -> InstanceHealth {
        InstanceHealth::because(self.status, StatusReason::Override { reason: self.reason.clone() })
    }
}
