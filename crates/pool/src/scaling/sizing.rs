//! The size of a pool: a pure decision about each tick.
//!
//! 1. A size is within the limits, whatever is needed.
//! 2. The pool grows at the first tick at which more workers have been needed for `up_after`, by all that are missing.
//! 3. It shrinks to the greatest need within `down_after`, never below it, and not before `down_after` has passed once.
//! 4. A difference of less than a tenth changes nothing. Excepted are idle workers, which end down to that greatest need, and
//!    sizes outside of the limits.
//! 5. The history has at most one entry for each size within the limits.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::rules::Scaling;

/// The difference that changes nothing, as a share of the size.
const SLACK: f64 = 0.1;

/// The workers of a pool at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Headcount {
    /// Workers that perform jobs, wait for some or are about to start; without those that block their thread.
    pub(crate) usable: usize,
    /// Workers that have been idle for longer than [`Scaling::idle`].
    pub(crate) idle: usize,
}

/// The history that a decision depends on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sizing {
    /// Needs with the time of their tick. Both the times and, from the back, the needs ascend: an earlier need that is not
    /// greater than a later one never matters again.
    needs: VecDeque<(Duration, usize)>,
    first_tick: Option<Duration>,
    /// Since when more workers have been needed than there are.
    short_since: Option<Duration>,
}

impl Sizing {
    /// The size that a pool should have now. `now` is the time since any fixed moment, and ascends.
    pub(crate) fn decide(
        &mut self,
        rules: &Scaling,
        limits: &RangeInclusive<usize>,
        headcount: Headcount,
        needed: f64,
        now: Duration,
    ) -> usize {
        let within = |size: usize| size.max(*limits.start()).min(*limits.end());
        // A float beyond the range of an integer is its end; a number that is none is zero.
        let need = within(needed.ceil() as usize);
        self.note(rules, need, now);
        let size = headcount.usable;
        if within(size) != size {
            return within(size);
        }
        let short = need > size && needed > size as f64 * (1.0 + SLACK);
        match (short, self.short_for(short, now)) {
            (true, Some(time)) if time >= rules.up_after => need,
            (true, _) => size,
            (false, _) => within(self.shrunk(rules, headcount, now)),
        }
    }

    /// The greatest need within the window.
    pub(crate) fn greatest_need(&self) -> usize {
        self.needs.front().map_or(0, |(_, need)| *need)
    }

    fn note(&mut self, rules: &Scaling, need: usize, now: Duration) {
        self.first_tick.get_or_insert(now);
        while self.needs.back().is_some_and(|(_, earlier)| *earlier <= need) {
            self.needs.pop_back();
        }
        self.needs.push_back((now, need));
        while self.needs.front().is_some_and(|(at, _)| now.saturating_sub(*at) > rules.down_after) {
            self.needs.pop_front();
        }
    }

    fn short_for(&mut self, short: bool, now: Duration) -> Option<Duration> {
        self.short_since = short.then(|| self.short_since.unwrap_or(now));
        self.short_since.map(|since| now.saturating_sub(since))
    }

    fn shrunk(&self, rules: &Scaling, headcount: Headcount, now: Duration) -> usize {
        let Headcount { usable, idle } = headcount;
        let seen_enough = self.first_tick.is_some_and(|first| now.saturating_sub(first) >= rules.down_after);
        let greatest = self.greatest_need();
        if !seen_enough || greatest >= usable {
            return usable;
        }
        if greatest as f64 <= usable as f64 * (1.0 - SLACK) {
            greatest
        } else {
            greatest.max(usable - idle.min(usable))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(usable: usize) -> Headcount {
        Headcount { usable, idle: 0 }
    }

    /// The sizes after ticks of a second with these needs, each decision carried out at once.
    fn sizes(rules: Scaling, limits: RangeInclusive<usize>, needs: &[f64]) -> Vec<usize> {
        let mut sizing = Sizing::default();
        let mut size = *limits.start();
        let decide = |(tick, needed): (u32, &f64)| {
            size = sizing.decide(&rules, &limits, at(size), *needed, tick * SECOND);
            size
        };
        (0..).zip(needs).map(decide).collect()
    }

    #[test]
    fn a_pool_grows_at_once_and_shrinks_to_the_greatest_need_of_the_window() {
        let rules = Scaling::default().down_after(3 * SECOND);
        let found = sizes(rules, 2..=10, &[1.0, 7.5, 3.0, 5.0, 3.0, 3.0, 3.0, 3.0, 3.0]);
        assert_eq!(found, [2, 8, 8, 8, 8, 5, 5, 3, 3]);
    }

    #[test]
    fn a_pool_that_grows_after_a_delay_ignores_a_shorter_need() {
        let rules = Scaling::default().up_after(2 * SECOND);
        let found = sizes(rules, 2..=10, &[9.0, 9.0, 1.0, 9.0, 8.0, 6.0, 6.0]);
        assert_eq!(found, [2, 2, 2, 2, 2, 6, 6]);
    }

    #[test]
    fn idle_workers_end_down_to_the_greatest_need_however_small_the_difference() {
        let rules = Scaling::default().down_after(SECOND);
        let mut sizing = Sizing::default();
        let mut decide =
            |idle, tick| sizing.decide(&rules, &(2..=40), Headcount { usable: 20, idle }, 18.5, tick * SECOND);
        assert_eq!((decide(5, 0), decide(0, 1), decide(5, 2)), (20, 20, 19));
    }

    #[test]
    fn a_size_outside_of_new_limits_is_corrected_at_once() {
        let mut sizing = Sizing::default();
        let mut decide = |limits, size| sizing.decide(&Scaling::default(), &limits, at(size), 0.0, SECOND);
        assert_eq!((decide(2..=4, 9), decide(6..=8, 4), decide(0..=0, 1)), (4, 6, 0));
    }

    fn rules() -> impl Strategy<Value = Scaling> {
        let time = || prop_oneof![4 => (0u64..20).prop_map(Duration::from_secs), 1 => Just(Duration::MAX)];
        (time(), time()).prop_map(|(up, down)| Scaling::default().up_after(up).down_after(down))
    }

    fn need() -> impl Strategy<Value = f64> {
        prop_oneof![8 => 0.0f64..50.0, 1 => any::<f64>()]
    }

    proptest! {
        #[test]
        fn a_size_is_within_the_limits_and_the_history_bounded(
            rules in rules(), needs in vec((need(), 0usize..60, 0usize..60), 1..200), min in 0usize..10, more in 0usize..30,
        ) {
            let (limits, mut sizing) = (min..=min + more, Sizing::default());
            for (tick, (need, usable, idle)) in (0..).zip(needs) {
                let size = sizing.decide(&rules, &limits, Headcount { usable, idle }, need, tick * SECOND);
                prop_assert!(limits.contains(&size));
                prop_assert!(sizing.needs.len() <= more + 1, "{:?}", sizing.needs);
            }
        }

        #[test]
        fn a_pool_never_shrinks_below_a_need_within_the_window(rules in rules(), needs in vec(0.0f64..50.0, 1..200)) {
            let found = sizes(rules, 1..=60, &needs);
            for tick in 1..found.len() {
                if found[tick] < found[tick - 1] {
                    let window = (rules.down_after.as_secs() as usize).min(tick);
                    let greatest = needs[tick - window..=tick].iter().copied().fold(0.0, f64::max);
                    prop_assert!(found[tick] as f64 >= greatest, "tick {tick} of {found:?}");
                    prop_assert!(tick as u64 >= rules.down_after.as_secs());
                }
            }
        }

        #[test]
        fn without_a_delay_a_need_is_met_but_for_the_slack(needs in vec(0.0f64..50.0, 1..100)) {
            for (size, need) in sizes(Scaling::default(), 1..=60, &needs).into_iter().zip(&needs) {
                prop_assert!(size as f64 * (1.0 + SLACK) >= *need);
            }
        }

        #[test]
        fn a_steady_need_resizes_once_at_most(need in 0.0f64..50.0, ticks in 1usize..300) {
            let found = sizes(Scaling::default(), 2..=60, &vec![need; ticks]);
            prop_assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:?}");
        }
    }
}
