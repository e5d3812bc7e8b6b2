use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::log::PruneBound;
use serde::Serialize;

/// How long events are kept: by age, by number, by bytes, whichever is exceeded first.
///
/// The store looks every [`every`](Self::every) on tokio's clock, forgets the oldest events in small chunks, between which
/// it records, and reports what it did. In between, bounds may be exceeded.
///
/// Age goes by a clock that cannot jump: the time of day is believed as long as it agrees with a monotonic clock, counted
/// from the newest event on; one that is ahead of it by more than 1 s and 1 % only when it has stayed so for
/// [an hour](Self::jump_confirmed_after). Until then events are older than they count: after a start with a log whose newest
/// event is a day old, say, or after the machine has slept. A clock that goes back is believed at once.
///
/// What was changed in the configuration at run time is never forgotten: when the first event that says so is to go, the
/// config server is asked to record anew what holds, as an event `config_checkpoint`, and the next look goes on. Of older
/// changes the [history](crate::ConfigServer::history) then knows nothing any more.
///
/// ```
/// use std::time::Duration;
/// use foundation::Retention;
///
/// let retention = Retention::new().max_age(Duration::from_secs(7 * 24 * 3600)).max_bytes(1 << 30);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    max_age: Option<Duration>,
    max_count: Option<u64>,
    max_bytes: Option<u64>,
    every: Duration,
    pub(super) jump_confirmed_after: Duration,
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

    /// Events that were recorded longer ago than this are forgotten.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Only the newest `count` events are kept.
    pub fn max_count(mut self, count: u64) -> Self {
        self.max_count = Some(count);
        self
    }

    /// Only so many of the newest events are kept that they have at most these bytes, counted as in
    /// [`EventStats::bytes`](crate::EventStats::bytes).
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// How often the store looks; 60 s by default, at least 1 ms.
    pub fn every(mut self, period: Duration) -> Self {
        self.every = period.max(Duration::from_millis(1));
        self
    }

    /// For how long a clock that has jumped ahead has to stay there to be believed; an hour by default, and with zero each
    /// time of day is.
    pub fn jump_confirmed_after(mut self, time: Duration) -> Self {
        self.jump_confirmed_after = time;
        self
    }

    /// Whether anything depends on the time of day.
    pub(super) fn is_by_age(&self) -> bool {
        self.max_age.is_some()
    }

    /// How often to look, if there is anything to look for.
    pub(super) fn period(&self) -> Option<Duration> {
        let bounded = self.max_age.is_some() || self.max_count.is_some() || self.max_bytes.is_some();
        bounded.then_some(self.every)
    }

    /// What is to go at this time, in this order.
    pub(super) fn bounds(&self, now: SystemTime) -> Vec<PruneBound> {
        // An age that reaches back beyond the beginning of time keeps everything.
        let oldest = self.max_age.and_then(|age| now.checked_sub(age));
        let age = oldest.map(PruneBound::Before);
        let (count, bytes) = (self.max_count.map(PruneBound::Count), self.max_bytes.map(PruneBound::Bytes));
        age.into_iter().chain(count).chain(bytes).collect()
    }
}

/// What one look at the [`Retention`] came to.
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RetentionReport {
    /// Events that were forgotten for their age.
    pub by_age: u64,
    /// Events that were forgotten because there were too many.
    pub by_count: u64,
    /// Events that were forgotten because they had too many bytes.
    pub by_bytes: u64,
    /// By how much the time of day was ahead of the time that ages were counted from, since it has jumped and has not been
    /// confirmed yet; else zero.
    pub clock_ahead: Duration,
    /// How long it took, on tokio's clock.
    #[serde(rename = "took_ms", serialize_with = "foundation_core::written::millis")]
    pub took: Duration,
    /// What failed, if anything did; then the next look goes on.
    pub failure: Option<String>,
}

/// Who is told of each look.
pub(super) type TellRetention = Arc<dyn Fn(&RetentionReport) + Send + Sync>;

impl RetentionReport {
    /// Events that were forgotten.
    pub fn pruned(&self) -> u64 {
        self.by_age + self.by_count + self.by_bytes
    }

    pub(super) fn add(&mut self, bound: PruneBound, pruned: u64) {
        match bound {
            PruneBound::Before(_) => self.by_age += pruned,
            PruneBound::Count(_) => self.by_count += pruned,
            PruneBound::Bytes(_) => self.by_bytes += pruned,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn nothing_bounded_is_never_looked_for() {
        assert_eq!(Retention::new().every(DAY).period(), None);
        assert_eq!(Retention::new().max_count(1).period(), Some(Duration::from_secs(60)));
        // Without a pause there would be nothing but looks.
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
