//! A sorted set of few values.

use std::collections::VecDeque;
use std::collections::vec_deque::IntoIter;

/// A set that gives its values in order, from both ends.
///
/// Made for one value, or for many that come in order: those cost less than in a tree. One that comes out of order
/// moves the others.
#[derive(Debug)]
pub(crate) struct SortedQueue<T>(VecDeque<T>);

impl<T> Default for SortedQueue<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Ord> SortedQueue<T> {
    pub(crate) fn insert(&mut self, value: T) {
        if self.0.capacity() == 0 {
            // Room for one, and not for the four that a queue begins with.
            self.0 = VecDeque::from([value]);
        } else if self.0.back().is_none_or(|last| *last < value) {
            self.0.push_back(value);
        } else if let Err(at) = self.0.binary_search(&value) {
            self.0.insert(at, value);
        }
    }

    pub(crate) fn remove(&mut self, value: &T) {
        if let Ok(at) = self.0.binary_search(value) {
            self.0.remove(at);
        }
    }

    pub(crate) fn contains(&self, value: &T) -> bool {
        self.0.binary_search(value).is_ok()
    }

    pub(crate) fn pop_first(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    pub(crate) fn pop_last(&mut self) -> Option<T> {
        self.0.pop_back()
    }
}

impl<T> From<T> for SortedQueue<T> {
    fn from(value: T) -> Self {
        Self(VecDeque::from([value]))
    }
}

impl<T: Ord> FromIterator<T> for SortedQueue<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        Self(values.into())
    }
}

impl<T> IntoIterator for SortedQueue<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

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
        Insert(u8),
        Remove(u8),
        PopFirst,
        PopLast,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..20_u8).prop_map(Step::Insert),
            1 => (0..20_u8).prop_map(Step::Remove),
            1 => Just(Step::PopFirst),
            1 => Just(Step::PopLast),
        ];
        vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_set(first in vec(0..20_u8, 0..6), steps in steps()) {
            let (mut queue, mut model): (SortedQueue<_>, BTreeSet<_>) =
                (first.iter().copied().collect(), first.into_iter().collect());
            for step in steps {
                match step {
                    Step::Insert(value) => {
                        queue.insert(value);
                        model.insert(value);
                        prop_assert!(queue.contains(&value));
                    }
                    Step::Remove(value) => {
                        queue.remove(&value);
                        model.remove(&value);
                        prop_assert!(!queue.contains(&value));
                    }
                    Step::PopFirst => prop_assert_eq!(queue.pop_first(), model.pop_first()),
                    Step::PopLast => prop_assert_eq!(queue.pop_last(), model.pop_last()),
                }
            }
            prop_assert!(queue.into_iter().eq(model));
        }
    }
}
