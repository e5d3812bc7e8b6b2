//! The order of jobs with the same key.
//!
//! # Invariants
//!
//! 1. Of each key at most one job, the head, is outside of this table: in a lane, delayed for a retry, or claimed. The
//!    others wait here, in the order in which they were accepted.
//! 2. A key is known exactly while its head is outside. So an empty key leaves nothing behind.
//! 3. When the head has left the pool, the next job of its key becomes the head and enters its lane at the end. So keys take
//!    turns, however many jobs one of them has, and a resize of the pool moves no key.
//! 4. A waiting job is in one chain: that of its key. It can leave from anywhere in it.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use crate::job::key::KeySlot;
use crate::slab::{Chain, Slab, SlabIndex};

/// What became of a job that entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// No other job of its key is outside: this one is the head, and goes to its lane.
    Head(KeySlot),
    /// It waits here for those before it.
    Waits(KeySlot),
}

/// The waiting jobs of all keys: one first-in-first-out chain for each. The jobs themselves are in a slab.
///
/// Cost: one look-up by key for each job that enters, none for one that leaves.
pub(crate) struct Keys<K> {
    slots: HashMap<K, KeySlot>,
    chains: Vec<KeyChain<K>>,
    free: Option<u32>,
}

/// The jobs of a key that wait.
enum KeyChain<K> {
    Free { next: Option<u32> },
    Known { key: K, waiting: Chain },
}

impl<K> Default for Keys<K> {
    fn default() -> Self {
        Self { slots: HashMap::new(), chains: Vec::new(), free: None }
    }
}

impl<K: Hash + Eq + Clone> Keys<K> {
    /// Takes a job that was just accepted.
    pub(crate) fn enter<T>(&mut self, key: &K, slab: &mut Slab<T>, at: SlabIndex) -> Entered {
        let Some(slot) = self.slots.get(key).copied() else { return Entered::Head(self.make_known(key)) };
        if let Some(waiting) = self.waiting_of(slot) {
            waiting.push_back(slab, at);
        }
        Entered::Waits(slot)
    }

    /// The head of this key has left the pool: the next one of it is the head now. `None` if no other waits; the key is
    /// forgotten then.
    pub(crate) fn leave<T>(&mut self, slot: KeySlot, slab: &mut Slab<T>) -> Option<SlabIndex> {
        let waiting = self.waiting_of(slot)?;
        let Some(next) = waiting.first() else {
            self.forget(slot);
            return None;
        };
        waiting.unlink(slab, next);
        Some(next)
    }

    /// Removes a job that waits here.
    pub(crate) fn remove<T>(&mut self, slot: KeySlot, slab: &mut Slab<T>, at: SlabIndex) {
        if let Some(waiting) = self.waiting_of(slot) {
            waiting.unlink(slab, at);
        }
    }

    /// Forgets all jobs that wait here. The keys stay, as long as their heads do.
    pub(crate) fn clear_waiting(&mut self) {
        for chain in &mut self.chains {
            if let KeyChain::Known { waiting, .. } = chain {
                *waiting = Chain::default();
            }
        }
    }

    /// How many keys have a job in the pool.
    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.slots.len()
    }

    fn waiting_of(&mut self, slot: KeySlot) -> Option<&mut Chain> {
        match self.chains.get_mut(slot.number())? {
            KeyChain::Known { waiting, .. } => Some(waiting),
            KeyChain::Free { .. } => None,
        }
    }

    fn make_known(&mut self, key: &K) -> KeySlot {
        let known = KeyChain::Known { key: key.clone(), waiting: Chain::default() };
        let free = self.free.and_then(|free| Some((free, self.chains.get_mut(free as usize)?)));
        let at = match free {
            Some((at, chain)) => {
                let chain = std::mem::replace(chain, known);
                self.free = if let KeyChain::Free { next } = chain { next } else { None };
                at
            }
            None => {
                self.chains.push(known);
                // There is a job for each of them, of which a slab has fewer than this.
                (self.chains.len() - 1) as u32
            }
        };
        self.slots.insert(key.clone(), KeySlot(at));
        KeySlot(at)
    }

    fn forget(&mut self, slot: KeySlot) {
        let Some(chain) = self.chains.get_mut(slot.number()) else { return };
        let free = KeyChain::Free { next: self.free.replace(slot.0) };
        if let KeyChain::Known { key, .. } = std::mem::replace(chain, free) {
            self.slots.remove(&key);
        }
    }
}

impl<K> fmt::Debug for Keys<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("known", &self.slots.len()).finish_non_exhaustive()
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
        keys: Keys<u32>,
        jobs: Slab<(u32, u64)>,
        /// The slot and the place of each job that waits for its key.
        behind: Vec<(KeySlot, SlabIndex)>,
        lane: VecDeque<(KeySlot, (u32, u64))>,
        claimed: Vec<(KeySlot, (u32, u64))>,
    }

    impl Pool {
        fn put(&mut self, key: u32, number: u64) {
            let at = self.jobs.insert((key, number));
            match self.keys.enter(&key, &mut self.jobs, at) {
                Entered::Head(slot) => self.lane.push_back((slot, self.jobs.take(at).unwrap())),
                Entered::Waits(slot) => self.behind.push((slot, at)),
            }
        }

        fn claim(&mut self) -> Option<(u32, u64)> {
            let head = self.lane.pop_front()?;
            self.claimed.push(head);
            Some(head.1)
        }

        fn finish(&mut self, at: usize) -> (u32, u64) {
            let (slot, job) = self.claimed.remove(at);
            if let Some(next) = self.keys.leave(slot, &mut self.jobs) {
                self.behind.retain(|(_, at)| *at != next);
                self.lane.push_back((slot, self.jobs.take(next).unwrap()));
            }
            job
        }

        fn give_back(&mut self, at: usize) {
            self.lane.push_front(self.claimed.remove(at));
        }

        /// Removes one that waits for its key, wherever it stands.
        fn remove(&mut self, chosen: usize) -> Option<(u32, u64)> {
            let (slot, at) = (chosen < self.behind.len()).then(|| self.behind.swap_remove(chosen))?;
            self.keys.remove(slot, &mut self.jobs, at);
            self.jobs.take(at)
        }

        fn len(&self) -> usize {
            self.lane.len() + self.claimed.len() + self.jobs.len()
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(u32),
        Claim,
        Finish(usize),
        GiveBack(usize),
        Remove(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..6_u32).prop_map(Step::Put),
            3 => Just(Step::Claim),
            3 => (0..9_usize).prop_map(Step::Finish),
            1 => (0..9_usize).prop_map(Step::GiveBack),
            1 => (0..20_usize).prop_map(Step::Remove),
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
                    Step::Remove(chosen) => if let Some((key, number)) = pool.remove(chosen) {
                        expected.get_mut(&key).unwrap().retain(|it| *it != number);
                        count -= 1;
                    },
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
        assert_eq!((pool.keys.chains.len(), pool.len()), (1, 0));
    }
}
