//! A child that fails again and again: since when, as a function of what counts as a steady life.
//!
//! 1. A run of failures goes back to the latest failure before which the child had a steady life, or to the first one.
//! 2. The caller decides what counts as steady. So all failures are kept that could be the first of a run: each came
//!    after a longer life than all that follow.
//! 3. There are never more than [`MAX_KEPT`]; beyond that a run may seem to go back to an earlier failure.

use std::time::Duration;

use tokio::time::Instant;

/// The most failures kept. Reaching it takes lives that get ever shorter; then one in the middle of a long run is
/// dropped.
const MAX_KEPT: usize = 16;

/// The failures of one child that could be the first of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trouble {
    failures: u32,
    kept: Vec<Failed>,
    /// The longest life since the last failure that the supervisor ended.
    spared: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failed {
    at: Instant,
    /// The length of the life before.
    lived: Duration,
    /// The number of failures before.
    earlier: u32,
}

/// Failures without a steady life in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) since: Instant,
    pub(crate) failures: u32,
}

impl Trouble {
    /// Notes that the child has failed now, after such a life.
    pub(crate) fn failed(&mut self, at: Instant, lived: Duration) {
        // The first failure begins a run, whatever counts as steady.
        let lived = if self.failures == 0 { Duration::MAX } else { lived.max(self.spared.unwrap_or_default()) };
        self.spared = None;
        self.kept.retain(|earlier| earlier.lived > lived);
        if self.kept.len() == MAX_KEPT {
            self.kept.remove(MAX_KEPT / 2);
        }
        self.kept.push(Failed { at, lived, earlier: self.failures });
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes that the supervisor has ended such a life: the child did not fail.
    pub(crate) fn spared(&mut self, lived: Duration) {
        self.spared = self.spared.max(Some(lived));
    }

    /// The latest run, if a life of `steady` ends one.
    pub(crate) fn run(&self, steady: Duration) -> Option<Run> {
        if self.spared.is_some_and(|lived| lived >= steady) {
            return None;
        }
        let first = self.kept.iter().rfind(|failed| failed.lived >= steady)?;
        Some(Run { since: first.at, failures: self.failures.saturating_sub(first.earlier) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    proptest! {
        /// The model keeps every failure, and goes back from the last one to one before which there was a steady life.
        #[test]
        fn a_run_goes_back_to_the_latest_failure_after_a_steady_life(
            lives in proptest::collection::vec((0u64..12, proptest::bool::weighted(0.8)), 0..80),
            steady in 0u64..14,
        ) {
            let (mut trouble, mut now, mut all, mut spared) = (Trouble::default(), Instant::now(), Vec::new(), None);
            for (lived, failed) in lives {
                now += millis(lived + 1);
                if failed {
                    trouble.failed(now, millis(lived));
                    all.push((now, lived.max(spared.take().unwrap_or(0))));
                } else {
                    trouble.spared(millis(lived));
                    spared = spared.max(Some(lived));
                }
            }
            let first = all.iter().rposition(|(_, lived)| *lived >= steady).unwrap_or(0);
            let latest = all.get(first).map(|(since, _)| Run { since: *since, failures: (all.len() - first) as u32 });
            let expected = latest.filter(|_| spared.is_none_or(|lived| lived < steady));
            prop_assert_eq!(trouble.run(millis(steady)), expected);
            prop_assert!(trouble.kept.len() <= MAX_KEPT);
        }
    }

    #[test]
    fn lives_that_get_ever_shorter_are_kept_up_to_a_bound_and_the_first_of_all_stays() {
        let (mut trouble, begun) = (Trouble::default(), Instant::now());
        (0..1_000).for_each(|n| trouble.failed(begun + millis(n), millis(2_000 - n)));
        assert_eq!(trouble.kept.len(), MAX_KEPT);
        assert_eq!(trouble.run(millis(5_000)), Some(Run { since: begun, failures: 1_000 }));
    }
}
