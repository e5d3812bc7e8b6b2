use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::time::Instant;

use super::clock::PlausibleClock;

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

    /// Whether anything depends on the time of day.
    pub(super) fn is_by_age(&self) -> bool {
        self.max_age.is_some()
    }

    /// The interval between two runs, if there is any bound.
    pub(super) fn period(&self) -> Option<Duration> {
        let bounded = self.max_age.is_some() || self.max_count.is_some() || self.max_bytes.is_some();
        bounded.then_some(self.every)
    }

    /// The clock that ages are counted by, at this time of day; the newest event, if there is any, was recorded at
    /// `newest`. Its monotonic time begins now.
    pub(super) fn clock(&self, newest: Option<SystemTime>, time: SystemTime) -> PlausibleClock {
        PlausibleClock::new(self.jump_confirmed_after, newest, time, Duration::ZERO)
    }

    /// A run with the bounds that apply at this time, which the time of day is ahead of by `ahead`.
    pub(super) fn begin(&self, now: SystemTime, ahead: Duration) -> RetentionRun {
        let report = RetentionReport { clock_ahead: ahead, ..RetentionReport::default() };
        RetentionRun { begun: Instant::now(), bounds: self.bounds(now), report }
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
    pub clock_ahead: Duration,
    /// How long it took, on tokio's clock.
    #[serde(rename = "took_ms", serialize_with = "foundation_kernel::written::millis")]
    pub took: Duration,
    /// What failed, if anything did; the next run goes on from there.
    pub error: Option<String>,
}

/// Called with the report of each run.
pub(super) type OnRetention = Arc<dyn Fn(&RetentionReport) + Send + Sync>;

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
    report: RetentionReport,
}

impl RetentionRun {
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
