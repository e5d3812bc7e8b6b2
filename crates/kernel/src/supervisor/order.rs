//! The start order of children: the order of their start indices.

use super::children::Children;
use super::plan::{Key, OrderKey, StartIndex};
use super::started::Incarnation;

impl<T: Incarnation> Children<T> {
    /// The index after all that have been given.
    pub(super) fn next_start_index(&mut self) -> StartIndex {
        self.last_start_index += 1;
        self.last_start_index
    }

    /// The children in start order.
    pub(super) fn in_order(&self) -> Vec<Key> {
        // Keys are in the order of indices until a reconfiguration gives new ones, and sorted input is sorted fast.
        let mut order_keys: Vec<OrderKey> =
            self.children.iter().map(|(key, child)| (child.start_index, *key)).collect();
        order_keys.sort();
        order_keys.into_iter().map(|(_, key)| key).collect()
    }

    pub(super) fn order_key(&self, key: Key) -> Option<OrderKey> {
        Some((self.children.get(&key)?.start_index, key))
    }
}
