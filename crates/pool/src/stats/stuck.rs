//! Workers that do not get on: a function of their figures.
//!
//! 1. A worker within a poll for too long blocks its thread. It cannot be cancelled, so it is never killed.
//! 2. A worker that has had a job for too long, and is between polls, is slow. It may be killed, and then the job is back.
//! 3. A worker without a job is neither, whatever its polls do.

use std::time::Duration;

/// When a worker counts as stuck, and what is done about it.
///
/// A worker is *slow* if it has had a job for longer than [`slow_after`](Self::slow_after) and has noted no
/// [progress](crate::JobContext::progress) for so long, and *blocking* if it has been within
/// one poll of its future for so long: it computes without an await, or blocks its thread. A slow worker can be
/// [killed](Self::kill_after): its job comes back to the queue with one attempt more, and the worker is replaced. A blocking
/// one cannot be stopped by anyone. Another worker takes its place as long as there are [spare slots](Self::spare_slots).
///
/// Both are found by the pool's tick, every 500 ms. Jobs that compute for seconds belong into
/// [`spawn_blocking`](tokio::task::spawn_blocking).
///
/// | | default |
/// |---|---|
/// | [`slow_after`](Self::slow_after) | 30 s |
/// | [`kill_after`](Self::kill_after) | never |
/// | [`spare_slots`](Self::spare_slots) | 2 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stuck {
    slow_after: Duration,
    kill_after: Option<Duration>,
    pub(crate) spare_slots: usize,
}

impl Default for Stuck {
    fn default() -> Self {
        Self { slow_after: Duration::from_secs(30), kill_after: None, spare_slots: 2 }
    }
}

impl Stuck {
    /// With this time, and otherwise the defaults.
    pub fn slow_after(time: Duration) -> Self {
        Self { slow_after: time, ..Self::default() }
    }

    /// The time with a job after which a slow worker is killed. A time below [`slow_after`](Self::slow_after) is that one.
    pub fn kill_after(self, time: Duration) -> Self {
        Self { kill_after: Some(time), ..self }
    }

    /// How many workers there may be beyond the maximum, in the place of those that block.
    pub fn spare_slots(self, slots: usize) -> Self {
        Self { spare_slots: slots, ..self }
    }

    /// How a worker gets on.
    pub(crate) fn judge(&self, progress: Progress) -> Pace {
        let Some(job) = progress.job_for.filter(|time| *time >= self.slow_after) else { return Pace::Normal };
        match (progress.polled_for.filter(|time| *time >= self.slow_after), self.kill_after) {
            (Some(blocking), _) => Pace::Blocking(blocking.min(job)),
            // Within a poll, if only for a moment, it cannot be killed: the next tick looks again.
            (None, Some(limit)) if job >= limit => Pace::Overdue(job),
            (None, _) => Pace::Slow(job),
        }
    }
}

/// The figures of a worker at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// For how long it has had its job.
    pub(crate) job_for: Option<Duration>,
    /// For how long it has been within one poll.
    pub(crate) polled_for: Option<Duration>,
}

/// How a worker gets on, with the time for which it has been so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Normal,
    Slow(Duration),
    /// Slow, and to be killed.
    Overdue(Duration),
    Blocking(Duration),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const RULES: Stuck =
        Stuck { slow_after: Duration::from_secs(30), kill_after: Some(Duration::from_secs(60)), spare_slots: 2 };

    fn pace(job_for: impl Into<Option<u64>>, polled_for: impl Into<Option<u64>>) -> Pace {
        let seconds = |seconds: u64| Duration::from_secs(seconds);
        RULES.judge(Progress { job_for: job_for.into().map(seconds), polled_for: polled_for.into().map(seconds) })
    }

    #[test]
    fn a_worker_that_waits_for_long_is_slow_and_one_that_does_not_yield_blocks() {
        assert_eq!(pace(29, 29), Pace::Normal);
        assert_eq!(pace(31, None), Pace::Slow(31 * SECOND));
        assert_eq!(pace(31, 1), Pace::Slow(31 * SECOND));
        assert_eq!(pace(61, None), Pace::Overdue(61 * SECOND));
        assert_eq!(pace(100, 40), Pace::Blocking(40 * SECOND));
        assert_eq!(pace(None, 100), Pace::Normal, "a poll of a worker without a job");
    }

    proptest! {
        #[test]
        fn a_worker_is_never_killed_within_a_long_poll_nor_without_a_long_job(
            slow in any::<u64>(), kill in any::<Option<u64>>(), job in any::<Option<u64>>(), polled in any::<Option<u64>>(),
        ) {
            let rules = Stuck::slow_after(Duration::from_nanos(slow));
            let rules = kill.map_or(rules, |kill| rules.kill_after(Duration::from_nanos(kill)));
            let pace = rules.judge(Progress {
                job_for: job.map(Duration::from_nanos),
                polled_for: polled.map(Duration::from_nanos),
            });
            let long = |time: Option<u64>| time.is_some_and(|time| time >= slow);
            prop_assert_eq!(pace == Pace::Normal, !long(job));
            prop_assert_eq!(matches!(pace, Pace::Blocking(_)), long(job) && long(polled));
            if let Pace::Overdue(_) = pace {
                prop_assert!(kill.is_some_and(|kill| job.unwrap() >= kill) && !long(polled));
            }
        }
    }
}
