//! The start order of children: the order of their start indices.

use super::children::Children;
use super::plan::{Key, Place, Turn};
use super::started::Incarnation;

impl<T: Incarnation> Children<T> {
    /// The index after all that have been given.
    pub(super) fn next_place(&mut self) -> Place {
        self.last_place += 1;
        self.last_place
    }

    /// The children in start order.
    pub(super) fn in_order(&self) -> Vec<Key> {
        // Keys are in the order of indices until a reconfiguration gives new ones, and sorted input is sorted fast.
        let mut turns: Vec<Turn> = self.children.iter().map(|(key, child)| (child.place, *key)).collect();
        turns.sort();
        turns.into_iter().map(|(_, key)| key).collect()
    }

    pub(super) fn turn(&self, key: Key) -> Option<Turn> {
        Some((self.children.get(&key)?.place, key))
    }
}
