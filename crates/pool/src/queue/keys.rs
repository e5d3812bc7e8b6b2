//! The order of jobs with the same key.
//!
//! # Invariants
//!
//! 1. Of each key at most one job, the head, is outside of this table: in a lane, delayed for a retry, or claimed. The
//!    others wait here, in the order in which they were accepted.
//! 2. A key is known exactly while its head is outside. So an empty key leaves nothing behind.
//! 3. When the head has left the pool, the next job of its key becomes the head and enters its lane at the end. So keys take
//!    turns, however many jobs one of them has, and a resize of the pool moves no key.
//! 4. A waiting job is a node of one chain: that of its key. Nodes and keys that are free are reused before the table grows.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

/// The place of a key in the table, from when its first job enters until its last one has left. The head of the key carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeySlot(u32);

/// What became of a job that entered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entered<J> {
    /// No other job of its key is outside: this one is the head, and goes to its lane.
    Head(KeySlot, J),
    /// It waits here for those before it.
    Waits,
    /// There are as many keys or waiting jobs as a table can have, about 4 billion.
    NoRoom(J),
}

/// The waiting jobs of all keys: one first-in-first-out chain for each.
///
/// Cost: one look-up by key for each job that enters, none for one that leaves; no allocation but the amortised growth of the
/// table. A waiting job takes four bytes beside itself.
pub(crate) struct Keys<K, J> {
    slots: HashMap<K, KeySlot>,
    chains: Vec<Chain<K>>,
    nodes: Vec<Node<J>>,
    free_chain: Option<u32>,
    free_node: Option<u32>,
    waiting: usize,
}

/// The jobs of a key that wait.
enum Chain<K> {
    Free { next: Option<u32> },
    Known { key: K, ends: Option<Ends> },
}

#[derive(Clone, Copy)]
struct Ends {
    first: u32,
    last: u32,
}

/// A waiting job, or a free place, and the node after it.
struct Node<J> {
    job: Option<J>,
    next: Option<u32>,
}

impl<K, J> Default for Keys<K, J> {
    fn default() -> Self {
        Self {
            slots: HashMap::new(),
            chains: Vec::new(),
            nodes: Vec::new(),
            free_chain: None,
            free_node: None,
            waiting: 0,
        }
    }
}

impl<K: Hash + Eq + Clone, J> Keys<K, J> {
    /// Takes a job that was just accepted.
    pub(crate) fn enter(&mut self, key: &K, job: J) -> Entered<J> {
        match self.slots.get(key).copied() {
            Some(slot) => self.append(slot, job),
            None => match self.make_known(key) {
                Some(slot) => Entered::Head(slot, job),
                None => Entered::NoRoom(job),
            },
        }
    }

    /// The head of this key has left the pool: the next one of it is the head now. `None` if no other waits; the key is
    /// forgotten then.
    pub(crate) fn leave(&mut self, slot: KeySlot) -> Option<J> {
        let Some(Chain::Known { ends, .. }) = self.chains.get_mut(slot.0 as usize) else { return None };
        let Some(Ends { first, last }) = *ends else {
            self.forget(slot);
            return None;
        };
        let node = self.nodes.get_mut(first as usize)?;
        let (job, next) = (node.job.take(), node.next);
        *ends = next.map(|first| Ends { first, last });
        node.next = self.free_node.replace(first);
        self.waiting -= 1;
        job
    }

    /// How many jobs wait for others of their key.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many keys have a job in the pool.
    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.slots.len()
    }

    /// Removes the waiting jobs for which this is so, in the order of each key.
    ///
    /// Linear in the waiting jobs. The condition is ours: it runs under the lock of the queue.
    pub(crate) fn remove_waiting(&mut self, is_removed: impl Fn(&J) -> bool) -> Vec<J> {
        let mut removed = Vec::new();
        for at in 0..self.chains.len() {
            self.remove_of(at, &is_removed, &mut removed);
        }
        self.waiting -= removed.len();
        removed
    }

    fn remove_of(&mut self, at: usize, is_removed: impl Fn(&J) -> bool, removed: &mut Vec<J>) {
        let Some(Chain::Known { ends, .. }) = self.chains.get_mut(at) else { return };
        let (mut next, mut kept): (_, Option<Ends>) = (ends.map(|ends| ends.first), None);
        while let Some(this) = next {
            let Some(node) = self.nodes.get_mut(this as usize) else { break };
            next = node.next;
            match node.job.take_if(|job| is_removed(job)) {
                Some(job) => {
                    removed.push(job);
                    node.next = self.free_node.replace(this);
                }
                None => {
                    node.next = None;
                    if let Some(before) = kept.and_then(|kept| self.nodes.get_mut(kept.last as usize)) {
                        before.next = Some(this);
                    }
                    kept = Some(Ends { first: kept.map_or(this, |kept| kept.first), last: this });
                }
            }
        }
        *ends = kept;
    }

    fn append(&mut self, slot: KeySlot, job: J) -> Entered<J> {
        let Some(at) = self.free_place() else { return Entered::NoRoom(job) };
        let Some(Chain::Known { ends, .. }) = self.chains.get_mut(slot.0 as usize) else { return Entered::NoRoom(job) };
        self.nodes[at as usize] = Node { job: Some(job), next: None };
        if let Some(last) = ends.and_then(|ends| self.nodes.get_mut(ends.last as usize)) {
            last.next = Some(at);
        }
        *ends = Some(Ends { first: ends.map_or(at, |ends| ends.first), last: at });
        self.waiting += 1;
        Entered::Waits
    }

    /// The place of a node that is not in use.
    fn free_place(&mut self) -> Option<u32> {
        if let Some(free) = self.free_node {
            self.free_node = self.nodes.get(free as usize).and_then(|node| node.next);
            return Some(free);
        }
        let at = u32::try_from(self.nodes.len()).ok()?;
        self.nodes.push(Node { job: None, next: None });
        Some(at)
    }

    fn make_known(&mut self, key: &K) -> Option<KeySlot> {
        let known = Chain::Known { key: key.clone(), ends: None };
        let at = match self.free_chain {
            Some(free) => {
                let chain = std::mem::replace(self.chains.get_mut(free as usize)?, known);
                self.free_chain = if let Chain::Free { next } = chain { next } else { None };
                free
            }
            None => {
                let at = u32::try_from(self.chains.len()).ok()?;
                self.chains.push(known);
                at
            }
        };
        self.slots.insert(key.clone(), KeySlot(at));
        Some(KeySlot(at))
    }

    fn forget(&mut self, slot: KeySlot) {
        let free = Chain::Free { next: self.free_chain.replace(slot.0) };
        if let Some(chain) = self.chains.get_mut(slot.0 as usize)
            && let Chain::Known { key, .. } = std::mem::replace(chain, free)
        {
            self.slots.remove(&key);
        }
    }
}

impl<K, J> fmt::Debug for Keys<K, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("known", &self.slots.len()).field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A lane, and what is claimed of it, as the queue has them.
    #[derive(Default)]
    struct Pool {
        keys: Keys<u32, (u32, u64)>,
        lane: VecDeque<(KeySlot, (u32, u64))>,
        claimed: Vec<(KeySlot, (u32, u64))>,
    }

    impl Pool {
        fn put(&mut self, key: u32, number: u64) {
            match self.keys.enter(&key, (key, number)) {
                Entered::Head(slot, job) => self.lane.push_back((slot, job)),
                Entered::Waits => {}
                Entered::NoRoom(_) => panic!("there is room"),
            }
        }

        fn claim(&mut self) -> Option<(u32, u64)> {
            let head = self.lane.pop_front()?;
            self.claimed.push(head);
            Some(head.1)
        }

        fn finish(&mut self, at: usize) -> (u32, u64) {
            let (slot, job) = self.claimed.remove(at);
            if let Some(next) = self.keys.leave(slot) {
                self.lane.push_back((slot, next));
            }
            job
        }

        fn give_back(&mut self, at: usize) {
            self.lane.push_front(self.claimed.remove(at));
        }

        fn len(&self) -> usize {
            self.lane.len() + self.claimed.len() + self.keys.waiting()
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(u32),
        Claim,
        Finish(usize),
        GiveBack(usize),
        Remove(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..6_u32).prop_map(Step::Put),
            3 => Just(Step::Claim),
            3 => (0..9_usize).prop_map(Step::Finish),
            1 => (0..9_usize).prop_map(Step::GiveBack),
            1 => (2..5_u64).prop_map(Step::Remove),
        ];
        vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn of_a_key_one_job_at_most_is_outside_and_all_leave_in_order_and_an_empty_table_is_all_that_is_left(steps in steps()) {
            let (mut pool, mut numbers) = (Pool::default(), 0..);
            let (mut expected, mut count) = (BTreeMap::<u32, VecDeque<u64>>::new(), 0);
            for step in steps {
                match step {
                    Step::Put(key) => {
                        let number = numbers.next().unwrap();
                        pool.put(key, number);
                        expected.entry(key).or_default().push_back(number);
                        count += 1;
                    }
                    Step::Claim => if let Some((key, number)) = pool.claim() {
                        prop_assert_eq!(expected[&key].front(), Some(&number));
                    },
                    Step::Finish(at) if at < pool.claimed.len() => {
                        let (key, number) = pool.finish(at);
                        prop_assert_eq!(expected.get_mut(&key).unwrap().pop_front(), Some(number));
                        count -= 1;
                    }
                    Step::GiveBack(at) if at < pool.claimed.len() => pool.give_back(at),
                    Step::Remove(divisor) => {
                        for (key, number) in pool.keys.remove_waiting(|(_, number)| number % divisor == 0) {
                            prop_assert_eq!(number % divisor, 0);
                            expected.get_mut(&key).unwrap().retain(|it| *it != number);
                            count -= 1;
                        }
                    }
                    _ => {}
                }
                let mut outside: Vec<_> = pool.lane.iter().chain(&pool.claimed).map(|(_, (key, _))| *key).collect();
                outside.sort_unstable();
                outside.dedup();
                prop_assert_eq!(outside.len(), pool.lane.len() + pool.claimed.len());
                prop_assert_eq!((outside.len(), pool.len()), (pool.keys.known(), count));
            }
            while pool.claim().is_some() || !pool.claimed.is_empty() {
                let (key, number) = pool.finish(0);
                prop_assert_eq!(expected.get_mut(&key).unwrap().pop_front(), Some(number));
            }
            prop_assert!(expected.values().all(VecDeque::is_empty));
            prop_assert_eq!((pool.len(), pool.keys.known()), (0, 0));
        }
    }

    #[test]
    fn ten_thousand_keys_take_turns_with_a_hot_one() {
        let mut pool = Pool::default();
        (0..100_000).for_each(|number| pool.put(0, number));
        (1..10_000).for_each(|key| pool.put(key, 0));
        let others = (0..10_000).filter(|_| {
            let (key, _) = pool.claim().unwrap();
            pool.finish(0);
            key != 0
        });
        assert_eq!(others.count(), 9_999, "each had its turn beside one job of the hot key");
        assert_eq!((pool.keys.known(), pool.len()), (1, 99_999));
    }

    #[test]
    fn keys_and_jobs_that_come_and_go_do_not_make_the_table_grow() {
        let mut pool = Pool::default();
        for round in 0..1_000_u32 {
            (0..10).for_each(|number| pool.put(round, number));
            while pool.claim().is_some() {
                pool.finish(0);
            }
        }
        assert_eq!((pool.keys.chains.len(), pool.keys.nodes.len()), (1, 9));
    }
}
