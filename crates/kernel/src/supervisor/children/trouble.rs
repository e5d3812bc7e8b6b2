//! The health of a child that is down, or that fails again and again: a function of the facts of its supervisor, and of
//! what counts as a steady life.
//!
//! 1. A run of failures goes back to the latest failure before which the child had a steady life, or to the first one.
//! 2. The caller decides what counts as steady. So all failures are kept that could be the first of a run: each came
//!    after a longer life than all that follow.
//! 3. There are never more than [`MAX_KEPT`]; beyond that a run may seem to go back to an earlier failure.
//! 4. A child that does not run is judged by how long it has not: a fact of its supervisor, by the supervisor's clock.
//!    So the frequency of checks does not matter.
//! 5. A child that fails again before it has been up for a grace has been failing since the first of these failures: so
//!    a crash loop shows, however short its pauses are.

use std::time::Duration;

use tokio::time::Instant;

use crate::exit::ExitReason;
use crate::health::Health;
use crate::supervisor::info::ChildState;

/// The most failures kept. Reaching it takes lives that get ever shorter; then one in the middle of a long run is
/// dropped.
const MAX_KEPT: usize = 16;

/// The failures of one child that could be the first of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trouble {
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
struct Run {
    since: Instant,
    failures: u32,
}

impl Trouble {
    /// Notes that the child has failed now, after such a life.
    pub(super) fn failed(&mut self, at: Instant, lived: Duration) {
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
    pub(super) fn spared(&mut self, lived: Duration) {
        self.spared = self.spared.max(Some(lived));
    }

    /// The latest run, if a life of `steady` ends one.
    fn run(&self, steady: Duration) -> Option<Run> {
        if self.spared.is_some_and(|lived| lived >= steady) {
            return None;
        }
        let first = self.kept.iter().rfind(|failed| failed.lived >= steady)?;
        Some(Run { since: first.at, failures: self.failures.saturating_sub(first.earlier) })
    }

    /// The health of the child by this grace, as far as its supervisor knows it: its health if that needs no check of
    /// its own, which needs it to run, and its health if it fails again and again.
    ///
    /// `for_long` is how long it has been in this state, or at least not running, `last_exit` why its latest life
    /// ended.
    pub(super) fn judge(
        &self,
        state: ChildState,
        for_long: Option<Duration>,
        last_exit: Option<&ExitReason>,
        grace: Duration,
        now: Instant,
    ) -> (Option<Health>, Option<Health>) {
        let unsteady = self.unsteady(state, for_long, last_exit, grace, now);
        let down = down(state, for_long, last_exit, grace);
        let known = down.map(|down| if down.is_healthy() { unsteady.clone().unwrap_or(down) } else { down });
        (known, unsteady)
    }

    /// Its health if it fails again and again, each time before it has been up for a grace.
    fn unsteady(
        &self,
        state: ChildState,
        for_long: Option<Duration>,
        last_exit: Option<&ExitReason>,
        grace: Duration,
        now: Instant,
    ) -> Option<Health> {
        let run = self.run(grace)?;
        let is_steady = matches!(state, ChildState::Running(_)) && for_long.is_none_or(|up| up >= grace);
        let lasts = now.saturating_duration_since(run.since);
        if run.failures < 2 || is_steady || lasts < grace {
            return None;
        }
        let (failures, lasts, exit) = (run.failures, lasts.as_secs_f64(), in_words(last_exit));
        Some(Health::Degraded(format!("failed {failures} times within {lasts:.1}s{exit}")))
    }
}

/// The health of a child if it does not run: a restart has some grace.
fn down(
    state: ChildState,
    for_long: Option<Duration>,
    last_exit: Option<&ExitReason>,
    grace: Duration,
) -> Option<Health> {
    let said = match state {
        ChildState::Running(_) => return None,
        ChildState::Starting => "starting",
        ChildState::Restarting => "restarting",
        ChildState::NameTaken => "waiting for its name",
        ChildState::Stopping => "stopping",
        ChildState::Stopped => "stopped",
    };
    if state != ChildState::Stopped && for_long.is_some_and(|for_long| for_long < grace) {
        return Some(Health::Healthy);
    }
    let for_long = for_long.map(|for_long| format!(" for {:.1}s", for_long.as_secs_f64())).unwrap_or_default();
    Some(Health::Down(format!("{said}{for_long}{}", in_words(last_exit))))
}

fn in_words(last_exit: Option<&ExitReason>) -> String {
    last_exit.map(|exit| format!("; last exit: {exit}")).unwrap_or_default()
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

    const GRACE: Duration = Duration::from_secs(1);

    fn down(state: ChildState, for_long: Option<Duration>) -> Option<Health> {
        Trouble::default().judge(state, for_long, Some(&ExitReason::Killed), GRACE, Instant::now()).0
    }

    /// A child that was up this long before each of this many failures, a tenth of a second apart, and is up now for as
    /// long.
    fn looping(failures: u32, up: Duration) -> Option<Health> {
        let (mut trouble, mut now) = (Trouble::default(), Instant::now());
        for _ in 0..failures {
            now += up;
            trouble.failed(now, up);
            now += Duration::from_millis(100);
        }
        let state = ChildState::Running(ractor::ActorId::Local(1));
        trouble.judge(state, Some(up), Some(&ExitReason::Killed), GRACE, now + up).1
    }

    #[test]
    fn a_crash_loop_within_the_grace_is_degraded_and_failures_with_a_steady_life_in_between_are_none() {
        let short = Duration::from_millis(400);
        let degraded = looping(3, short).unwrap();
        assert_eq!(degraded.to_string(), "degraded: failed 3 times within 1.5s; last exit: killed");
        assert_eq!(looping(1, short), None, "it has come back within its grace");
        assert_eq!(looping(2, short / 2), None, "this is not going on for a grace");
        assert_eq!(looping(9, GRACE), None, "it was steady before each failure");
    }

    proptest! {
        #[test]
        fn a_child_that_restarts_is_healthy_for_the_grace_and_then_down(millis in 0u64..10_000) {
            let health = down(ChildState::Restarting, Some(Duration::from_millis(millis))).unwrap();
            prop_assert_eq!(health.is_healthy(), millis < 1_000);
        }

        #[test]
        fn a_child_that_stopped_for_good_is_down_at_once(millis in 0u64..10_000) {
            let health = down(ChildState::Stopped, Some(Duration::from_millis(millis))).unwrap();
            prop_assert!(!health.is_healthy());
        }
    }

    #[test]
    fn a_child_that_is_down_is_reported_with_duration_and_cause() {
        let health = down(ChildState::Restarting, Some(Duration::from_millis(3_210))).unwrap();
        assert_eq!(health.to_string(), "down: restarting for 3.2s; last exit: killed");
        assert_eq!(down(ChildState::Running(ractor::ActorId::Local(1)), None), None);
    }
}
