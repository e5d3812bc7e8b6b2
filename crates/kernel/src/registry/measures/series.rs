//! The measures of the services of one namespace, as they are written: a series of figures for each name.
//!
//! 1. A name has at most one series, and all that measure under it have a share of it.
//! 2. A series outlives its actors, so that the next one under the name goes on with it.
//! 3. There are never more series than [`MAX_UNSWEPT_SERIES`], or twice as many as have an actor: the others are
//!    removed when a new name is added.
//!
//! Its writers, the meters, are a module below this one: the figures are private to the two.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use foldhash::HashMap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::measurement::Measurement;
use super::service_measures::ServiceMeasures;
use crate::namespace::{Namespace, ServiceName};
use crate::telemetry::Histogram;

pub(super) mod meter;

/// The largest number of series that is not worth a search for unused ones.
const MAX_UNSWEPT_SERIES: usize = 1_024;

/// The series of one namespace.
pub(crate) struct Measures {
    namespace: Namespace,
    /// For services without a setting of their own.
    measurement: Measurement,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_name: HashMap<ServiceName, Arc<Series>>,
    /// The number of series at which to remove unused ones.
    sweep_at: usize,
}

impl Measures {
    pub(crate) fn new(namespace: Namespace, measurement: Measurement) -> Self {
        Self { namespace, measurement, kept: Mutex::default() }
    }

    fn namespace(&self) -> Namespace {
        self.namespace
    }

    fn measurement(&self) -> Measurement {
        self.measurement
    }

    /// The series of a name, made if there is none.
    fn series(&self, name: &ServiceName) -> Arc<Series> {
        let mut kept = self.kept.lock();
        if let Some(series) = kept.by_name.get(name) {
            return Arc::clone(series);
        }
        kept.make_room();
        let series = Arc::new(Series::new());
        kept.by_name.insert(name.clone(), Arc::clone(&series));
        series
    }

    /// The measures of a name, if there are any.
    pub(crate) fn of(&self, name: &ServiceName, now: Instant) -> Option<ServiceMeasures> {
        // Read outside the lock, which delays the first message of other services.
        let series = self.kept.lock().by_name.get(name).cloned();
        series.map(|series| series.read(now))
    }

    /// The measures of each name, sorted by name.
    pub(crate) fn all(&self, now: Instant) -> Vec<(ServiceName, ServiceMeasures)> {
        let kept = self.kept.lock();
        let mut all: Vec<_> = kept.by_name.iter().map(|(name, series)| (name.clone(), Arc::clone(series))).collect();
        drop(kept);
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.into_iter().map(|(name, series)| (name, series.read(now))).collect()
    }
}

impl Kept {
    fn make_room(&mut self) {
        if self.by_name.len() >= self.sweep_at.max(MAX_UNSWEPT_SERIES) {
            self.by_name.retain(|_, series| Arc::strong_count(series) > 1);
            self.sweep_at = self.by_name.len() * 2;
        }
    }
}

/// Messages that come closer together than this on average, in nanoseconds, come in a burst.
const BURST: u64 = 10_000;

/// The figures of one name. Everything is relaxed: the numbers stand for themselves and publish nothing else.
///
/// As a rule one actor writes. But one whose name has just been taken away may be in the middle of a message while the
/// next one begins: hence read-modify-writes, and no single-writer cells. There is no contention.
struct Series {
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
    fn new() -> Self {
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
    fn begin(&self, timed_one_in: u64) -> Option<Instant> {
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

    /// Records the end of a handling: since when it was timed, if it was, and whether it failed.
    fn end(&self, timed: Option<Instant>, failed: bool) {
        if failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        let now = Instant::now();
        self.touch(now);
        if let Some(begun) = timed {
            self.handling_ns.record(nanoseconds(begun, now) as f64);
        }
    }

    /// Records an activity now.
    fn touch(&self, now: Instant) -> u64 {
        let at = nanoseconds(self.since, now);
        self.active.store(at, Ordering::Relaxed);
        at
    }

    fn read(&self, now: Instant) -> ServiceMeasures {
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

    fn measures() -> Measures {
        Measures::new(Namespace::test(), Measurement::default())
    }

    fn name(n: usize) -> ServiceName {
        ServiceName::new(format!("service-{n}")).unwrap()
    }

    #[test]
    fn a_name_has_one_series_that_outlives_its_users() {
        let measures = measures();
        let (one, same) = (measures.series(&name(1)), measures.series(&name(1)));
        assert!(Arc::ptr_eq(&one, &same));
        one.begin(1);
        drop((one, same));
        measures.series(&name(1)).begin(1);
        let all = measures.all(Instant::now());
        assert_eq!(all.iter().map(|(_, it)| it.messages).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn figures_come_in_the_order_of_the_names() {
        let measures = measures();
        ('a'..='z').rev().for_each(|name| drop(measures.series(&ServiceName::new(name.to_string()).unwrap())));
        let names: String = measures.all(Instant::now()).iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ('a'..='z').collect::<String>());
    }

    #[test]
    fn unused_series_make_room_and_those_in_use_stay() {
        let measures = measures();
        let used: Vec<_> = (0..100).map(|n| measures.series(&name(n))).collect();
        for n in 100..50_000 {
            drop(measures.series(&name(n)));
            assert!(measures.all_len() <= MAX_UNSWEPT_SERIES);
        }
        assert!(used.iter().enumerate().all(|(n, series)| Arc::ptr_eq(series, &measures.series(&name(n)))));
    }

    #[test]
    fn there_are_as_many_series_as_are_in_use_however_many_these_are() {
        let measures = measures();
        let used: Vec<_> = (0..3 * MAX_UNSWEPT_SERIES).map(|n| measures.series(&name(n))).collect();
        assert_eq!(measures.all_len(), used.len());
        drop(used);
        (0..4 * MAX_UNSWEPT_SERIES).for_each(|n| drop(measures.series(&name(100_000 + n))));
        assert!(measures.all_len() <= MAX_UNSWEPT_SERIES, "the crowd is forgotten");
    }

    impl Measures {
        fn all_len(&self) -> usize {
            self.kept.lock().by_name.len()
        }
    }
}
