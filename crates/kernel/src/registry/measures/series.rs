//! The measures of one service, as they are written.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::service_measures::ServiceMeasures;
use crate::telemetry::Histogram;

/// Messages that come closer together than this on average, in nanoseconds, come in a burst.
const BURST: u64 = 10_000;

/// The figures of one name. Everything is relaxed: the numbers stand for themselves and publish nothing else.
///
/// As a rule one actor writes. But one whose name has just been taken away may be in the middle of a message while the
/// next one begins: hence read-modify-writes, and no single-writer cells. There is no contention.
pub(super) struct Series {
    since: Instant,
    messages: AtomicU64,
    failures: AtomicU64,
    /// Nanoseconds from `since` until the last activity.
    active: AtomicU64,
    /// Nanoseconds from `since` until the beginning of the message that was timed last.
    timed: AtomicU64,
    /// Whether messages come so fast that to read the clock for each would add nothing.
    burst: AtomicBool,
    handling_ns: Histogram,
}

impl Series {
    pub(super) fn new() -> Self {
        let zero = AtomicU64::default;
        Self {
            since: Instant::now(),
            messages: zero(),
            failures: zero(),
            active: zero(),
            timed: zero(),
            burst: AtomicBool::new(false),
            handling_ns: Histogram::new(),
        }
    }

    /// Counts a message. One in `timed_one_in`, a power of two, is timed; returns the start if this is one.
    #[inline]
    pub(super) fn begin(&self, timed_one_in: u64) -> Option<Instant> {
        let number = self.messages.fetch_add(1, Ordering::Relaxed);
        // A power of two: a division would cost as much as all the rest.
        if number & (timed_one_in - 1) == 0 {
            return Some(self.begin_timed(number, timed_one_in));
        }
        if !self.burst.load(Ordering::Relaxed) {
            self.touch(Instant::now());
        }
        None
    }

    fn begin_timed(&self, number: u64, timed_one_in: u64) -> Instant {
        let now = Instant::now();
        let at = self.touch(now);
        let window = at.saturating_sub(self.timed.swap(at, Ordering::Relaxed));
        // Before the first there was no message that it could have come close to.
        self.burst.store(number > 0 && window < BURST * timed_one_in, Ordering::Relaxed);
        now
    }

    /// Records an activity now.
    pub(super) fn touch(&self, now: Instant) -> u64 {
        let at = nanoseconds(self.since, now);
        self.active.store(at, Ordering::Relaxed);
        at
    }

    pub(super) fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn record(&self, begun: Instant, ended: Instant) {
        self.handling_ns.record(nanoseconds(begun, ended) as f64);
    }

    pub(super) fn read(&self, now: Instant) -> ServiceMeasures {
        let active = self.since + Duration::from_nanos(self.active.load(Ordering::Relaxed));
        let failures = self.failures.load(Ordering::Relaxed);
        ServiceMeasures {
            // Each failure is one of a message, whichever of the two is seen first.
            messages: self.messages.load(Ordering::Relaxed).max(failures),
            failures,
            idle: now.saturating_duration_since(active),
            handling_ns: self.handling_ns.snapshot(),
        }
    }
}

/// Enough for 584 years.
fn nanoseconds(from: Instant, until: Instant) -> u64 {
    until.saturating_duration_since(from).as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn idle(series: &Series) -> Duration {
        series.read(Instant::now()).idle
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_is_looked_at_for_each_message_that_comes_by_itself() {
        let series = Series::new();
        for _ in 0..40 {
            advance(SECOND).await;
            series.begin(8);
            assert_eq!(idle(&series), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_burst_at_most_seven_messages_go_unnoticed() {
        let series = Series::new();
        // The ninth ends the first eight, and shows that they came in a burst.
        for _ in 0..9 {
            series.begin(8);
        }
        for n in 1..8 {
            advance(SECOND).await;
            series.begin(8);
            assert_eq!(idle(&series), SECOND * n);
        }
        for _ in 0..20 {
            advance(SECOND).await;
            series.begin(8);
            assert_eq!(idle(&series), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_message_is_no_burst() {
        let series = Series::new();
        series.begin(8);
        advance(SECOND).await;
        series.begin(8);
        assert_eq!(idle(&series), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_less_than_ten_microseconds_a_message_however_long_the_service_has_been_there() {
        for (pause, is_burst) in [(9, true), (10, false)] {
            let series = Series::new();
            advance(SECOND).await;
            for _ in 0..9 {
                advance(Duration::from_micros(pause)).await;
                series.begin(8);
            }
            advance(SECOND).await;
            series.begin(8);
            assert_eq!(idle(&series), if is_burst { SECOND } else { Duration::ZERO }, "{pause}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_in_so_many_is_timed_the_first_among_them() {
        let series = Series::new();
        let timed: Vec<_> = (0..20).filter(|_| series.begin(8).is_some()).collect();
        assert_eq!(timed, [0, 8, 16]);
        assert!((0..20).all(|_| series.begin(1).is_some()));
    }
}
