//! Jobs by priority: each level gets a share of the turns, and jobs that wait count as more urgent in time.
//!
//! 1. Within a level the order is that of the queue: first in, first out.
//! 2. A turn goes to the level whose credit is the highest (smooth weighted round robin). Of the levels that have jobs, each
//!    gets its weight's share of the turns; one without jobs saves up no credit.
//! 3. A level whose first job has waited for `n` times the aging time has the weight of the level `n` above it.
//! 4. Hence no level starves: see the bound in the properties below.

use std::collections::VecDeque;
use std::time::Duration;

/// The highest number of levels.
pub(crate) const MAX_LEVELS: usize = 16;

/// A queue of several levels, of which level 0 is the most urgent.
#[derive(Debug)]
pub(crate) struct Priorities<T> {
    levels: Box<[Level<T>]>,
    aging: Option<Duration>,
    len: usize,
}

#[derive(Debug)]
struct Level<T> {
    weight: u32,
    credit: i64,
    items: VecDeque<T>,
}

impl<T> Priorities<T> {
    /// Empty, with a level for each of the weights, the most urgent first. Weights below 1 are 1, and levels beyond
    /// [`MAX_LEVELS`] are left out; without a weight there is one level.
    pub(crate) fn new(weights: &[u32], aging: Option<Duration>) -> Self {
        let weights = if weights.is_empty() { &[1] } else { &weights[..weights.len().min(MAX_LEVELS)] };
        let level = |weight: &u32| Level { weight: (*weight).max(1), credit: 0, items: VecDeque::new() };
        Self { levels: weights.iter().map(level).collect(), aging: aging.filter(|time| !time.is_zero()), len: 0 }
    }

    /// Empty, with the same levels.
    pub(crate) fn like(&self) -> Self {
        let level = |level: &Level<T>| Level { weight: level.weight, credit: 0, items: VecDeque::new() };
        Self { levels: self.levels.iter().map(level).collect(), aging: self.aging, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many wait at each level.
    pub(crate) fn lens(&self) -> impl Iterator<Item = usize> {
        self.levels.iter().map(|level| level.items.len())
    }

    /// Adds an item at the end of its level; a level beyond the last is the last.
    pub(crate) fn push_back(&mut self, level: usize, item: T) {
        self.level_mut(level).items.push_back(item);
        self.len += 1;
    }

    /// Puts an item back, before all others of its level.
    pub(crate) fn push_front(&mut self, level: usize, item: T) {
        self.level_mut(level).items.push_front(item);
        self.len += 1;
    }

    fn level_mut(&mut self, level: usize) -> &mut Level<T> {
        let last = self.levels.len() - 1;
        &mut self.levels[level.min(last)]
    }

    /// Takes the item whose turn it is. `waited` is asked only if several levels have items.
    #[inline]
    pub(crate) fn pop(&mut self, waited: impl Fn(&T) -> Duration) -> Option<T> {
        let level = self.next_level(waited)?;
        self.pop_from(level)
    }

    /// The first item of each level.
    pub(crate) fn fronts(&self) -> impl Iterator<Item = &T> {
        self.levels.iter().filter_map(|level| level.items.front())
    }

    /// Takes the first item of a level that is like this: what has expired goes without a turn.
    pub(crate) fn pop_front_if(&mut self, is: impl Fn(&T) -> bool) -> Option<T> {
        let level = self.levels.iter().position(|level| level.items.front().is_some_and(&is))?;
        self.pop_from(level)
    }

    /// The oldest item of the least urgent level that has any, with the number of that.
    pub(crate) fn least_urgent(&self) -> Option<(usize, &T)> {
        let mut levels = self.levels.iter().enumerate().rev();
        levels.find_map(|(number, level)| Some((number, level.items.front()?)))
    }

    /// Takes the oldest item of the least urgent level that has any.
    pub(crate) fn pop_least_urgent(&mut self) -> Option<T> {
        let level = self.levels.iter().rposition(|level| !level.items.is_empty())?;
        self.pop_from(level)
    }

    /// Takes all, the most urgent level first.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.len = 0;
        self.levels.iter_mut().flat_map(|level| {
            level.credit = 0;
            level.items.drain(..)
        })
    }

    fn pop_from(&mut self, level: usize) -> Option<T> {
        let level = &mut self.levels[level];
        let item = level.items.pop_front()?;
        self.len -= 1;
        if level.items.is_empty() {
            level.credit = 0;
        }
        Some(item)
    }

    fn next_level(&mut self, waited: impl Fn(&T) -> Duration) -> Option<usize> {
        let mut filled = (0..self.levels.len()).filter(|level| !self.levels[*level].items.is_empty());
        let first = filled.next()?;
        if filled.next().is_none() {
            return Some(first);
        }
        let (mut total, mut next) = (0, first);
        for level in first..self.levels.len() {
            let Some(front) = self.levels[level].items.front() else { continue };
            let weight = self.weight(level, || waited(front));
            total += weight;
            self.levels[level].credit += weight;
            if self.levels[level].credit > self.levels[next].credit {
                next = level;
            }
        }
        self.levels[next].credit -= total;
        Some(next)
    }

    /// The weight of a level whose first item has waited for so long.
    fn weight(&self, level: usize, waited: impl FnOnce() -> Duration) -> i64 {
        let raised = match self.aging {
            Some(aging) if level > 0 => waited().as_nanos() / aging.as_nanos(),
            _ => 0,
        };
        let above = level - usize::try_from(raised).unwrap_or(usize::MAX).min(level);
        i64::from(self.levels[above].weight.max(self.levels[level].weight))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const NO_TIME: fn(&(usize, u32)) -> Duration = |_| Duration::ZERO;
    const WEIGHTS: [u32; 5] = [16, 8, 4, 2, 1];

    fn filled(weights: &[u32], each: u32) -> Priorities<(usize, u32)> {
        let mut queue = Priorities::new(weights, None);
        for level in 0..weights.len() {
            (0..each).for_each(|number| queue.push_back(level, (level, number)));
        }
        queue
    }

    #[test]
    fn levels_get_turns_by_their_weights() {
        let mut queue = filled(&WEIGHTS, 100);
        let mut turns = [0; 5];
        (0..31).for_each(|_| turns[queue.pop(NO_TIME).unwrap().0] += 1);
        assert_eq!(turns, [16, 8, 4, 2, 1]);
    }

    #[test]
    fn a_job_that_has_waited_for_long_counts_as_more_urgent() {
        let share = |waited: u64| {
            let mut queue = Priorities::new(&WEIGHTS, Some(Duration::from_secs(10)));
            (0..200).for_each(|number| queue.push_back(number % 2 * 4, (number % 2 * 4, 0)));
            let waited = move |item: &(usize, u32)| Duration::from_secs(if item.0 == 4 { waited } else { 0 });
            (0..34).filter(|_| queue.pop(waited).unwrap().0 == 4).count()
        };
        assert_eq!((share(0), share(20), share(40), share(10_000)), (2, 7, 17, 17));
    }

    #[test]
    fn what_has_no_meaning_has_a_safe_one() {
        let mut queue = Priorities::new(&[], Some(Duration::ZERO));
        queue.push_back(7, 1);
        assert_eq!((queue.pop(|_| Duration::MAX), queue.lens().count()), (Some(1), 1));
        let mut queue = Priorities::new(&[0; 99], Some(Duration::MAX));
        (0..99).for_each(|level| queue.push_back(level, level));
        assert_eq!((queue.lens().count(), queue.len()), (MAX_LEVELS, 99));
        assert_eq!(std::iter::from_fn(|| queue.pop(|_| Duration::MAX)).count(), 99);
    }

    #[test]
    fn the_least_urgent_level_gives_up_its_oldest() {
        let mut queue = filled(&WEIGHTS, 2);
        let given_up: Vec<_> = std::iter::from_fn(|| queue.pop_least_urgent()).take(3).collect();
        assert_eq!(given_up, [(4, 0), (4, 1), (3, 0)]);
        assert_eq!(queue.pop_front_if(|item| item.0 == 2), Some((2, 0)));
        assert_eq!(queue.pop_front_if(|item| item.1 == 7), None);
        assert_eq!((queue.fronts().count(), queue.len(), queue.drain().count()), (4, 6, 6));
        assert!(queue.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        PutBack,
        Pop,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        vec(prop_oneof![4 => (0usize..6).prop_map(Step::Push), 1 => Just(Step::PutBack), 3 => Just(Step::Pop)], 0..400)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled_and_each_level_keeps_its_order(steps in steps(), weights in vec(0u32..20, 0..6)) {
            let mut queue = Priorities::new(&weights, Some(Duration::from_secs(1)));
            let waited = |item: &(usize, u32)| Duration::from_millis(u64::from(item.1) * 37);
            let (mut next, mut popped, mut waiting) = (vec![0u32; 6], Vec::new(), 0);
            for step in steps {
                match step {
                    Step::Push(level) => {
                        queue.push_back(level, (level, next[level]));
                        next[level] += 1;
                        waiting += 1;
                    }
                    Step::PutBack => if let Some((level, number)) = popped.pop() {
                        queue.push_front(level, (level, number));
                        waiting += 1;
                    },
                    Step::Pop => if let Some(item) = queue.pop(waited) {
                        popped.push(item);
                        waiting -= 1;
                    },
                }
                prop_assert_eq!((queue.len(), queue.lens().sum::<usize>()), (waiting, waiting));
            }
            popped.extend(std::iter::from_fn(|| queue.pop(waited)));
            let mut found = vec![0u32; 6];
            let levels = weights.len().clamp(1, MAX_LEVELS);
            for (level, number) in popped {
                if level < levels - 1 {
                    prop_assert_eq!(number, found[level], "level {} is out of order", level);
                }
                found[level] += 1;
            }
            prop_assert_eq!(found, next);
        }

        #[test]
        fn while_all_levels_have_jobs_each_gets_its_share_of_any_run_of_turns(
            weights in vec(1u32..20, 1..6), turns in 1usize..300,
        ) {
            let mut queue = filled(&weights, turns as u32);
            let total: u32 = weights.iter().sum();
            let mut found = vec![0.0; weights.len()];
            for turn in 1..=turns {
                found[queue.pop(NO_TIME).unwrap().0] += 1.0;
                for (weight, found) in weights.iter().zip(&found) {
                    let share = turn as f64 * f64::from(*weight) / f64::from(total);
                    prop_assert!((found - share).abs() < weights.len() as f64, "{} of {}", found, share);
                }
            }
        }

        #[test]
        fn a_level_is_never_passed_over_for_longer_than_twice_its_share_whatever_comes_to_the_others(
            weights in vec(1u32..20, 2..6), pushes in vec(vec(0usize..6, 0..4), 1..600),
        ) {
            let mut queue = Priorities::new(&weights, None);
            let last = weights.len() - 1;
            let total: u32 = weights.iter().sum();
            let bound = 2 * total.div_ceil(weights[last]) as usize + weights.len();
            (0..600).for_each(|number| queue.push_back(last, (last, number)));
            let mut passed_over = 0;
            for levels in pushes {
                levels.into_iter().filter(|level| *level < last).for_each(|level| queue.push_back(level, (level, 0)));
                passed_over = if queue.pop(NO_TIME).unwrap().0 == last { 0 } else { passed_over + 1 };
                prop_assert!(passed_over <= bound, "{} of {}", passed_over, bound);
            }
        }
    }
}
