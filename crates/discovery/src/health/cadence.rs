//! When a check is due.

use std::time::Duration;

use crate::hash::stable_hash;

/// The shortest interval.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// The longest interval, a day.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// How many intervals a check waits at most while it fails.
const MAX_FACTOR: u32 = 3;
/// How much of an interval may be more or less, in thousandths.
const JITTER: u16 = 100;
/// The largest jitter, in thousandths.
const MAX_JITTER: u16 = 500;

/// At which times a check runs: at an interval, shifted for each instance, a little irregular, and less often while it
/// fails.
///
/// Checks of many instances that are started together would otherwise run together for ever: the first is due after a part
/// of the interval that follows from the name, and each further one up to a tenth earlier or later. After each failure the
/// interval is one longer, up to three.
///
/// ```
/// use std::time::Duration;
/// use foundation_discovery::health::Cadence;
///
/// let cadence = Cadence::every(Duration::from_secs(10));
/// assert_ne!(cadence.first("orders.a", "disk"), cadence.first("orders.b", "disk"));
///
/// let mut random = fastrand::Rng::with_seed(7);
/// assert!(cadence.next(0, &mut random).abs_diff(Duration::from_secs(10)) <= Duration::from_secs(1));
/// assert!(cadence.next(9, &mut random).abs_diff(Duration::from_secs(30)) <= Duration::from_secs(3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    interval: Duration,
    /// In thousandths of the interval.
    jitter: u16,
}

impl Cadence {
    /// At this interval: 100 ms at least, a day at most.
    pub fn every(interval: Duration) -> Self {
        Self { interval: interval.clamp(MIN_INTERVAL, MAX_INTERVAL), jitter: JITTER }
    }

    /// The same at another interval.
    pub(crate) fn with_interval(self, interval: Duration) -> Self {
        Self { interval: Self::every(interval).interval, ..self }
    }

    /// Which share of an interval it may be longer or shorter: 0 to 0.5 in steps of a thousandth, 0.1 by default.
    pub fn jitter(self, share: f64) -> Self {
        // What is no number is 0.
        Self { jitter: ((share * 1_000.0) as u16).min(MAX_JITTER), ..self }
    }

    /// The interval.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// How long after the beginning of an instance its check is due for the first time: less than an interval.
    pub fn first(&self, instance: &str, check: &str) -> Duration {
        let share = stable_hash(check.as_bytes(), instance) >> 32;
        self.interval.mul_f64(share as f64 / f64::from(u32::MAX))
    }

    /// How long after a result the next one is due: so many intervals longer, two at most, while it fails.
    pub fn next(&self, failures: u32, random: &mut fastrand::Rng) -> Duration {
        let factor = failures.saturating_add(1).min(MAX_FACTOR);
        let jitter = f64::from(self.jitter) / 1_000.0;
        (self.interval * factor).mul_f64(1.0 - jitter + 2.0 * jitter * random.f64())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_checks_of_many_instances_are_spread_over_the_interval() {
        let cadence = Cadence::every(Duration::from_secs(10));
        let mut seconds = [0; 10];
        for number in 0..1_000 {
            let first = cadence.first(&format!("orders.i{number}"), "disk");
            seconds[(first.as_secs() as usize).min(9)] += 1;
        }
        assert!(seconds.iter().all(|count| (70..=130).contains(count)), "{seconds:?}");
    }

    proptest! {
        #[test]
        fn each_check_is_due_within_its_limits(millis in 0..200_000_000_u64, failures: u32, name in "[a-z.]{1,20}", seed: u64, share: f64) {
            let cadence = Cadence::every(Duration::from_millis(millis)).jitter(share);
            let jitter = if share.is_nan() { 0.0 } else { share.clamp(0.0, 0.5) } + 0.001;
            let interval = cadence.interval();
            prop_assert!(interval >= MIN_INTERVAL && interval <= MAX_INTERVAL);
            prop_assert!(cadence.first(&name, "disk") <= interval);
            let next = cadence.next(failures, &mut fastrand::Rng::with_seed(seed));
            let factor = failures.saturating_add(1).min(3);
            prop_assert!(next >= interval.mul_f64(1.0 - jitter) * factor && next <= interval.mul_f64(1.0 + jitter) * factor);
        }
    }
}
