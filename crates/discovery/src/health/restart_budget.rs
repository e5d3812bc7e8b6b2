//! How many instances of a service are restarted because their liveness checks fail.
//!
//! # Invariants
//!
//! 1. Within any window, at most as many instances are restarted as the budget allows for those that there are.
//! 2. One may always be, if no other was.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// The largest window, a day.
const MAX_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// How many instances of one service may be restarted by [liveness](super::CheckRole::Liveness) checks within a time: a share
/// of them, and one at least.
///
/// A liveness check that fails everywhere, because of what all instances need, would restart all of them. Kubernetes does
/// ([#66230](https://github.com/kubernetes/kubernetes/issues/66230)).
///
/// | | default |
/// |---|---|
/// | [`share`](Self::share) | 0.2 |
/// | [`window`](Self::window) | 1 min |
///
/// ```
/// use foundation_discovery::health::{RestartBudget, Restarts};
/// use tokio::time::Instant;
///
/// let (budget, mut restarts, now) = (RestartBudget::new(), Restarts::default(), Instant::now());
/// assert_eq!(budget.limit(12), 2);
/// assert!(restarts.ask(&budget, 12, now).is_ok() && restarts.ask(&budget, 12, now).is_ok());
/// assert_eq!(restarts.ask(&budget, 12, now).unwrap_err().restarted, 2);
/// assert!(restarts.ask(&budget, 12, now + budget.length()).is_ok());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RestartBudget {
    share: f64,
    window: Duration,
}

impl Default for RestartBudget {
    fn default() -> Self {
        Self { share: 0.2, window: Duration::from_secs(60) }
    }
}

impl RestartBudget {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which share of the instances: 0 to 1; what is no number is 0.
    pub fn share(self, share: f64) -> Self {
        Self { share: if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }, ..self }
    }

    /// Within which time: a second at least, a day at most.
    pub fn window(self, window: Duration) -> Self {
        Self { window: window.clamp(Duration::from_secs(1), MAX_WINDOW), ..self }
    }

    /// The time, as set.
    pub fn length(&self) -> Duration {
        self.window
    }

    /// How many of so many instances may be restarted within the window: 1 at least.
    pub fn limit(&self, instances: usize) -> usize {
        ((instances as f64 * self.share) as usize).max(1)
    }
}

/// An instance is not restarted: as many of its service were as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RestartWithheld {
    /// How many were restarted within the window.
    pub restarted: usize,
    /// How many may be.
    pub limit: usize,
}

/// The latest restarts of instances of one service: a pure state, which is given the time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// Asks for the restart of one of so many instances, and counts it if it is granted.
    ///
    /// # Errors
    /// [`RestartWithheld`] says how many were restarted, and how many may be.
    pub fn ask(&mut self, budget: &RestartBudget, instances: usize, now: Instant) -> Result<(), RestartWithheld> {
        self.forget(budget, now);
        let (restarted, limit) = (self.0.len(), budget.limit(instances));
        if restarted >= limit {
            return Err(RestartWithheld { restarted, limit });
        }
        self.0.push_back(now);
        Ok(())
    }

    /// Forgets those that were before the window; true if none is left.
    pub fn forget(&mut self, budget: &RestartBudget, now: Instant) -> bool {
        self.0.retain(|at| now.saturating_duration_since(*at) < budget.window);
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fifth_may_be_restarted_and_one_at_least() {
        let budget = RestartBudget::new();
        assert_eq!([0, 1, 4, 5, 9, 10, 100].map(|instances| budget.limit(instances)), [1, 1, 1, 1, 1, 2, 20]);
        assert_eq!(budget.share(f64::NAN).limit(100), 1);
    }

    proptest! {
        #[test]
        fn within_any_window_no_more_are_restarted_than_the_largest_limit(
            asked in vec((0..30_u64, 1..40_usize), 1..60), share in 0.0..1.0_f64,
        ) {
            let budget = RestartBudget::new().share(share);
            let (mut restarts, mut now, mut granted) = (Restarts::default(), Instant::now(), Vec::new());
            for (seconds, instances) in asked {
                now += Duration::from_secs(seconds);
                let within = |at: &&Instant| now.duration_since(**at) < budget.length();
                let before = granted.iter().filter(within).count();
                match restarts.ask(&budget, instances, now) {
                    Ok(()) => {
                        prop_assert!(before < budget.limit(instances));
                        granted.push(now);
                    }
                    Err(withheld) => {
                        prop_assert_eq!(withheld, RestartWithheld { restarted: before, limit: budget.limit(instances) });
                        prop_assert!(before > 0);
                    }
                }
            }
        }
    }
}
