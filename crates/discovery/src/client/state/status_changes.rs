//! Which instances have changed their status, in the order of their changes: what a watch has not read yet.
//!
//! # Invariants
//!
//! 1. An incarnation is here at most once, at its last change: there are never more than there are incarnations, and no
//!    reader is too slow.
//! 2. Numbers only grow, and none is given twice.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use foundation_kernel::ractor::ActorId;

use crate::instance::InstanceName;

type Incarnation = (InstanceName, ActorId);

/// The incarnations whose status has changed, each at its last change.
#[derive(Debug, Default)]
pub(super) struct StatusChanges {
    by_number: BTreeMap<u64, Incarnation>,
    numbers: HashMap<Incarnation, u64, RandomState>,
    /// How many changes there have been.
    number: u64,
}

impl StatusChanges {
    /// Notes a change.
    pub(super) fn note(&mut self, of: Incarnation) {
        if let Some(before) = self.numbers.insert(of.clone(), self.number) {
            self.by_number.remove(&before);
        }
        self.by_number.insert(self.number, of);
        self.number += 1;
    }

    /// Forgets an incarnation that is gone.
    pub(super) fn remove(&mut self, of: &Incarnation) {
        if let Some(number) = self.numbers.remove(of) {
            self.by_number.remove(&number);
        }
    }

    /// How many changes there have been: where a reader of all of them goes on.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The incarnations that have changed since there were so many changes.
    pub(super) fn since(&self, number: u64) -> impl Iterator<Item = &Incarnation> {
        self.by_number.range(number..).map(|(_, of)| of)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::samples::ORDERS;

    #[derive(Debug, Clone)]
    enum Step {
        Change(u64),
        Remove(u64),
        Read,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..6_u64).prop_map(Step::Change), 1 => (0..6_u64).prop_map(Step::Remove), 2 => Just(Step::Read),
        ];
        vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn a_reader_gets_each_incarnation_that_has_changed_since_it_read_once(steps in steps()) {
            let of = |at: u64| (InstanceName::new(&ORDERS, &format!("i{at}")).unwrap(), ActorId::Local(at));
            let (mut changes, mut read, mut unread) = (StatusChanges::default(), 0, BTreeSet::new());
            for step in steps {
                match step {
                    Step::Change(at) => {
                        changes.note(of(at));
                        unread.insert(at);
                    }
                    Step::Remove(at) => {
                        changes.remove(&of(at));
                        unread.remove(&at);
                    }
                    Step::Read => {
                        let mut found: Vec<_> = changes.since(read).cloned().collect();
                        found.sort();
                        let expected: Vec<_> = std::mem::take(&mut unread).into_iter().map(of).collect();
                        prop_assert_eq!(found, expected);
                        read = changes.number();
                    }
                }
                prop_assert!(changes.by_number.len() <= 6 && changes.by_number.len() == changes.numbers.len());
            }
        }
    }
}
