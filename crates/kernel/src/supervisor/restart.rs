//! The rules of restarting, as functions of values: which exits require a restart, which siblings restart with the
//! failed child, and how many restarts are too many.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::error::SpecError;
use crate::exit::ExitReason;

/// When a child is started again after it ended. OTP's `restart`.
///
/// | | normal, shutdown | killed, failed |
/// |---|---|---|
/// | `Permanent` | restarted | restarted |
/// | `Transient` | not restarted, spec kept | restarted |
/// | `Temporary` | not restarted, spec dropped | not restarted, spec dropped |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Only after an abnormal end: it was killed, it panicked, or it returned an error.
    Transient,
    /// Never, not even when a strategy stops it on behalf of a sibling.
    Temporary,
}

impl Restart {
    /// Whether an end with this reason requires a restart.
    pub const fn wants(self, reason: &ExitReason) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => reason.is_abnormal(),
            Self::Temporary => false,
        }
    }
}

/// Which children are restarted with a failed child. OTP's `strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Strategy {
    /// No other child.
    #[default]
    OneForOne,
    /// Every child: all are stopped in reverse start order, then all are started in start order.
    OneForAll,
    /// The children that were started after it.
    RestForOne,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OneForOne => "one-for-one",
            Self::OneForAll => "one-for-all",
            Self::RestForOne => "rest-for-one",
        })
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Temporary => "temporary",
        })
    }
}

impl Serialize for Strategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Restart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The most restarts that a supervisor makes within a time before it gives up; the default is 3 in 5 s, as Elixir's.
///
/// A supervisor that gives up stops its children in order and itself with the reason `shutdown`, so that the
/// supervisor above it takes the next decision.
///
/// ```
/// use std::time::Duration;
/// use foundation_kernel::RestartIntensity;
///
/// let intensity = RestartIntensity::default();
/// assert_eq!((intensity.max_restarts, intensity.within), (3, Duration::from_secs(5)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RestartIntensity {
    /// The most restarts within the time; one more is too many. 0 means that none is made.
    pub max_restarts: u32,
    /// The length of the sliding window; zero is refused when the supervisor starts. In JSON `within_ms`.
    #[serde(rename = "within_ms", serialize_with = "crate::written::millis")]
    pub within: Duration,
}

impl RestartIntensity {
    /// Refuses an invalid intensity.
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        match self.within.is_zero() {
            true => Err(SpecError::ZeroPeriod { max_restarts: self.max_restarts }),
            false => Ok(()),
        }
    }

    /// Any number of restarts, for a child that must never make its supervisor give up. Give such a child a
    /// [backoff](crate::ChildSpec::backoff).
    pub const UNLIMITED: Self = Self::new(u32::MAX, Duration::from_secs(5));

    /// At most `max_restarts` restarts `within` this time.
    pub const fn new(max_restarts: u32, within: Duration) -> Self {
        Self { max_restarts, within }
    }
}

impl Default for RestartIntensity {
    fn default() -> Self {
        Self::new(3, Duration::from_secs(5))
    }
}

impl fmt::Display for RestartIntensity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.max_restarts == u32::MAX {
            return f.write_str("any number of restarts");
        }
        let restarts = if self.max_restarts == 1 { "restart" } else { "restarts" };
        write!(f, "{} {restarts} within {:?}", self.max_restarts, self.within)
    }
}

/// The restarts of the last `within`: Erlang's `add_restart`.
#[derive(Debug)]
pub(crate) struct RestartWindow {
    intensity: RestartIntensity,
    recent: VecDeque<Instant>,
}

impl RestartWindow {
    pub(crate) fn new(intensity: RestartIntensity) -> Self {
        Self { intensity, recent: VecDeque::new() }
    }

    pub(crate) fn intensity(&self) -> RestartIntensity {
        self.intensity
    }

    /// Changes the limit; the restarts so far count.
    pub(crate) fn change(&mut self, intensity: RestartIntensity) {
        self.intensity = intensity;
    }

    /// How many restarts of the last `within` there are at `now`.
    pub(crate) fn used(&self, now: Instant) -> u32 {
        // They are in order: time does not run backwards.
        let over = self.recent.partition_point(|then| self.is_over(*then, now));
        u32::try_from(self.recent.len() - over).unwrap_or(u32::MAX)
    }

    fn is_over(&self, then: Instant, now: Instant) -> bool {
        now.saturating_duration_since(then) > self.intensity.within
    }

    /// Counts a restart at `now`; false if it is one too many.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        while self.recent.front().is_some_and(|then| self.is_over(*then, now)) {
            self.recent.pop_front();
        }
        let admitted = self.recent.len() < self.intensity.max_restarts as usize;
        if admitted {
            self.recent.push_back(now);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_restart_at_the_very_end_of_the_window_still_counts() {
        let start = Instant::now();
        let mut window = RestartWindow::new(RestartIntensity::new(1, Duration::from_secs(5)));
        assert!(window.admit(start));
        assert!(!window.admit(start + Duration::from_secs(5)));
        assert!(window.admit(start + Duration::from_millis(5_001)));
    }

    proptest! {
        /// The model keeps every admitted restart and counts those not older than the window.
        #[test]
        fn the_window_agrees_with_counting_all_restarts(
            max in 0u32..5,
            within in 1u64..50,
            gaps in proptest::collection::vec(0u64..30, 0..60),
        ) {
            let start = Instant::now();
            let mut window = RestartWindow::new(RestartIntensity::new(max, Duration::from_millis(within)));
            let (mut now, mut admitted) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                let recent = admitted.iter().filter(|then| now - **then <= within).count();
                let expected = recent < max as usize;
                if expected {
                    admitted.push(now);
                }
                prop_assert_eq!(window.admit(start + Duration::from_millis(now)), expected);
            }
        }
    }
}
