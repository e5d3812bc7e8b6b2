//! A single counter.

use std::fmt;

use super::counter_set::{CounterIndex, CounterSet};
use super::reading::Reading;

const ONLY: CounterIndex<1> = CounterIndex::at::<0>();

/// A number that only grows: how often something happened.
///
/// It is shared by reference (or in an `Arc`) and counts from any thread.
///
/// # Cost
///
/// An addition takes about 2 ns, however many threads count, as no other thread writes to the cell. The first one of a
/// thread allocates the thread's cell, 128 bytes. The counter itself takes 528 bytes. A read sums the threads' cells: 10
/// ns with a few of them and 50 ns with all.
///
/// 32 threads at a time have cells of their own; threads that have ended leave theirs to those that come after them.
/// Further threads share one more cell, for the rest of their lives, at the price of any shared atomic counter: 3 to 7
/// ns alone, tens of nanoseconds under contention.
///
/// # What a reader may rely on
///
/// - Nothing is lost: whatever was counted before the read, in the sense of *happens before* (the same thread, a
///   joined thread, a received message), is in the value.
/// - What is counted during a read may or may not be in it.
/// - Two reads, one after the other, never go down.
///
/// A counter wraps around at 2^64, which a billion additions of one a second reach after 584 years.
///
/// ```
/// use foundation_kernel::instruments::Counter;
///
/// let restarts = Counter::new();
/// restarts.increment();
/// restarts.add(2);
/// assert_eq!(restarts.value(), 3);
/// ```
#[derive(Default)]
pub struct Counter {
    cells: CounterSet<1>,
}

impl Counter {
    /// A counter at zero; it allocates nothing.
    ///
    /// ```
    /// use foundation_kernel::instruments::Counter;
    ///
    /// assert_eq!(Counter::new().value(), 0);
    /// ```
    pub const fn new() -> Self {
        Self { cells: CounterSet::new() }
    }

    /// Adds one.
    ///
    /// ```
    /// use foundation_kernel::instruments::Counter;
    ///
    /// let calls = Counter::new();
    /// calls.increment();
    /// assert_eq!(calls.value(), 1);
    /// ```
    #[inline]
    pub fn increment(&self) {
        self.cells.increment(ONLY);
    }

    /// Adds `n`, wrapping around at 2^64.
    ///
    /// ```
    /// use foundation_kernel::instruments::Counter;
    ///
    /// let bytes = Counter::new();
    /// bytes.add(512);
    /// assert_eq!(bytes.value(), 512);
    /// ```
    #[inline]
    pub fn add(&self, n: u64) {
        self.cells.add(ONLY, n);
    }

    /// Adds what is missing to `value`, if anything is: for a count that is kept elsewhere and known only as a total.
    /// However many threads raise it at the same time, what is missing is added once; what they count besides with
    /// [`add`](Self::add) is added as ever.
    ///
    /// Costs a [`value`](Self::value) and an atomic exchange.
    ///
    /// ```
    /// use foundation_kernel::instruments::Counter;
    ///
    /// let bytes = Counter::new();
    /// bytes.raise_to(7);
    /// bytes.raise_to(5);
    /// assert_eq!(bytes.value(), 7);
    /// ```
    pub fn raise_to(&self, value: u64) {
        self.cells.raise_to(ONLY, value);
    }

    /// The sum of everything added so far; see [above](Counter#what-a-reader-may-rely-on) for what a reader may rely on.
    ///
    /// ```
    /// use foundation_kernel::instruments::Counter;
    ///
    /// let calls = Counter::new();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| calls.increment());
    ///     scope.spawn(|| calls.increment());
    /// });
    /// assert_eq!(calls.value(), 2);
    /// ```
    pub fn value(&self) -> u64 {
        self.cells.value(ONLY)
    }
}

impl From<&Counter> for Reading {
    fn from(counter: &Counter) -> Self {
        Self::Counter(counter.value())
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.value()).finish()
    }
}
