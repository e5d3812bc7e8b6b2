//! The index of a counter in its set.

use std::array;

/// The position of a counter in a [`CounterSet`](crate::CounterSet) of `N`.
///
/// It is always below `N`, which the compiler checks, so no addition and no query has to refuse one.
///
/// ```
/// use foundation_kernel::CounterIndex;
///
/// const HITS: CounterIndex<2> = CounterIndex::at::<0>();
/// const MISSES: CounterIndex<2> = CounterIndex::at::<1>();
/// assert_eq!(MISSES.position(), 1);
/// ```
///
/// A position beyond the set does not compile:
/// ```compile_fail,E0080
/// use foundation_kernel::CounterIndex;
///
/// const NONE: CounterIndex<2> = CounterIndex::at::<2>();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterIndex<const N: usize>(usize);

impl<const N: usize> CounterIndex<N> {
    /// The index of the counter at `POSITION`, for use in a `const`.
    ///
    /// ```
    /// use foundation_kernel::CounterIndex;
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
    /// use foundation_kernel::{CounterIndex, CounterSet};
    ///
    /// let set = CounterSet::<3>::new();
    /// CounterIndex::all().into_iter().for_each(|index| set.increment(index));
    /// assert_eq!(set.values(), [1, 1, 1]);
    /// ```
    pub fn all() -> [Self; N] {
        array::from_fn(Self)
    }

    /// Where the counter's value stands in [`CounterSet::values`](crate::CounterSet::values).
    ///
    /// ```
    /// use foundation_kernel::{CounterIndex, CounterSet};
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
