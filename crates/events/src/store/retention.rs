//! How long events are kept, and the time that this goes by: the time of day, as far as it is plausible.
//!
//! 1. A monotonic clock measures the time that has passed. A time of day that is ahead of it by more than the drift has
//!    jumped, and is not believed until it has stayed ahead for long enough.
//! 2. A time of day that is behind is believed at once: no event is pruned too early because of it.
//! 3. Before the first reading, the time is that of the newest event, which was recorded by then.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::time::Instant;

use crate::PruneBound;

/// How long events are kept: by age, by number, by bytes, whichever is exceeded first.
///
/// The store applies it [every](Self::every) so often on tokio's clock. It prunes the oldest events in small chunks,
/// between which it records, and reports what it did. Between two runs, bounds may be exceeded.
///
/// Age goes by a clock that cannot jump. The time of day is believed as long as it agrees with a monotonic clock,
/// counted from the newest event on; one that is ahead of it by more than 1 s and 1 % only when it has stayed so for
/// [an hour](Self::jump_confirmed_after). Until then events count as younger than they are: for example after a start
/// with a log whose newest event is a day old, or after the machine has slept. A clock that goes back is believed at
/// once.
///
/// Run-time changes of the configuration are never lost. When the first event of such a change is due, the config
/// server is asked to record the current state anew, as an event `config_checkpoint`, and the next run goes on. The
/// history then no longer has the older changes.
///
/// ```
/// use std::time::Duration;
/// use foundation_events::Retention;
///
/// let retention = Retention::new().max_age(Duration::from_secs(7 * 24 * 3600)).max_bytes(1 << 30);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    max_age: Option<Duration>,
    max_count: Option<u64>,
    max_bytes: Option<u64>,
    every: Duration,
    jump_confirmed_after: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let (every, jump_confirmed_after) = (Duration::from_secs(60), Duration::from_secs(3600));
        Self { max_age: None, max_count: None, max_bytes: None, every, jump_confirmed_after }
    }
}

impl Retention {
    /// Everything is kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Prunes events that were recorded longer ago than this.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Keeps only the newest `count` events.
    pub fn max_count(mut self, count: u64) -> Self {
        self.max_count = Some(count);
        self
    }

    /// Keeps only as many of the newest events as have at most these bytes, counted as in
    /// [`EventStats::bytes`](crate::EventStats::bytes).
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// The interval between two runs; 60 s by default, at least 1 ms.
    pub fn every(mut self, period: Duration) -> Self {
        self.every = period.max(Duration::from_millis(1));
        self
    }

    /// How long a clock that has jumped ahead has to stay there to be believed; an hour by default. With zero, each
    /// time of day is believed.
    pub fn jump_confirmed_after(mut self, time: Duration) -> Self {
        self.jump_confirmed_after = time;
        self
    }

    /// The interval between two runs, if there is any bound.
    pub(super) fn period(&self) -> Option<Duration> {
        let bounded = self.max_age.is_some() || self.max_count.is_some() || self.max_bytes.is_some();
        bounded.then_some(self.every)
    }

    /// The clock that ages are counted by, at this time of day; the newest event, if there is any, was recorded at
    /// `newest`. Its monotonic time begins now.
    pub(super) fn clock(&self, newest: Option<SystemTime>, time: SystemTime) -> RetentionClock {
        let plausible = PlausibleClock::new(self.jump_confirmed_after, newest, time, Duration::ZERO);
        RetentionClock { plausible, begun: Instant::now(), is_ahead: false }
    }

    /// A run with the bounds that apply at this time of day.
    pub(super) fn begin(&self, clock: &mut RetentionClock, time: SystemTime) -> RetentionRun {
        let Plausible { now, ahead } = clock.plausible.read(time, clock.begun.elapsed());
        let was_ahead = mem::replace(&mut clock.is_ahead, !ahead.is_zero());
        let has_jumped = self.max_age.is_some() && clock.is_ahead && !was_ahead;
        let report = RetentionReport { clock_ahead: ahead, ..RetentionReport::default() };
        RetentionRun { begun: Instant::now(), bounds: self.bounds(now), has_jumped, report }
    }

    /// The bounds to apply at this time, in this order.
    fn bounds(&self, now: SystemTime) -> Vec<PruneBound> {
        // An age that reaches back beyond the beginning of time keeps everything.
        let oldest = self.max_age.and_then(|age| now.checked_sub(age));
        let age = oldest.map(PruneBound::Before);
        let (count, bytes) = (self.max_count.map(PruneBound::Count), self.max_bytes.map(PruneBound::Bytes));
        age.into_iter().chain(count).chain(bytes).collect()
    }
}

/// The outcome of one run of the [`Retention`].
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RetentionReport {
    /// Events that were pruned for their age.
    pub by_age: u64,
    /// Events that were pruned because there were too many.
    pub by_count: u64,
    /// Events that were pruned because they had too many bytes.
    pub by_bytes: u64,
    /// By how much the time of day was ahead of the time that ages were counted from, since it has jumped and is not
    /// confirmed yet; otherwise zero.
    #[serde(rename = "clock_ahead_ms", serialize_with = "foundation_kernel::written::millis")]
    pub clock_ahead: Duration,
    /// How long it took, on tokio's clock.
    #[serde(rename = "took_ms", serialize_with = "foundation_kernel::written::millis")]
    pub took: Duration,
    /// What failed, if anything did; the next run goes on from there.
    pub error: Option<String>,
}

impl RetentionReport {
    /// The number of pruned events.
    pub fn pruned(&self) -> u64 {
        self.by_age + self.by_count + self.by_bytes
    }

    fn add(&mut self, bound: PruneBound, pruned: u64) {
        match bound {
            PruneBound::Before(_) => self.by_age += pruned,
            PruneBound::Count(_) => self.by_count += pruned,
            PruneBound::Bytes(_) => self.by_bytes += pruned,
        }
    }
}

/// A run of the retention under way: the bounds still to apply, in order, and its results so far.
pub(super) struct RetentionRun {
    begun: Instant,
    bounds: Vec<PruneBound>,
    has_jumped: bool,
    report: RetentionReport,
}

impl RetentionRun {
    /// By how much the time of day is ahead of what has passed, if that matters and was not so at the run before.
    pub(super) fn jump(&self) -> Option<Duration> {
        self.has_jumped.then_some(self.report.clock_ahead)
    }

    /// The bound to apply next; `None` when all are met.
    pub(super) fn bound(&self) -> Option<PruneBound> {
        self.bounds.first().copied()
    }

    /// Counts the events that were pruned by this bound, which is met if there were none.
    pub(super) fn pruned(&mut self, bound: PruneBound, events: u64) {
        self.report.add(bound, events);
        if events == 0 {
            self.bounds.remove(0);
        }
    }

    /// Its outcome, and what failed, if anything did.
    pub(super) fn end(self, error: Option<String>) -> RetentionReport {
        RetentionReport { error, took: self.begun.elapsed(), ..self.report }
    }
}

// ---- the time ----

/// Returns the time of day.
pub(super) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The clock that ages are counted by.
pub(super) struct RetentionClock {
    plausible: PlausibleClock,
    begun: Instant,
    /// Whether the time of day was not believed at the last run.
    is_ahead: bool,
}

/// A clock that is set by the network runs ahead of a monotonic one, or behind it, by this share at most.
const DRIFT: u32 = 100;
/// The tolerance beyond that: a leap second, or a small correction.
const STEP: Duration = Duration::from_secs(1);

/// A clock that is given the time of day, and the monotonic time since some start.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PlausibleClock {
    /// How long the time of day has to stay ahead.
    confirmed_after: Duration,
    /// The time as it was last believed, and when.
    believed: Reading,
    /// A time of day that is ahead and not believed, as it was first seen.
    ahead: Option<Reading>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    time: SystemTime,
    at: Duration,
}

/// The outcome of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plausible {
    /// The time to go by.
    now: SystemTime,
    /// By how much the time of day is ahead of it.
    ahead: Duration,
}

impl Reading {
    /// The latest plausible time of day after this reading.
    fn latest(&self, at: Duration) -> SystemTime {
        let passed = at.saturating_sub(self.at);
        later(later(self.time, passed), passed / DRIFT + STEP)
    }
}

impl PlausibleClock {
    /// A clock at its first reading; the newest event, if there is any, was recorded at `newest`.
    fn new(confirmed_after: Duration, newest: Option<SystemTime>, time: SystemTime, at: Duration) -> Self {
        let believed = Reading { time: newest.map_or(time, |newest| newest.min(time)), at };
        let mut clock = Self { confirmed_after, believed, ahead: None };
        clock.read(time, at);
        clock
    }

    /// Reads the time of day.
    fn read(&mut self, time: SystemTime, at: Duration) -> Plausible {
        let reading = Reading { time, at };
        if time <= self.believed.latest(at) || self.has_stayed_ahead(reading) {
            self.believed = reading;
            self.ahead = None;
        }
        let now = later(self.believed.time, at.saturating_sub(self.believed.at)).min(time);
        Plausible { now, ahead: time.duration_since(now).unwrap_or_default() }
    }

    /// Whether a time that is ahead was ahead before, and for long enough; notes it if not.
    fn has_stayed_ahead(&mut self, reading: Reading) -> bool {
        match self.ahead {
            Some(first) if reading.time >= first.time && reading.time <= first.latest(reading.at) => {
                reading.at.saturating_sub(first.at) >= self.confirmed_after
            }
            _ => {
                self.ahead = Some(reading);
                self.confirmed_after.is_zero()
            }
        }
    }
}

/// Saturates, since times end at some point.
fn later(time: SystemTime, by: Duration) -> SystemTime {
    time.checked_add(by).unwrap_or(time)
}

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_retention_without_bounds_never_runs() {
        assert_eq!(Retention::new().every(DAY).period(), None);
        assert_eq!(Retention::new().max_count(1).period(), Some(Duration::from_secs(60)));
        // Without a pause the store would do nothing else.
        assert_eq!(Retention::new().max_count(1).every(Duration::ZERO).period(), Some(Duration::from_millis(1)));
    }

    #[test]
    fn an_age_is_counted_back_from_now_and_before_the_other_bounds() {
        let retention = Retention::new().max_bytes(3).max_count(2).max_age(DAY);
        let expected = [PruneBound::Before(UNIX_EPOCH), PruneBound::Count(2), PruneBound::Bytes(3)];
        assert_eq!(retention.bounds(UNIX_EPOCH + DAY), expected);
    }

    #[test]
    fn an_age_beyond_all_time_keeps_everything() {
        assert_eq!(Retention::new().max_age(Duration::MAX).bounds(UNIX_EPOCH), []);
    }
}
