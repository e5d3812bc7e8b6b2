//! Whether an export that failed is tried again, and when: a function of values.

use std::time::Duration;

/// How often an export is tried, and the delays between the attempts.
///
/// The delay before the n-th attempt is drawn between zero and the first delay × 2ⁿ⁻², so that many programs do not come back
/// to a receiver at the same time; or it is what the receiver asks for. All attempts together take less than the period of the
/// exporter: then the next numbers are there, which make these superfluous.
///
/// | | default |
/// |---|---|
/// | attempts | 4 |
/// | first delay | 500 ms |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportRetry {
    attempts: u32,
    first_delay: Duration,
}

/// When another attempt makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryAfter {
    /// By the exporter's rule.
    Backoff,
    /// Not before this time, as the receiver says.
    At(Duration),
}

impl Default for ExportRetry {
    fn default() -> Self {
        Self { attempts: 4, first_delay: Duration::from_millis(500) }
    }
}

impl ExportRetry {
    /// At most so many attempts, at least 1.
    pub fn attempts(attempts: u32) -> Self {
        Self { attempts: attempts.max(1), ..Self::default() }
    }

    /// The greatest delay before the second attempt.
    pub fn first_delay(self, delay: Duration) -> Self {
        Self { first_delay: delay, ..self }
    }

    /// The delay before the next attempt, if there is one. `left` is what is left of the period, `fraction` is from 0 to 1.
    pub(crate) fn decide(
        &self,
        made: u32,
        advice: Option<RetryAfter>,
        left: Duration,
        fraction: f64,
    ) -> Option<Duration> {
        if made >= self.attempts {
            return None;
        }
        let delay = match advice? {
            RetryAfter::At(after) => after,
            RetryAfter::Backoff => {
                let doubled =
                    self.first_delay.saturating_mul(1_u32.checked_shl(made.saturating_sub(1)).unwrap_or(u32::MAX));
                doubled.min(left).mul_f64(fraction.clamp(0.0, 1.0))
            }
        };
        (delay < left).then_some(delay)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_receiver_that_asks_for_more_than_the_period_is_not_asked_again() {
        let retry = ExportRetry::default();
        let after = |seconds: u32| retry.decide(1, Some(RetryAfter::At(seconds * SECOND)), 10 * SECOND, 0.5);
        assert_eq!((after(9), after(10), after(60)), (Some(9 * SECOND), None, None));
        assert_eq!(retry.decide(1, None, 10 * SECOND, 0.5), None);
    }

    proptest! {
        #[test]
        fn there_are_as_many_attempts_as_may_be_and_all_end_within_the_period(
            attempts in 0u32..40, first in 0u64..100_000, left in 1u64..100_000, fraction in 0.0..1.0f64,
        ) {
            let retry = ExportRetry::attempts(attempts).first_delay(Duration::from_millis(first));
            let mut left = Duration::from_millis(left);
            let mut made = 1;
            while let Some(delay) = retry.decide(made, Some(RetryAfter::Backoff), left, fraction) {
                prop_assert!(delay < left);
                left -= delay;
                made += 1;
            }
            prop_assert!(made <= attempts.max(1));
        }
    }
}
