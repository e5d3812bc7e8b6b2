//! A limit on the jobs per time, which holds jobs back rather than losing them.
//!
//! 1. Since the beginning, and within any time `t` in which nothing looks late, at most `burst + t × rate` jobs pass.
//! 2. As long as jobs wait, no fewer than that pass, but for a nanosecond of each job.
//! 3. A look that is late, as timers are by up to a millisecond, finds the tokens that have come meanwhile, also beyond the
//!    burst: those of [`MAX_LATE`] at most. Without jobs that wait, a bucket that is full gets no more.
//! 4. The arithmetic is exact: times count in fractions of a nanosecond, as many as there are jobs in a period.

use std::time::Duration;

use tokio::time::Instant;

/// The longest period of a rate: a day.
const LONGEST_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// The time whose tokens are kept for jobs that wait, beyond the burst.
const MAX_LATE: Duration = Duration::from_millis(20);

/// A limit on the jobs that a pool performs per time.
///
/// It is a bucket of tokens, full at first: [`burst`](Self::burst) jobs may pass at once, 1 by default, and then one each
/// time that a token has come. Timers are exact to a millisecond: at more than 1,000 jobs per second those of a millisecond
/// pass together, and after a delay of the machine those of up to 20 ms, so that the rate is what was asked for. With [`OverRate::Wait`], the default, jobs are accepted as ever and wait in the queue; with
/// [`OverRate::Refuse`] a job over the rate is not accepted and comes back to its sender.
///
/// ```
/// use std::time::Duration;
/// use foundation_pool::{OverRate, Rate};
///
/// let rate = Rate::per_second(100)?.burst(20);
/// let strict = Rate::new(5, Duration::from_secs(60))?.over(OverRate::Refuse);
/// # let _ = (rate, strict);
/// # Ok::<(), foundation_pool::RateError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    jobs: u32,
    period: Duration,
    burst: u32,
    over: OverRate,
}

/// What becomes of a job over the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OverRate {
    /// It waits in the queue.
    #[default]
    Wait,
    /// It is not accepted, and comes back with the time at which another one would be.
    Refuse,
}

/// Why a rate is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateError {
    /// No job could ever pass.
    #[error("a rate of 0 jobs lets none pass; pause the pool instead, or give a rate of 1 or more")]
    NoJobs,
    /// The period is zero or longer than a day.
    #[error("the period of a rate is above 0 s and at most a day, not {period:?}")]
    Period {
        /// The value given.
        period: Duration,
    },
}

impl Rate {
    /// This many jobs in each second.
    ///
    /// # Errors
    /// [`RateError::NoJobs`] for a rate of 0.
    pub fn per_second(jobs: u32) -> Result<Self, RateError> {
        Self::new(jobs, Duration::from_secs(1))
    }

    /// This many jobs in each period, spread evenly over it.
    ///
    /// # Errors
    /// [`RateError`] for a rate of 0 jobs, and for a period of zero or of more than a day.
    pub fn new(jobs: u32, period: Duration) -> Result<Self, RateError> {
        if jobs == 0 {
            return Err(RateError::NoJobs);
        }
        if period.is_zero() || period > LONGEST_PERIOD {
            return Err(RateError::Period { period });
        }
        Ok(Self { jobs, period, burst: 1, over: OverRate::default() })
    }

    /// How many jobs may pass at once after a time without any; at least 1, which is the default.
    pub fn burst(self, jobs: u32) -> Self {
        Self { burst: jobs.max(1), ..self }
    }

    /// What becomes of a job over the rate; [`OverRate::Wait`] by default.
    pub fn over(self, over: OverRate) -> Self {
        Self { over, ..self }
    }

    pub(crate) fn refuses(&self) -> bool {
        self.over == OverRate::Refuse
    }
}

/// The tokens of a rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateLimiter {
    rate: Rate,
    origin: Instant,
    /// The time at which the bucket is full again, in fractions of a nanosecond since the origin.
    full_at: u128,
    demand: RateDemand,
}

/// Whether jobs wait for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RateDemand {
    /// None does, or it is not known.
    Met,
    /// Since the last token was taken some have waited.
    Short,
}

/// How many jobs a rate lets pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Allowance {
    /// Now.
    pub(crate) now: usize,
    /// In each second from now on.
    pub(crate) per_second: f64,
}

impl Default for Allowance {
    /// All of them.
    fn default() -> Self {
        Self { now: usize::MAX, per_second: f64::INFINITY }
    }
}

impl RateLimiter {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, origin: now, full_at: 0, demand: RateDemand::Met }
    }

    /// How many jobs may pass now: at most [`burst`](Rate::burst), and those of a late look.
    pub(crate) fn available(&self, now: Instant) -> usize {
        let tokens = (self.fractions(now) + self.capacity()).saturating_sub(self.filling_since(now)) / self.interval();
        usize::try_from(tokens).unwrap_or(usize::MAX)
    }

    /// Notes that jobs pass.
    pub(crate) fn take(&mut self, jobs: usize, now: Instant) {
        self.full_at = self.filling_since(now) + jobs as u128 * self.interval();
    }

    /// The time at which the bucket is or was full: one that has been full for a while counts as just full, unless jobs wait.
    fn filling_since(&self, now: Instant) -> u128 {
        let late = match self.demand {
            RateDemand::Met => 0,
            RateDemand::Short => MAX_LATE.as_nanos() * u128::from(self.rate.jobs),
        };
        self.full_at.max(self.fractions(now).saturating_sub(late))
    }

    /// Notes that jobs have not been begun after all.
    pub(crate) fn give_back(&mut self, jobs: usize) {
        self.full_at = self.full_at.saturating_sub(jobs as u128 * self.interval());
    }

    /// How long until a job may pass; zero if one may now.
    pub(crate) fn free_in(&self, now: Instant) -> Duration {
        let free_at = (self.full_at + self.interval()).saturating_sub(self.capacity());
        let missing = free_at.saturating_sub(self.fractions(now)).div_ceil(u128::from(self.rate.jobs));
        Duration::from_nanos(u64::try_from(missing).unwrap_or(u64::MAX))
    }

    /// The time of a token.
    fn interval(&self) -> u128 {
        self.rate.period.as_nanos()
    }

    fn capacity(&self) -> u128 {
        u128::from(self.rate.burst) * self.interval()
    }

    fn fractions(&self, now: Instant) -> u128 {
        now.saturating_duration_since(self.origin).as_nanos() * u128::from(self.rate.jobs)
    }
}

/// The rate of a queue, if it has one. Without one the clock is not read.
#[derive(Debug)]
pub(crate) struct RateGate(Option<RateLimiter>);

impl RateGate {
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self(rate.map(|rate| RateLimiter::new(rate, Instant::now())))
    }

    fn waiting(&self) -> Option<&RateLimiter> {
        self.0.as_ref().filter(|limiter| !limiter.rate.refuses())
    }

    /// Whether there is no rate, of either kind.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Whether jobs wait for the rate.
    pub(crate) fn is_limited(&self) -> bool {
        self.waiting().is_some()
    }

    /// How many jobs may begin now.
    pub(crate) fn available(&self) -> usize {
        self.waiting().map_or(usize::MAX, |limiter| limiter.available(Instant::now()))
    }

    /// When the next job may begin, if none may at this time.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let limiter = self.waiting()?;
        let free_in = limiter.free_in(now);
        if free_in.is_zero() { None } else { now.checked_add(free_in) }
    }

    /// Notes that jobs begin.
    pub(crate) fn begin(&mut self, jobs: usize) {
        if let Some(limiter) = self.0.as_mut().filter(|limiter| !limiter.rate.refuses()) {
            limiter.take(jobs, Instant::now());
        }
    }

    /// Notes that jobs wait, and the last token has been taken, unless one is there.
    pub(crate) fn note_short(&mut self) {
        let now = Instant::now();
        if let Some(limiter) = self.0.as_mut().filter(|limiter| limiter.available(now) == 0) {
            limiter.demand = RateDemand::Short;
        }
    }

    /// Notes that no job has waited.
    pub(crate) fn catch_up(&mut self) {
        self.0.iter_mut().for_each(|limiter| limiter.demand = RateDemand::Met);
    }

    /// How many jobs may begin.
    pub(crate) fn allowance(&self) -> Allowance {
        let allowance = |limiter: &RateLimiter| Allowance {
            now: limiter.available(Instant::now()),
            per_second: f64::from(limiter.rate.jobs) / limiter.rate.period.as_secs_f64(),
        };
        self.waiting().map(allowance).unwrap_or_default()
    }

    /// Notes that jobs have not begun after all.
    pub(crate) fn give_back(&mut self, jobs: usize) {
        if let Some(limiter) = self.0.as_mut().filter(|limiter| !limiter.rate.refuses()) {
            limiter.give_back(jobs);
        }
    }

    /// Takes a token for a job that is to be accepted, or says when there will be one.
    pub(crate) fn accept(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(limiter) = self.0.as_mut().filter(|limiter| limiter.rate.refuses()) else { return Ok(()) };
        match limiter.free_in(now) {
            Duration::ZERO => {
                limiter.take(1, now);
                Ok(())
            }
            free_in => Err(free_in),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rates_without_meaning_are_refused() {
        assert_eq!(Rate::per_second(0), Err(RateError::NoJobs));
        for period in [Duration::ZERO, Duration::MAX] {
            assert_eq!(Rate::new(1, period), Err(RateError::Period { period }));
        }
    }

    #[test]
    fn by_default_no_burst_passes() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(Rate::per_second(10).unwrap(), now);
        assert_eq!(limiter.available(now), 1);
        limiter.take(1, now);
        assert_eq!((limiter.available(now), limiter.free_in(now)), (0, SECOND / 10));
        assert_eq!((limiter.available(now + SECOND / 10), limiter.free_in(now + SECOND / 10)), (1, Duration::ZERO));
        assert_eq!(limiter.available(now + 1_000 * SECOND), 1, "an idle time saves up a burst only");
    }

    #[test]
    fn only_jobs_that_wait_have_the_tokens_of_a_late_look_and_only_those_of_twenty_milliseconds() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(Rate::per_second(1_000).unwrap(), now);
        limiter.take(1, now);
        assert_eq!(limiter.available(now + SECOND), 1);
        limiter.demand = RateDemand::Short;
        assert_eq!(limiter.available(now + SECOND / 100), 10);
        assert_eq!(limiter.available(now + SECOND), 21, "the burst, and those of 20 ms");
    }

    #[test]
    fn what_was_not_begun_may_pass_later() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(Rate::per_second(10).unwrap().burst(5), now);
        limiter.take(5, now);
        limiter.give_back(3);
        assert_eq!(limiter.available(now), 3);
        limiter.give_back(usize::MAX);
        assert_eq!(limiter.available(now), 5);
    }

    /// A rate and pauses in nanoseconds between looks.
    fn looks() -> impl Strategy<Value = (Rate, Vec<(u64, usize)>)> {
        let rate = (1u32..2_000_000_000, 1u64..10_000_000_000, 1u32..100);
        let rate =
            rate.prop_map(|(jobs, period, burst)| Rate::new(jobs, Duration::from_nanos(period)).unwrap().burst(burst));
        (rate, vec((0u64..3_000_000_000, 0usize..200), 1..100))
    }

    proptest! {
        #[test]
        fn within_any_time_no_more_than_the_burst_and_the_rate_pass((rate, looks) in looks()) {
            let origin = Instant::now();
            let (mut now, mut limiter, mut passed) = (origin, RateLimiter::new(rate, origin), 0u128);
            let mut before: Vec<(Instant, u128)> = vec![(origin, 0)];
            for (pause, wanted) in looks {
                now += Duration::from_nanos(pause);
                let taken = limiter.available(now).min(wanted);
                prop_assert!(taken <= rate.burst as usize);
                limiter.take(taken, now);
                passed += taken as u128;
                for (at, earlier) in &before {
                    let tokens = (now - *at).as_nanos() * u128::from(rate.jobs) / rate.period.as_nanos();
                    prop_assert!(passed - earlier <= u128::from(rate.burst) + tokens + 1);
                }
                before.push((now, passed));
            }
        }

        #[test]
        fn jobs_that_wait_pass_at_the_rate(jobs in 1u32..100_000, period in 1u64..10_000_000_000, burst in 1u32..10) {
            let rate = Rate::new(jobs, Duration::from_nanos(period)).unwrap().burst(burst);
            let origin = Instant::now();
            let (mut now, mut limiter) = (origin, RateLimiter::new(rate, origin));
            for _ in 0..1_000 {
                let free_in = limiter.free_in(now);
                prop_assert_eq!(free_in.is_zero(), limiter.available(now) > 0);
                now += free_in;
                prop_assert!(limiter.available(now) > 0, "at the time that the limiter named a job may pass");
                limiter.take(1, now);
            }
            // A job that comes less than a nanosecond after its token may lose that to a full bucket.
            let tokens = 1_000u128.saturating_sub(u128::from(burst));
            let ideal = (tokens * rate.period.as_nanos()).div_ceil(u128::from(jobs));
            prop_assert!((ideal..=ideal + 1_000).contains(&(now - origin).as_nanos()));
        }

        #[test]
        fn by_a_timer_of_a_millisecond_that_is_late_the_rate_is_the_one_that_was_asked_for(
            per_second in 10u32..=1_000_000, burst in 1u32..200, late in vec(0u64..=19, 1..50),
        ) {
            let rate = Rate::per_second(per_second).unwrap().burst(burst);
            let (origin, mut late) = (Instant::now(), late.iter().cycle());
            let mut gate = RateGate(Some(RateLimiter::new(rate, origin)));
            let (mut millis, mut passed) = (0, 0u64);
            while millis < 2_000 {
                let now = origin + Duration::from_millis(millis);
                let limiter = gate.0.as_mut().unwrap();
                let taken = limiter.available(now);
                limiter.take(taken, now);
                limiter.demand = RateDemand::Short;
                passed += taken as u64;
                let tokens = u64::from(per_second) * millis / 1_000;
                prop_assert!(passed <= u64::from(burst) + tokens, "{} in {} ms", passed, millis);
                prop_assert!(passed + 1 >= u64::from(burst) + tokens, "{} in {} ms", passed, millis);
                let due = limiter.free_in(now).as_nanos().div_ceil(1_000_000) as u64;
                millis += due + late.next().unwrap();
            }
        }

        #[test]
        fn no_amount_and_no_time_panics(jobs in 1u32.., period in 1u64.., burst in any::<u32>(), take in any::<usize>()) {
            let period = Duration::from_nanos(period).min(LONGEST_PERIOD);
            let now = Instant::now();
            let mut limiter = RateLimiter::new(Rate::new(jobs, period).unwrap().burst(burst), now);
            limiter.take(take, now);
            limiter.take(take, now + LONGEST_PERIOD);
            limiter.give_back(take);
            let _ = (limiter.available(now), limiter.free_in(now), limiter.free_in(now + LONGEST_PERIOD * 300));
        }
    }
}
