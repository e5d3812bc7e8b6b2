//! The restarts of the last time, and how many more are admitted.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::supervisor::restart::RestartIntensity;

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
