//! When a log that has failed is opened again: a pure decision.

use std::fmt;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::{EventKind, EventStoreLimits, LogError};

/// The state of an event store that cannot record: since when, and why. It still reads, and tries again by itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outage {
    /// Since when, by the store's clock.
    pub since: SystemTime,
    /// What failed, at the latest try.
    pub cause: LogError,
}

impl Outage {
    /// The kind of the event by which a store that has its log again reports it.
    pub(super) const KIND: EventKind = EventKind::from_static("event_store_outage");
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the event store records nothing at present and will try again: {}", self.cause)
    }
}

/// The failures of a log in a row, and the pause that follows from them.
///
/// The first failure is answered at once, since most errors are over when the log is opened again. Each further one
/// that comes [within a minute](EventStoreLimits::reopen_steady) of the last success makes the store wait longer, up to
/// a limit: so a disk that takes small events and no large ones is not asked without a pause either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reopening {
    failures: u32,
    working_since: Option<Instant>,
}

impl Reopening {
    /// The log has failed, or could not be opened; returns the pause before it is opened again.
    pub(super) fn failed(&mut self, now: Instant, limits: &EventStoreLimits) -> Duration {
        if self.working_since.take().is_some_and(|since| now.saturating_duration_since(since) >= limits.reopen_steady) {
            self.failures = 0;
        }
        let delay = delay(self.failures, limits);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// The log is open, and has recorded something.
    pub(super) fn succeeded(&mut self, now: Instant) {
        self.working_since = Some(now);
    }

    /// The number of tries since the log last worked for long.
    pub(super) fn tries(&self) -> u32 {
        self.failures
    }
}

fn delay(failures: u32, limits: &EventStoreLimits) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doubled) => {
            let factor = 2_u32.saturating_pow(doubled);
            // A pause of zero would be a busy loop.
            let first = limits.reopen_first.max(Duration::from_millis(1));
            first.saturating_mul(factor).min(limits.reopen_longest.max(first))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn limits() -> EventStoreLimits {
        EventStoreLimits::default()
    }

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_first_failure_is_answered_at_once_and_the_next_ones_ever_later() {
        let (mut reopening, now) = (Reopening::default(), Instant::now());
        let delays: Vec<_> = (0..10).map(|_| reopening.failed(now, &limits())).collect();
        let expected = [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000].map(millis);
        assert_eq!(delays, expected);
    }

    #[test]
    fn a_log_that_has_worked_for_long_begins_anew_and_one_that_has_not_goes_on() {
        let (mut reopening, now) = (Reopening::default(), Instant::now());
        reopening.failed(now, &limits());
        reopening.succeeded(now);
        assert_eq!(reopening.failed(now + limits().reopen_steady - millis(1), &limits()), millis(100));
        reopening.succeeded(now);
        assert_eq!(reopening.failed(now + limits().reopen_steady, &limits()), Duration::ZERO);
    }

    proptest! {
        /// However the failures and successes of a log alternate, it is never opened in a tight loop.
        #[test]
        fn no_two_tries_in_a_row_come_without_a_pause(
            steps in vec((any::<bool>(), 0..59_999_u64), 1..100),
            first in 0..1_000_u64,
            longest in 0..60_000_u64,
        ) {
            let limits = limits().reopen_first(millis(first)).reopen_longest(millis(longest));
            let (mut reopening, mut now) = (Reopening::default(), Instant::now());
            reopening.failed(now, &limits);
            let mut before = Duration::ZERO;
            for (succeeds, works_for) in steps {
                if succeeds {
                    reopening.succeeded(now);
                    now += millis(works_for);
                }
                let delay = reopening.failed(now, &limits);
                prop_assert!(delay >= before.max(millis(1)));
                prop_assert!(delay <= limits.reopen_longest.max(limits.reopen_first).max(millis(1)));
                before = delay;
            }
        }
    }
}
