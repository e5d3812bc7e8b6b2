//! The delay before a restart, as functions of values.
//!
//! 1. A delay is a function of the number of preceding consecutive failures and of a random fraction.
//! 2. No delay is longer than [`Backoff::LONGEST`], whatever was configured.
//! 3. Fractions come from a seed only.

use std::fmt;
use std::time::Duration;

/// The delay before a supervisor restarts a child. The default is none, as in OTP.
///
/// An exit counts against the restart intensity when it happens. The strategy stops the affected siblings at once; then
/// comes the delay, and then the starts. During the delay the supervisor answers, and starts and terminates other
/// children. Terminating the waiting child ends the delay. A start that fails in a restart is the next consecutive
/// failure.
///
/// **When the failures are reset:** when the child ran for at least the period of its own restart intensity, or else of
/// its supervisor's, and for at least the delay before that. So a child that runs for a while between two crashes is
/// not punished for the first, and one that crashes after each delay is. A restart by request also resets them.
///
/// Set for one child by [`ChildSpec::backoff`](crate::supervision::ChildSpec::backoff), for all children of a supervisor by
/// [`SupervisorSpec::backoff`](crate::supervision::SupervisorSpec::backoff). Time is that of tokio's clock.
///
/// ```
/// use std::time::Duration;
/// use foundation_kernel::supervision::{Backoff, ExponentialBackoff};
///
/// let second = Duration::from_secs(1);
/// let backoff = Backoff::from(ExponentialBackoff::new(second, 2.0, 60 * second)?);
/// assert_eq!(backoff.delay(0, 0.0), second);
/// assert_eq!(backoff.delay(3, 0.0), 8 * second);
/// assert_eq!(backoff.delay(30, 0.0), 60 * second);
/// # Ok::<(), foundation_kernel::supervision::BackoffError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Backoff {
    /// No delay.
    #[default]
    None,
    /// The same delay each time, at most [`LONGEST`](Self::LONGEST).
    Constant(Duration),
    /// A delay that grows with each consecutive failure.
    Exponential(ExponentialBackoff),
}

impl Backoff {
    /// The longest delay: a year of 365 days.
    pub const LONGEST: Duration = crate::limits::LONGEST;

    /// The delay after this many earlier consecutive failures. `fraction`, from 0 to 1, is the part of the jitter that
    /// is subtracted.
    pub fn delay(&self, earlier: u32, fraction: f64) -> Duration {
        let delay = match self {
            Self::None => Duration::ZERO,
            Self::Constant(delay) => *delay,
            Self::Exponential(exponential) => exponential.delay(earlier, fraction),
        };
        delay.min(Self::LONGEST)
    }
}

impl From<ExponentialBackoff> for Backoff {
    fn from(exponential: ExponentialBackoff) -> Self {
        Self::Exponential(exponential)
    }
}

/// A delay that is multiplied by a factor with each consecutive failure, up to a cap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExponentialBackoff {
    first: Duration,
    factor: f64,
    cap: Duration,
    jitter: f64,
}

impl ExponentialBackoff {
    /// Begins with `first`, multiplies by `factor`, never exceeds `cap`; without jitter.
    ///
    /// # Errors
    /// [`BackoffError`] for a first delay of zero, a factor below 1 or not finite, a cap below the first delay or above
    /// [`Backoff::LONGEST`].
    pub fn new(first: Duration, factor: f64, cap: Duration) -> Result<Self, BackoffError> {
        if first.is_zero() {
            return Err(BackoffError::ZeroFirst);
        }
        if !factor.is_finite() || factor < 1.0 {
            return Err(BackoffError::Factor { factor });
        }
        if cap < first || cap > Backoff::LONGEST {
            return Err(BackoffError::Cap { first, cap });
        }
        Ok(Self { first, factor, cap, jitter: 0.0 })
    }

    /// Subtracts a random part from each delay, at most this share of it, so that children that failed together do not
    /// restart together. The cap still applies.
    ///
    /// # Errors
    /// [`BackoffError::Jitter`] unless the share is from 0 to 1.
    pub fn jitter(self, share: f64) -> Result<Self, BackoffError> {
        match share {
            0.0..=1.0 => Ok(Self { jitter: share, ..self }),
            share => Err(BackoffError::Jitter { share }),
        }
    }

    fn delay(&self, earlier: u32, fraction: f64) -> Duration {
        let cap = self.cap.as_secs_f64();
        let grown = self.first.as_secs_f64() * self.factor.powf(f64::from(earlier));
        let off = self.jitter * if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        // `min` comes first: the product may be infinite.
        Duration::try_from_secs_f64(grown.min(cap) * (1.0 - off)).unwrap_or(self.cap).min(self.cap)
    }
}

/// An invalid backoff.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BackoffError {
    /// The first delay is zero, and stays zero with any factor.
    #[error("an exponential backoff cannot begin with 0 s; for no delay use Backoff::None")]
    ZeroFirst,
    /// The delays would shrink, or not be numbers.
    #[error("an exponential backoff grows by a factor of 1 or more, not by {factor}")]
    Factor {
        /// The value given.
        factor: f64,
    },
    /// The cap is below the first delay, or above [`Backoff::LONGEST`].
    #[error("the cap of an exponential backoff is between its first delay, {first:?}, and a year; {cap:?} is not")]
    Cap {
        /// The first delay.
        first: Duration,
        /// The cap given.
        cap: Duration,
    },
    /// The jitter is not a share of the delay.
    #[error("jitter is a share of the delay, from 0 to 1, not {share}")]
    Jitter {
        /// The value given.
        share: f64,
    },
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("no backoff"),
            Self::Constant(delay) => write!(f, "{delay:?}"),
            Self::Exponential(ExponentialBackoff { first, factor, cap, jitter }) => {
                write!(f, "{first:?} × {factor}ⁿ up to {cap:?}")?;
                if *jitter > 0.0 { write!(f, ", jitter {jitter}") } else { Ok(()) }
            }
        }
    }
}

/// The consecutive failures of a child.
#[derive(Debug, Default)]
pub(crate) struct Streak {
    failures: u32,
    /// The delay after the latest of them.
    delay: Duration,
}

impl Streak {
    /// Notes that the child has ended; a long enough run resets the failures before it.
    pub(crate) fn down(&mut self, lived: Option<Duration>, enough: Duration) {
        if lived.is_some_and(|lived| lived >= enough.max(self.delay)) {
            *self = Self::default();
        }
    }

    /// Counts one more failure, and returns the delay before the restart.
    pub(crate) fn fail(&mut self, backoff: Backoff, jitter_rng: &mut fastrand::Rng) -> Duration {
        self.delay = match backoff {
            Backoff::None => Duration::ZERO,
            backoff => backoff.delay(self.failures, jitter_rng.f64()),
        };
        self.failures = self.failures.saturating_add(1);
        self.delay
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn exponential() -> impl Strategy<Value = ExponentialBackoff> {
        (1u64..100_000, 1.0f64..10.0, 1u64..1_000, 0.0f64..=1.0).prop_map(|(first, factor, times, jitter)| {
            let first = Duration::from_millis(first);
            ExponentialBackoff::new(first, factor, first * times as u32).unwrap().jitter(jitter).unwrap()
        })
    }

    proptest! {
        #[test]
        fn a_delay_is_within_its_jitter_of_what_the_formula_says(
            exponential in exponential(),
            earlier in any::<u32>(),
            fraction in 0.0f64..=1.0,
        ) {
            let ExponentialBackoff { first, factor, cap, jitter } = exponential;
            let full = (first.as_secs_f64() * factor.powf(f64::from(earlier))).min(cap.as_secs_f64());
            let delay = exponential.delay(earlier, fraction);
            prop_assert!(delay <= cap);
            prop_assert!((delay.as_secs_f64() - full * (1.0 - jitter * fraction)).abs() < 1e-6);
        }

        #[test]
        fn without_jitter_the_next_delay_is_never_shorter(exponential in exponential(), earlier in 0u32..1000) {
            let backoff = Backoff::from(exponential.jitter(0.0).unwrap());
            prop_assert!(backoff.delay(earlier, 0.3) <= backoff.delay(earlier + 1, 0.9));
        }

        #[test]
        fn no_input_makes_a_delay_panic_or_exceed_the_longest(
            first in any::<u64>(), factor in any::<f64>(), cap in any::<u64>(), share in any::<f64>(),
            earlier in any::<u32>(), fraction in any::<f64>(),
        ) {
            let (first, cap) = (Duration::from_nanos(first), Duration::from_nanos(cap));
            let made = ExponentialBackoff::new(first, factor, cap).and_then(|made| made.jitter(share));
            if let Ok(made) = made {
                prop_assert!(Backoff::from(made).delay(earlier, fraction) <= cap);
            }
            prop_assert!(Backoff::Constant(Duration::from_secs(first.as_secs())).delay(earlier, fraction) <= Backoff::LONGEST);
        }

        #[test]
        fn fractions_are_from_zero_to_one_and_depend_on_the_seed_alone(seed in any::<u64>()) {
            let (mut one, mut other) = (fastrand::Rng::with_seed(seed), fastrand::Rng::with_seed(seed));
            for _ in 0..100 {
                let fraction = one.f64();
                prop_assert!((0.0..1.0).contains(&fraction));
                prop_assert_eq!(fraction, other.f64());
            }
        }
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        let refused = |first, factor, cap| ExponentialBackoff::new(first, factor, cap).unwrap_err();
        assert_eq!(refused(Duration::ZERO, 2.0, SECOND), BackoffError::ZeroFirst);
        assert_eq!(refused(SECOND, 0.9, SECOND), BackoffError::Factor { factor: 0.9 });
        assert!(matches!(refused(SECOND, f64::NAN, SECOND), BackoffError::Factor { .. }));
        assert!(matches!(refused(SECOND, f64::INFINITY, SECOND), BackoffError::Factor { .. }));
        assert!(matches!(refused(2 * SECOND, 2.0, SECOND), BackoffError::Cap { .. }));
        assert!(matches!(refused(SECOND, 2.0, 2 * Backoff::LONGEST), BackoffError::Cap { .. }));
        let backoff = ExponentialBackoff::new(SECOND, 2.0, SECOND).unwrap();
        assert_eq!(backoff.jitter(1.5).unwrap_err(), BackoffError::Jitter { share: 1.5 });
        assert!(backoff.jitter(f64::NAN).is_err());
    }

    #[test]
    fn a_row_of_failures_is_forgotten_after_a_life_as_long_as_the_period_and_as_the_delay_before_it() {
        let backoff = Backoff::from(ExponentialBackoff::new(SECOND, 10.0, 1000 * SECOND).unwrap());
        let (mut streak, mut jitter_rng) = (Streak::default(), fastrand::Rng::with_seed(1));
        let mut after = |life: Duration| {
            streak.down(Some(life), 5 * SECOND);
            streak.fail(backoff, &mut jitter_rng)
        };
        assert_eq!(after(Duration::ZERO), SECOND);
        assert_eq!(after(4 * SECOND), 10 * SECOND, "longer than the delay, shorter than the period");
        assert_eq!(after(9 * SECOND), 100 * SECOND, "longer than the period, shorter than the delay");
        assert_eq!(after(100 * SECOND), SECOND);
    }
}
