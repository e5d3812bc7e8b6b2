//! A gauge.

use super::atomic_float::AtomicFloat;
use super::reading::Reading;

/// A number that goes up and down: how much of something there is now.
///
/// Use [`set`](Self::set) where one place knows the value (a queue's length, a temperature) and [`add`](Self::add) with
/// [`sub`](Self::sub) where many places each know their part (connections opened and closed).
///
/// # Cost
///
/// 8 bytes. Setting and reading are a plain store and load, about 1 ns. Adding is a compare-and-exchange loop on one
/// shared cell: about 5 ns alone, and more the more threads add at once, as each retries until no other came between.
/// To count at that rate, use a [`Counter`](crate::instruments::Counter).
///
/// # Arithmetic
///
/// As of `f64`: whole numbers are exact up to 2^53, and NaN stays NaN until the next `set`.
///
/// ```
/// use foundation_kernel::instruments::Gauge;
///
/// let connections = Gauge::new();
/// connections.add(3.0);
/// connections.sub(1.0);
/// assert_eq!(connections.value(), 2.0);
/// ```
#[derive(Debug, Default)]
pub struct Gauge {
    value: AtomicFloat,
}

impl Gauge {
    /// A gauge at zero.
    ///
    /// ```
    /// use foundation_kernel::instruments::Gauge;
    ///
    /// assert_eq!(Gauge::new().value(), 0.0);
    /// ```
    pub const fn new() -> Self {
        Self { value: AtomicFloat::zero() }
    }

    /// Replaces the value; of two threads that set it at once, either may be the last.
    ///
    /// ```
    /// use foundation_kernel::instruments::Gauge;
    ///
    /// let load = Gauge::new();
    /// load.set(0.75);
    /// assert_eq!(load.value(), 0.75);
    /// ```
    pub fn set(&self, value: f64) {
        self.value.store(value);
    }

    /// Adds `amount`, which may be negative; no addition is lost, even if other threads add at the same time.
    ///
    /// ```
    /// use foundation_kernel::instruments::Gauge;
    ///
    /// let open = Gauge::new();
    /// open.add(1.5);
    /// assert_eq!(open.value(), 1.5);
    /// ```
    pub fn add(&self, amount: f64) {
        self.value.update(|value| value + amount);
    }

    /// Subtracts `amount`; the opposite of [`add`](Self::add).
    ///
    /// ```
    /// use foundation_kernel::instruments::Gauge;
    ///
    /// let free = Gauge::new();
    /// free.sub(1.0);
    /// assert_eq!(free.value(), -1.0);
    /// ```
    pub fn sub(&self, amount: f64) {
        self.value.update(|value| value - amount);
    }

    /// The value now.
    ///
    /// ```
    /// use foundation_kernel::instruments::Gauge;
    ///
    /// assert_eq!(Gauge::default().value(), 0.0);
    /// ```
    pub fn value(&self) -> f64 {
        self.value.load()
    }
}

impl From<&Gauge> for Reading {
    fn from(gauge: &Gauge) -> Self {
        Self::Gauge(gauge.value())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn additions_and_subtractions_of_several_threads_are_all_kept() {
        let gauge = Gauge::new();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| gauge.add(3.0)));
                scope.spawn(|| (0..10_000).for_each(|_| gauge.sub(1.0)));
            }
        });
        assert_eq!(gauge.value(), 80_000.0);
    }

    #[test]
    fn nan_lasts_until_the_next_set() {
        let gauge = Gauge::new();
        gauge.set(f64::NAN);
        gauge.add(1.0);
        assert!(gauge.value().is_nan());
        gauge.set(1.0);
        assert_eq!(gauge.value(), 1.0);
    }
}
