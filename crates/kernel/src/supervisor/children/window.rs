//! The restarts and failures that a supervisor remembers.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::supervisor::restart::{Failure, RestartIntensity};

/// The most failures kept to explain why a supervisor gave up. Fixed, since it bounds only a text: all are counted
/// ([`RestartLimitExceeded::count`]), and the restart intensity uses all of them.
const MAX_FAILURES: usize = 16;

/// The restarts of the last `within`: Erlang's `add_restart`.
#[derive(Debug)]
pub(super) struct RestartWindow {
    intensity: RestartIntensity,
    recent: VecDeque<Instant>,
}

impl RestartWindow {
    pub(super) fn new(intensity: RestartIntensity) -> Self {
        Self { intensity, recent: VecDeque::new() }
    }

    pub(super) fn intensity(&self) -> RestartIntensity {
        self.intensity
    }

    /// Changes the limit; the restarts so far count.
    pub(super) fn change(&mut self, intensity: RestartIntensity) {
        self.intensity = intensity;
    }

    /// How many restarts of the last `within` there are at `now`.
    pub(super) fn used(&self, now: Instant) -> u32 {
        // They are in order: time does not run backwards.
        let over = self.recent.partition_point(|then| self.is_over(*then, now));
        u32::try_from(self.recent.len() - over).unwrap_or(u32::MAX)
    }

    fn is_over(&self, then: Instant, now: Instant) -> bool {
        now.saturating_duration_since(then) > self.intensity.within
    }

    /// Counts a restart at `now`; false if it is one too many.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
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

/// The latest failures of a supervisor's children after which it restarted them, or gave up.
#[derive(Debug, Default)]
pub(super) struct Failures(VecDeque<Failure>);

impl Failures {
    pub(super) fn push(&mut self, failure: Failure) {
        if let Some(earlier) = self.0.back_mut() {
            // Only the last failure keeps the chain below it; chains of chains would grow without bound.
            earlier.escalation = None;
        }
        if self.0.len() == MAX_FAILURES {
            self.0.pop_front();
        }
        self.0.push_back(failure);
    }

    /// The latest `count` matching failures, or as many of them as are kept; the oldest first.
    pub(super) fn latest(&self, count: u32, is_meant: impl Fn(&Failure) -> bool) -> Vec<Failure> {
        let mut latest: Vec<_> =
            self.0.iter().rev().filter(|failure| is_meant(failure)).take(count as usize).cloned().collect();
        latest.reverse();
        latest
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::exit::ExitReason;
    use crate::supervisor::restart::{Fault, RestartLimitExceeded, Strategy as Restarting};

    fn failure(child: &str, escalation: Option<RestartLimitExceeded>) -> Failure {
        let reason = if escalation.is_some() { ExitReason::Shutdown("shutdown".into()) } else { ExitReason::Killed };
        Failure::new(child.into(), Fault::Exited(reason), escalation.map(Arc::new))
    }

    fn gave_up(failures: Vec<Failure>, max_restarts: u32) -> RestartLimitExceeded {
        let intensity = RestartIntensity::new(max_restarts, Duration::from_secs(5));
        RestartLimitExceeded { count: failures.len() as u32, failures, strategy: Restarting::OneForOne, intensity }
    }

    #[test]
    fn the_latest_failures_are_remembered_and_only_the_last_leads_to_the_level_below() {
        let mut failures = Failures::default();
        for n in 0..40 {
            failures.push(failure(&n.to_string(), Some(gave_up(vec![failure("below", None)], 0))));
        }
        let ids = |latest: &[Failure]| latest.iter().map(|failure| failure.child.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&failures.latest(2, |_| true)), ["38", "39"]);
        let latest = failures.latest(u32::MAX, |_| true);
        assert_eq!(latest.len(), MAX_FAILURES);
        assert_eq!(latest.iter().filter(|failure| failure.escalation.is_some()).count(), 1);
        assert!(latest.last().unwrap().escalation.is_some());
    }

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
