//! What happens to an event on which the consumer of a durable subscription fails: decided here, carried out in
//! [`durable`](super::durable) and [`forwarding`](super::forwarding).

use std::time::Duration;

use foundation_kernel::supervision::{Backoff, ExponentialBackoff};

/// What happens to an event on which the consumer of a durable subscription fails: it is shown again a number of times,
/// after a growing delay; then it is parked, skipped, or ends the subscription.
///
/// There are three failures: an actor has received the event and has ended, or dropped the reply port, without an
/// answer; the function that makes messages has panicked on it; or the consumer reports a failure by
/// [`DurableSubscription::fail`](crate::DurableSubscription::fail). Failures are counted in memory, for one event at a
/// time, across restarts of the consumer and of the store.
///
/// By default an event is shown again three times, after 1, 2 and 4 seconds, which the default restart intensity of a
/// supervisor allows. Then it is parked: the log keeps it, whatever is pruned, it is
/// [listed](crate::EventStore::parked), and can be [replayed](crate::EventStore::play_parked). So one event that
/// cannot be handled does not block the others.
///
/// ```
/// use std::time::Duration;
/// use foundation_events::{FailureRule, FailureVerdict};
/// use foundation_kernel::supervision::Backoff;
///
/// let rule = FailureRule::park_after(1).backoff(Backoff::Constant(Duration::from_secs(5)));
/// assert_eq!(rule.decide(1), FailureVerdict::ShowAgain(Duration::from_secs(5)));
/// assert_eq!(rule.decide(2), FailureVerdict::Park);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FailureRule {
    retries: u32,
    backoff: Backoff,
    then: FailureVerdict,
    max_parked: usize,
}

/// What happens to an event after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureVerdict {
    /// It is shown again after this time.
    ShowAgain(Duration),
    /// It is parked, and the next one is shown.
    Park,
    /// It is skipped, with a warning.
    Skip,
    /// The subscription ends before it.
    Fail,
}

impl FailureRule {
    /// Parks an event that has been shown again this many times.
    pub fn park_after(retries: u32) -> Self {
        Self::new(retries, FailureVerdict::Park)
    }

    /// Skips an event that has been shown again this many times.
    pub fn skip_after(retries: u32) -> Self {
        Self::new(retries, FailureVerdict::Skip)
    }

    /// Ends the subscription before an event that has been shown again this many times. A new subscription begins with
    /// it.
    pub fn fail_after(retries: u32) -> Self {
        Self::new(retries, FailureVerdict::Fail)
    }

    /// How long to wait before an event is shown again; 1 s, doubling up to 60 s, by default.
    pub fn backoff(self, backoff: impl Into<Backoff>) -> Self {
        Self { backoff: backoff.into(), ..self }
    }

    /// How many events of the subscription are parked at most; 1,000 by default. Beyond, an event is shown again and
    /// again, at the longest delay, and nothing after it.
    pub fn max_parked(self, count: usize) -> Self {
        Self { max_parked: count, ..self }
    }

    /// The decision after the consumer has failed on an event this many times in a row, at least once.
    pub fn decide(&self, failures: u32) -> FailureVerdict {
        match failures <= self.retries {
            true => FailureVerdict::ShowAgain(self.delay(failures)),
            false => self.then,
        }
    }

    /// The delay after this many failures in a row.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        self.backoff.delay(failures.saturating_sub(1), 0.0)
    }

    pub(crate) fn most_parked(&self) -> usize {
        self.max_parked
    }

    fn new(retries: u32, then: FailureVerdict) -> Self {
        let second = Duration::from_secs(1);
        let backoff =
            ExponentialBackoff::new(second, 2.0, 60 * second).map_or(Backoff::Constant(second), Backoff::from);
        Self { retries, backoff, then, max_parked: 1_000 }
    }
}

impl Default for FailureRule {
    fn default() -> Self {
        Self::park_after(3)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn by_default_an_event_is_shown_again_three_times_and_then_parked() {
        let verdicts = [1, 2, 3, 4, 5].map(|failures| FailureRule::default().decide(failures));
        let again = |seconds| FailureVerdict::ShowAgain(Duration::from_secs(seconds));
        assert_eq!(verdicts, [again(1), again(2), again(4), FailureVerdict::Park, FailureVerdict::Park]);
    }

    proptest! {
        #[test]
        fn a_rule_retries_as_often_as_it_says_ever_more_slowly_and_then_stays_with_its_verdict(
            retries in 0..200u32,
            failures in 1..400u32,
        ) {
            for (rule, then) in [
                (FailureRule::park_after(retries), FailureVerdict::Park),
                (FailureRule::skip_after(retries), FailureVerdict::Skip),
                (FailureRule::fail_after(retries), FailureVerdict::Fail),
            ] {
                match rule.decide(failures) {
                    FailureVerdict::ShowAgain(delay) => {
                        prop_assert!(failures <= retries);
                        prop_assert!(delay >= rule.delay(failures.saturating_sub(1)) && delay <= Duration::from_secs(60));
                    }
                    verdict => prop_assert!(failures > retries && verdict == then),
                }
            }
        }
    }
}
