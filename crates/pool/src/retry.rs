//! Whether a job that failed is tried again, and when: a function of values.

use std::time::Duration;

use foundation_kernel::supervision::{Backoff, ExponentialBackoff};

/// The number of attempts of a job, and the delays between them.
///
/// An attempt is a job that a worker has begun: one that reports an error, panics, is killed, or ends with its process
/// counts. A job that was only claimed does not. By default a job has one attempt.
///
/// Which limit counts when:
///
/// | an attempt | another one, unless it was the last of |
/// |---|---|
/// | failed, panicked, or took longer than [`PoolSpec::limit`](crate::PoolSpec::limit) | these attempts |
/// | was cut short, since its worker was killed or replaced | these attempts, or three if they are fewer: the worker may have been at fault |
/// | was cut short with its process; the job is durable | the `DurableQueue::tries` |
///
/// The tries of a durable queue count all attempts in all processes, and none follows the last of them. So they end what
/// ends its process each time, and these attempts decide about what fails.
///
/// ```
/// use std::time::Duration;
/// use foundation_kernel::supervision::ExponentialBackoff;
/// use foundation_pool::Retry;
///
/// let backoff = ExponentialBackoff::new(Duration::from_millis(100), 2.0, Duration::from_secs(60))?;
/// let retry = Retry::attempts(5).backoff(backoff.jitter(0.2)?);
/// assert_eq!(retry.max_attempts(), 5);
/// # Ok::<(), foundation_kernel::supervision::BackoffError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    attempts: u32,
    backoff: Backoff,
}

/// What the worker says about another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RetryAdvice {
    /// The pool's rule decides.
    #[default]
    Default,
    /// The next attempt, if there is one, is after this time.
    After(Duration),
    /// There is none.
    Never,
}

/// What becomes of a job that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryDecision {
    /// It waits for this time and is tried again.
    After(Duration),
    /// It has failed for good.
    GiveUp,
}

impl Default for Retry {
    fn default() -> Self {
        Self::never()
    }
}

impl Retry {
    /// One attempt.
    pub fn never() -> Self {
        Self::attempts(1)
    }

    /// At most this many attempts, the first one included, without delays; at least 1.
    pub fn attempts(attempts: u32) -> Self {
        Self { attempts: attempts.max(1), backoff: Backoff::None }
    }

    /// The delays between attempts: the supervisor's own type.
    pub fn backoff(self, backoff: impl Into<Backoff>) -> Self {
        Self { backoff: backoff.into(), ..self }
    }

    /// The highest number of attempts.
    pub fn max_attempts(&self) -> u32 {
        self.attempts
    }

    /// What becomes of a job that has failed after this many attempts. `fraction`, from 0 to 1, is the part of the jitter
    /// that is subtracted.
    pub(crate) fn decide(&self, attempts: u32, advice: RetryAdvice, fraction: f64) -> RetryDecision {
        if attempts >= self.attempts || advice == RetryAdvice::Never {
            return RetryDecision::GiveUp;
        }
        RetryDecision::After(match advice {
            RetryAdvice::After(delay) => delay.min(Backoff::LONGEST),
            _ => self.backoff.delay(attempts.saturating_sub(1), fraction),
        })
    }
}

impl From<ExponentialBackoff> for Retry {
    /// Five attempts with these delays.
    fn from(backoff: ExponentialBackoff) -> Self {
        Self::attempts(5).backoff(backoff)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn advice() -> impl Strategy<Value = RetryAdvice> {
        prop_oneof![
            Just(RetryAdvice::Default),
            Just(RetryAdvice::Never),
            any::<u64>().prop_map(|seconds| RetryAdvice::After(Duration::from_secs(seconds))),
        ]
    }

    #[test]
    fn the_delays_are_those_of_the_backoff_from_its_first_on() {
        let retry = Retry::attempts(4).backoff(ExponentialBackoff::new(SECOND, 2.0, 60 * SECOND).unwrap());
        let found = [1, 2, 3, 4].map(|attempts| retry.decide(attempts, RetryAdvice::Default, 0.0));
        let after = |seconds| RetryDecision::After(seconds * SECOND);
        assert_eq!(found, [after(1), after(2), after(4), RetryDecision::GiveUp]);
        assert_eq!(retry.decide(1, RetryAdvice::Never, 0.0), RetryDecision::GiveUp);
        assert_eq!(retry.decide(1, RetryAdvice::After(7 * SECOND), 0.0), after(7));
    }

    proptest! {
        #[test]
        fn a_job_has_at_most_its_attempts_and_at_least_one(
            attempts in 0u32..1_000, advice in advice(), fraction in any::<f64>(),
        ) {
            let retry = Retry::attempts(attempts);
            prop_assert_eq!(retry.decide(attempts.max(1), advice, fraction), RetryDecision::GiveUp);
            for made in 1..attempts.min(50) {
                match retry.decide(made, advice, fraction) {
                    RetryDecision::After(delay) => prop_assert!(delay <= Backoff::LONGEST),
                    RetryDecision::GiveUp => prop_assert_eq!(advice, RetryAdvice::Never),
                }
            }
        }
    }
}
