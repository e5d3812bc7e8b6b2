//! Jobs by priority: each level gets a share of the turns, and jobs that wait count as more urgent in time.
//!
//! 1. Within a level the order is that of the queue: first in, first out.
//! 2. A turn goes to the level whose credit is the highest (smooth weighted round robin). Of the levels that have jobs, each
//!    gets its weight's share of the turns; one without jobs saves up no credit.
//! 3. A level whose first job has waited for `n` times the aging time has the weight of the level `n` above it.
//! 4. Hence no level starves: see the bound in the properties below.

use std::time::Duration;

use crate::slab::{Chain, Slab, SlabIndex};

/// The highest number of levels.
pub(crate) const MAX_LEVELS: usize = 16;

/// A queue of several levels, of which level 0 is the most urgent. The items are in a slab, which is the same for each call.
#[derive(Debug)]
pub(crate) struct Priorities {
    levels: Box<[Level]>,
    aging: Option<Duration>,
    len: usize,
}

#[derive(Debug)]
struct Level {
    weight: u32,
    credit: i64,
    items: Chain,
}

impl Priorities {
    /// Empty, with a level for each of the weights, the most urgent first. Weights below 1 are 1, and levels beyond
    /// [`MAX_LEVELS`] are left out; without a weight there is one level.
    pub(crate) fn new(weights: &[u32], aging: Option<Duration>) -> Self {
        let weights = if weights.is_empty() { &[1] } else { &weights[..weights.len().min(MAX_LEVELS)] };
        let level = |weight: &u32| Level { weight: (*weight).max(1), credit: 0, items: Chain::default() };
        Self { levels: weights.iter().map(level).collect(), aging: aging.filter(|time| !time.is_zero()), len: 0 }
    }

    /// Empty, with the same levels.
    pub(crate) fn like(&self) -> Self {
        let level = |level: &Level| Level { weight: level.weight, credit: 0, items: Chain::default() };
        Self { levels: self.levels.iter().map(level).collect(), aging: self.aging, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many levels there are.
    pub(crate) fn levels(&self) -> usize {
        self.levels.len()
    }

    /// Adds an item at the end of its level; a level beyond the last is the last.
    pub(crate) fn push_back<T>(&mut self, slab: &mut Slab<T>, level: usize, item: SlabIndex) {
        self.level_mut(level).items.push_back(slab, item);
        self.len += 1;
    }

    /// Puts an item back, before all others of its level.
    pub(crate) fn push_front<T>(&mut self, slab: &mut Slab<T>, level: usize, item: SlabIndex) {
        self.level_mut(level).items.push_front(slab, item);
        self.len += 1;
    }

    fn level_mut(&mut self, level: usize) -> &mut Level {
        let last = self.levels.len() - 1;
        &mut self.levels[level.min(last)]
    }

    /// Takes the item whose turn it is. `waited` is asked only if several levels have items.
    #[inline]
    pub(crate) fn pop<T>(&mut self, slab: &mut Slab<T>, waited: impl Fn(&T) -> Duration) -> Option<SlabIndex> {
        let level = self.next_level(|item| slab.get(item).map_or(Duration::ZERO, &waited))?;
        let item = self.levels[level].items.first()?;
        self.remove(slab, level, item);
        Some(item)
    }

    /// The first item of each level.
    pub(crate) fn fronts(&self) -> impl Iterator<Item = SlabIndex> {
        self.levels.iter().filter_map(|level| level.items.first())
    }

    /// Removes an item of this level, wherever it stands: it goes without a turn.
    pub(crate) fn remove<T>(&mut self, slab: &mut Slab<T>, level: usize, item: SlabIndex) {
        let level = self.level_mut(level);
        level.items.unlink(slab, item);
        if level.items.is_empty() {
            level.credit = 0;
        }
        self.len -= 1;
    }

    /// Forgets all items, and returns them, the most urgent level first.
    pub(crate) fn drain<T>(&mut self, slab: &Slab<T>) -> Vec<SlabIndex> {
        let all = self.levels.iter().flat_map(|level| level.items.iter(slab)).collect();
        *self = self.like();
        all
    }

    fn next_level(&mut self, waited: impl Fn(SlabIndex) -> Duration) -> Option<usize> {
        let mut filled = (0..self.levels.len()).filter(|level| !self.levels[*level].items.is_empty());
        let first = filled.next()?;
        if filled.next().is_none() {
            return Some(first);
        }
        let (mut total, mut next) = (0, first);
        for level in first..self.levels.len() {
            let Some(front) = self.levels[level].items.first() else { continue };
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

    /// Levels and their items.
    struct Queue<T> {
        levels: Priorities,
        items: Slab<T>,
    }

    impl<T> Queue<T> {
        fn new(weights: &[u32], aging: Option<Duration>) -> Self {
            Self { levels: Priorities::new(weights, aging), items: Slab::default() }
        }

        fn push_back(&mut self, level: usize, item: T) -> SlabIndex {
            let at = self.items.insert(item);
            self.levels.push_back(&mut self.items, level, at);
            at
        }

        fn push_front(&mut self, level: usize, item: T) {
            let at = self.items.insert(item);
            self.levels.push_front(&mut self.items, level, at);
        }

        fn pop(&mut self, waited: impl Fn(&T) -> Duration) -> Option<T> {
            let at = self.levels.pop(&mut self.items, waited)?;
            self.items.take(at)
        }
    }

    fn filled(weights: &[u32], each: u32) -> Queue<(usize, u32)> {
        let mut queue = Queue::new(weights, None);
        for level in 0..weights.len() {
            (0..each).for_each(|number| {
                queue.push_back(level, (level, number));
            });
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
            let mut queue = Queue::new(&WEIGHTS, Some(Duration::from_secs(10)));
            (0..200).for_each(|number| {
                queue.push_back(number % 2 * 4, (number % 2 * 4, 0));
            });
            let waited = move |item: &(usize, u32)| Duration::from_secs(if item.0 == 4 { waited } else { 0 });
            (0..34).filter(|_| queue.pop(waited).unwrap().0 == 4).count()
        };
        assert_eq!((share(0), share(20), share(40), share(10_000)), (2, 7, 17, 17));
    }

    #[test]
    fn what_has_no_meaning_has_a_safe_one() {
        let mut queue = Queue::new(&[], Some(Duration::ZERO));
        queue.push_back(7, 1);
        assert_eq!((queue.pop(|_| Duration::MAX), queue.levels.levels()), (Some(1), 1));
        let mut queue = Queue::new(&[0; 99], Some(Duration::MAX));
        (0..99).for_each(|level| {
            queue.push_back(level, level);
        });
        assert_eq!((queue.levels.levels(), queue.levels.len()), (MAX_LEVELS, 99));
        assert_eq!(std::iter::from_fn(|| queue.pop(|_| Duration::MAX)).count(), 99);
    }

    #[test]
    fn an_item_can_leave_without_a_turn_and_a_drain_gives_the_most_urgent_level_first() {
        let mut queue = Queue::new(&WEIGHTS, None);
        let places: Vec<_> = (0..10).map(|number| queue.push_back(4 - number / 2, number)).collect();
        queue.levels.remove(&mut queue.items, 3, places[2]);
        assert_eq!(queue.items.take(places[2]), Some(2));
        assert_eq!((queue.levels.fronts().count(), queue.levels.len()), (5, 9));
        let drained = queue.levels.drain(&queue.items);
        let numbers: Vec<_> = drained.into_iter().map(|at| queue.items.take(at).unwrap()).collect();
        assert_eq!(numbers, [8, 9, 6, 7, 4, 5, 3, 0, 1]);
        assert!(queue.levels.is_empty());
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
            let mut queue = Queue::new(&weights, Some(Duration::from_secs(1)));
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
                prop_assert_eq!((queue.levels.len(), queue.items.len()), (waiting, waiting));
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
            let mut queue = Queue::new(&weights, None);
            let last = weights.len() - 1;
            let total: u32 = weights.iter().sum();
            let bound = 2 * total.div_ceil(weights[last]) as usize + weights.len();
            (0..600).for_each(|number| { queue.push_back(last, (last, number)); });
            let mut passed_over = 0;
            for levels in pushes {
                levels.into_iter().filter(|level| *level < last).for_each(|level| { queue.push_back(level, (level, 0)); });
                passed_over = if queue.pop(NO_TIME).unwrap().0 == last { 0 } else { passed_over + 1 };
                prop_assert!(passed_over <= bound, "{} of {}", passed_over, bound);
            }
        }
    }
}
