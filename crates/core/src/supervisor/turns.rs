//! A few children in start order.

use std::collections::VecDeque;
use std::collections::vec_deque::IntoIter;

use super::plan::Turn;

/// A set of children that gives them in start order, from both ends. Mostly there is one, and they come in order: so what
/// is sorted is a queue, and no tree.
#[derive(Debug, Default)]
pub(crate) struct Turns(VecDeque<Turn>);

impl Turns {
    pub(crate) fn insert(&mut self, turn: Turn) {
        if self.0.capacity() == 0 {
            // Room for one, and not for the four that a queue begins with.
            self.0 = VecDeque::from([turn]);
        } else if self.0.back().is_none_or(|last| *last < turn) {
            self.0.push_back(turn);
        } else if let Err(at) = self.0.binary_search(&turn) {
            self.0.insert(at, turn);
        }
    }

    pub(crate) fn remove(&mut self, turn: Turn) {
        if let Ok(at) = self.0.binary_search(&turn) {
            self.0.remove(at);
        }
    }

    pub(crate) fn contains(&self, turn: Turn) -> bool {
        self.0.binary_search(&turn).is_ok()
    }

    pub(crate) fn pop_first(&mut self) -> Option<Turn> {
        self.0.pop_front()
    }

    pub(crate) fn pop_last(&mut self) -> Option<Turn> {
        self.0.pop_back()
    }
}

impl From<Turn> for Turns {
    fn from(turn: Turn) -> Self {
        Self(VecDeque::from([turn]))
    }
}

impl FromIterator<Turn> for Turns {
    fn from_iter<I: IntoIterator<Item = Turn>>(turns: I) -> Self {
        let mut turns: Vec<_> = turns.into_iter().collect();
        turns.sort_unstable();
        turns.dedup();
        Self(turns.into())
    }
}

impl IntoIterator for Turns {
    type Item = Turn;
    type IntoIter = IntoIter<Turn>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(Turn),
        Remove(Turn),
        PopFirst,
        PopLast,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let turn = || (0..6_u64, 0..3_u64);
        let step = prop_oneof![
            3 => turn().prop_map(Step::Insert),
            1 => turn().prop_map(Step::Remove),
            1 => Just(Step::PopFirst),
            1 => Just(Step::PopLast),
        ];
        vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn they_are_a_sorted_set(first in vec((0..6_u64, 0..3_u64), 0..6), steps in steps()) {
            let (mut turns, mut model): (Turns, BTreeSet<_>) = (first.iter().copied().collect(), first.into_iter().collect());
            for step in steps {
                match step {
                    Step::Insert(turn) => {
                        turns.insert(turn);
                        model.insert(turn);
                        prop_assert!(turns.contains(turn));
                    }
                    Step::Remove(turn) => {
                        turns.remove(turn);
                        model.remove(&turn);
                        prop_assert!(!turns.contains(turn));
                    }
                    Step::PopFirst => prop_assert_eq!(turns.pop_first(), model.pop_first()),
                    Step::PopLast => prop_assert_eq!(turns.pop_last(), model.pop_last()),
                }
            }
            prop_assert!(turns.into_iter().eq(model));
        }
    }
}
