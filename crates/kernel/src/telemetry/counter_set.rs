//! A set of counters with cells of their own for each thread.
//!
//! # Invariants
//!
//! 1. `shards[i]` is allocated and written by the holder of thread slot `i` and by no other thread.
//! 2. `overflow` is written by any thread without a slot and by threads that raise a counter, hence with
//!    read-modify-writes only.
//! 3. A cell never decreases (until it wraps), and a shard, once allocated, stays until the set is dropped.

use std::array;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::slot::{self, SLOTS};

/// `N` related counters that many threads may increase without slowing each other down.
///
/// Each thread counts in cells of its own, which lie together, and a reader adds the threads' cells up.
///
/// It has the cost and the guarantees of a [`Counter`](crate::instruments::Counter), and allocates once for all of its
/// counters: 8 bytes a counter for each thread, rounded up to 128 bytes. Different counters are not read at one instant:
/// of two that are increased together, one may be ahead.
///
/// ```
/// use foundation_kernel::instruments::{CounterIndex, CounterSet};
///
/// const HITS: CounterIndex<2> = CounterIndex::at::<0>();
/// const MISSES: CounterIndex<2> = CounterIndex::at::<1>();
///
/// let lookups = CounterSet::new();
/// lookups.increment(HITS);
/// lookups.add(MISSES, 3);
/// assert_eq!(lookups.values(), [1, 3]);
/// ```
pub struct CounterSet<const N: usize> {
    shards: [OnceLock<Box<Shard<N>>>; SLOTS],
    overflow: OnceLock<Box<Shard<N>>>,
}

impl<const N: usize> CounterSet<N> {
    /// A set whose counters are all zero; it allocates nothing.
    ///
    /// ```
    /// use foundation_kernel::instruments::CounterSet;
    ///
    /// assert_eq!(CounterSet::<2>::new().values(), [0, 0]);
    /// ```
    pub const fn new() -> Self {
        Self { shards: [const { OnceLock::new() }; SLOTS], overflow: OnceLock::new() }
    }

    /// Adds `n` to one counter.
    ///
    /// ```
    /// use foundation_kernel::instruments::{CounterIndex, CounterSet};
    ///
    /// const BYTES: CounterIndex<1> = CounterIndex::at::<0>();
    /// let traffic = CounterSet::new();
    /// traffic.add(BYTES, 512);
    /// assert_eq!(traffic.value(BYTES), 512);
    /// ```
    #[inline]
    pub fn add(&self, index: CounterIndex<N>, n: u64) {
        self.advance(index, n);
    }

    /// Adds `n` to one counter, and returns the new value of its cell for this thread: a clock for samples that costs
    /// nothing.
    #[inline]
    pub(crate) fn advance(&self, index: CounterIndex<N>, n: u64) -> u64 {
        match self.shards.get(slot::current()) {
            Some(shard) => shard.get_or_init(Box::default).add_alone(index, n),
            None => self.add_overflowing(index, n),
        }
    }

    /// Adds one to one counter.
    ///
    /// ```
    /// use foundation_kernel::instruments::{CounterIndex, CounterSet};
    ///
    /// const CALLS: CounterIndex<1> = CounterIndex::at::<0>();
    /// let calls = CounterSet::new();
    /// calls.increment(CALLS);
    /// assert_eq!(calls.value(CALLS), 1);
    /// ```
    #[inline]
    pub fn increment(&self, index: CounterIndex<N>) {
        self.add(index, 1);
    }

    /// The value of one counter, summed over all threads.
    ///
    /// ```
    /// use foundation_kernel::instruments::{CounterIndex, CounterSet};
    ///
    /// const CALLS: CounterIndex<1> = CounterIndex::at::<0>();
    /// assert_eq!(CounterSet::new().value(CALLS), 0);
    /// ```
    pub fn value(&self, index: CounterIndex<N>) -> u64 {
        self.allocated().map(|shard| shard.value(index)).fold(0, u64::wrapping_add)
    }

    /// The values of all counters, in the order of their positions.
    ///
    /// ```
    /// use foundation_kernel::instruments::{CounterIndex, CounterSet};
    ///
    /// const CALLS: CounterIndex<2> = CounterIndex::at::<0>();
    /// let calls = CounterSet::new();
    /// calls.increment(CALLS);
    /// assert_eq!(calls.values(), [1, 0]);
    /// ```
    pub fn values(&self) -> [u64; N] {
        self.allocated().fold([0; N], |sums, shard| shard.added_to(sums))
    }

    /// Adds what a counter lacks of `value`.
    pub(super) fn raise_to(&self, index: CounterIndex<N>, value: u64) {
        let shared = &self.overflow.get_or_init(Box::default).cells[index.position()];
        let mut seen = shared.load(Ordering::Relaxed);
        loop {
            // All raises happen here: the second thread fails to exchange, and finds what the first has added. What
            // other threads count in the meantime comes on top, as if it had come later.
            let missing = value.saturating_sub(self.value(index));
            if missing == 0 {
                return;
            }
            match shared.compare_exchange(seen, seen.wrapping_add(missing), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(found) => seen = found,
            }
        }
    }

    #[cold]
    fn add_overflowing(&self, index: CounterIndex<N>, n: u64) -> u64 {
        self.overflow.get_or_init(Box::default).add_among_others(index, n)
    }

    fn allocated(&self) -> impl Iterator<Item = &Shard<N>> {
        let all = self.shards.iter().chain([&self.overflow]);
        all.filter_map(|shard| shard.get().map(Box::as_ref))
    }
}

impl<const N: usize> Default for CounterSet<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for CounterSet<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CounterSet").field(&self.values()).finish()
    }
}

/// The position of a counter in a [`CounterSet`](crate::instruments::CounterSet) of `N`.
///
/// It is always below `N`, which the compiler checks, so no addition and no query has to refuse one.
///
/// ```
/// use foundation_kernel::instruments::CounterIndex;
///
/// const HITS: CounterIndex<2> = CounterIndex::at::<0>();
/// const MISSES: CounterIndex<2> = CounterIndex::at::<1>();
/// assert_eq!(MISSES.position(), 1);
/// ```
///
/// A position beyond the set does not compile:
/// ```compile_fail,E0080
/// use foundation_kernel::instruments::CounterIndex;
///
/// const NONE: CounterIndex<2> = CounterIndex::at::<2>();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterIndex<const N: usize>(usize);

impl<const N: usize> CounterIndex<N> {
    /// The index of the counter at `POSITION`, for use in a `const`.
    ///
    /// ```
    /// use foundation_kernel::instruments::CounterIndex;
    ///
    /// const FIRST: CounterIndex<1> = CounterIndex::at::<0>();
    /// ```
    pub const fn at<const POSITION: usize>() -> Self {
        const { assert!(POSITION < N, "a counter's position must be below the size of its set") };
        Self(POSITION)
    }

    /// The indices of all counters of the set, in order.
    ///
    /// ```
    /// use foundation_kernel::instruments::{CounterIndex, CounterSet};
    ///
    /// let set = CounterSet::<3>::new();
    /// CounterIndex::all().into_iter().for_each(|index| set.increment(index));
    /// assert_eq!(set.values(), [1, 1, 1]);
    /// ```
    pub fn all() -> [Self; N] {
        array::from_fn(Self)
    }

    /// Where the counter's value stands in [`CounterSet::values`](crate::instruments::CounterSet::values).
    ///
    /// ```
    /// use foundation_kernel::instruments::{CounterIndex, CounterSet};
    ///
    /// const MISSES: CounterIndex<2> = CounterIndex::at::<1>();
    /// let set = CounterSet::new();
    /// set.add(MISSES, 5);
    /// assert_eq!(set.values()[MISSES.position()], 5);
    /// ```
    pub const fn position(self) -> usize {
        self.0
    }
}

/// One thread's cells. 128 bytes and not 64, because processors fetch cache lines in pairs.
#[repr(align(128))]
struct Shard<const N: usize> {
    cells: [AtomicU64; N],
}

impl<const N: usize> Shard<N> {
    /// For the shard's only writer (invariant 1).
    #[inline]
    fn add_alone(&self, index: CounterIndex<N>, n: u64) -> u64 {
        let cell = &self.cells[index.position()];
        // Deliberately no `fetch_add`: no other thread writes between the load and the store, and a locked instruction
        // is what the shards are there to avoid. A new holder of the slot sees this store, as the slot's change of
        // hands is ordered by the allocator.
        let value = cell.load(Ordering::Relaxed).wrapping_add(n);
        cell.store(value, Ordering::Relaxed);
        value
    }

    /// For a shard with several writers (invariant 2).
    fn add_among_others(&self, index: CounterIndex<N>, n: u64) -> u64 {
        self.cells[index.position()].fetch_add(n, Ordering::Relaxed).wrapping_add(n)
    }

    fn value(&self, index: CounterIndex<N>) -> u64 {
        self.cells[index.position()].load(Ordering::Relaxed)
    }

    fn added_to(&self, sums: [u64; N]) -> [u64; N] {
        CounterIndex::all().map(|index| sums[index.position()].wrapping_add(self.value(index)))
    }
}

impl<const N: usize> Default for Shard<N> {
    fn default() -> Self {
        Self { cells: [const { AtomicU64::new(0) }; N] }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::{Arc, Barrier};
    use std::thread;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const ONLY: CounterIndex<1> = CounterIndex::at::<0>();

    #[test]
    fn an_unused_set_is_small() {
        assert!(size_of::<CounterSet<1>>() <= 528);
        assert_eq!(size_of::<CounterSet<1>>(), size_of::<CounterSet<64>>());
    }

    #[test]
    fn shards_never_share_a_pair_of_cache_lines() {
        assert_eq!(align_of::<Shard<1>>(), 128);
        assert_eq!(size_of::<Shard<16>>(), 128);
    }

    #[test]
    fn a_counter_wraps_around() {
        let set = CounterSet::new();
        set.add(ONLY, u64::MAX);
        set.add(ONLY, 3);
        assert_eq!(set.value(ONLY), 2);
    }

    #[test]
    fn a_sum_wraps_around_like_its_cells() {
        let set = CounterSet::new();
        set.add(ONLY, u64::MAX);
        set.add_overflowing(ONLY, 3);
        assert_eq!(set.value(ONLY), 2);
    }

    #[test]
    fn short_lived_threads_lose_no_count() {
        let set = CounterSet::<1>::new();
        for _wave in 0..10 {
            count_in_threads(&set, 20, 100);
        }
        assert_eq!(set.value(ONLY), 10 * 20 * 100);
    }

    #[test]
    fn more_threads_than_slots_lose_no_count() {
        let set = CounterSet::<1>::new();
        count_in_threads(&set, SLOTS + 16, 20_000);
        assert_eq!(set.value(ONLY), (SLOTS as u64 + 16) * 20_000);
    }

    /// The threads start counting together and are joined, so that their slots are free afterwards.
    fn count_in_threads(set: &CounterSet<1>, threads: usize, times: usize) {
        let barrier = Barrier::new(threads);
        let count = || {
            set.increment(ONLY);
            barrier.wait();
            (1..times).for_each(|_| set.increment(ONLY));
        };
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
            running.into_iter().for_each(|t| t.join().unwrap());
        });
    }

    #[test]
    fn what_a_destructor_counts_at_the_end_of_its_thread_is_not_lost() {
        struct CountsLate(Arc<CounterSet<1>>);
        impl Drop for CountsLate {
            fn drop(&mut self) {
                self.0.increment(ONLY);
            }
        }
        thread_local!(static LATE: RefCell<Vec<CountsLate>> = const { RefCell::new(Vec::new()) });

        let set = Arc::new(CounterSet::new());
        // Whether the destructor runs before or after the slot is given back depends on which was used first.
        for count_first in [false, true] {
            let set = Arc::clone(&set);
            let work = move || {
                if count_first {
                    set.increment(ONLY);
                }
                LATE.with_borrow_mut(|late| late.push(CountsLate(Arc::clone(&set))));
                set.increment(ONLY);
            };
            thread::spawn(work).join().unwrap();
        }
        assert_eq!(set.value(ONLY), 5);
    }

    #[test]
    fn a_reader_beside_a_writer_never_sees_a_counter_go_down() {
        let set = CounterSet::<1>::new();
        thread::scope(|scope| {
            let writer = scope.spawn(|| (0..100_000).for_each(|_| set.increment(ONLY)));
            let mut last = 0;
            while !writer.is_finished() {
                let now = set.value(ONLY);
                assert!(now >= last);
                last = now;
            }
        });
        assert_eq!(set.value(ONLY), 100_000);
    }

    #[test]
    fn what_is_missing_is_added_once_however_many_raise_at_the_same_time() {
        let set = CounterSet::<1>::new();
        let raise = |barrier: &Barrier| {
            barrier.wait();
            (1..=20_000).for_each(|value| set.raise_to(ONLY, value));
        };
        let barrier = Barrier::new(4);
        thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| raise(&barrier)))));
        assert_eq!(set.value(ONLY), 20_000);
    }

    #[test]
    fn concurrent_counts_during_a_raise_are_not_lost() {
        let set = CounterSet::<1>::new();
        thread::scope(|scope| {
            scope.spawn(|| (0..20_000).for_each(|_| set.increment(ONLY)));
            scope.spawn(|| (1..=1_000).for_each(|value| set.raise_to(ONLY, value)));
        });
        let value = set.value(ONLY);
        assert!((20_000..=21_000).contains(&value), "{value}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_sums_are_those_of_all_additions_of_all_threads(
            plans in vec(vec((0..4usize, 0..1_000_000u64), 0..200), 1..8),
        ) {
            let set = CounterSet::<4>::new();
            carry_out(&set, &plans);

            let mut expected = [0; 4];
            plans.iter().flatten().for_each(|(position, n)| expected[*position] += n);
            prop_assert_eq!(set.values(), expected);
        }
    }

    fn carry_out(set: &CounterSet<4>, plans: &[Vec<(usize, u64)>]) {
        let indices = CounterIndex::all();
        thread::scope(|scope| {
            for plan in plans {
                let add = |(position, n): &(usize, u64)| set.add(indices[*position], *n);
                scope.spawn(move || plan.iter().for_each(add));
            }
        });
    }
}
