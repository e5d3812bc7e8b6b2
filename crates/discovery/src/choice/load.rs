//! The load of one instance: calls in flight, how long calls take, and how many succeed.
//!
//! # Invariants
//!
//! 1. Calls in flight are those that have begun and not ended: two counts, each of which only grows, so that a beginning and
//!    an end are one addition each. A reader reads the ends first, so it never finds more of them than beginnings.
//! 2. A call that ends without having begun changes nothing. A [`Picked`](crate::Picked) ends once and has begun, so its end is
//!    not compared with the beginnings; one that is reported through [`Load::end`] is.
//! 3. A reading changes nothing, and takes no lock.
//! 4. Figures have 24 bits. A step that they cannot show is either taken at once, if it is the last one, or waits with the
//!    age of the figure until it can be shown: so no figure stops short of what it tends to.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foundation_kernel::written::some_millis;
use serde::Serialize;
use tokio::time::Instant;

use super::outcome::Outcome;
use super::stamped::{Aged, Stamped};

/// How much of the success one outcome is.
const SHARE_OF_OUTCOME: f64 = 0.125;
/// Latencies whose difference is a smaller share of them are alike.
const ALIKE: f64 = 1e-3;
/// The smallest share of a latency by which a written one differs: one of its 24 bits.
const STEP: f64 = f32::EPSILON as f64;
/// A success above is one without a failure.
const FLAWLESS: f64 = 1.0 - 1e-6;
/// A latency that has not been measured.
const UNMEASURED: f32 = -1.0;
/// No call has begun.
const NEVER: u64 = u64::MAX;

/// How fast a load forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadRules {
    decay: Duration,
    recovery: Duration,
}

impl Default for LoadRules {
    fn default() -> Self {
        Self { decay: Duration::from_secs(10), recovery: Duration::from_secs(10) }
    }
}

impl LoadRules {
    /// The defaults: 10 s each.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time in which a former latency loses about two thirds of its weight; at least 1 ms.
    pub fn decay(self, time: Duration) -> Self {
        Self { decay: time.max(Duration::from_millis(1)), ..self }
    }

    /// The time in which an instance without calls is forgiven about two thirds of its failures; at least 1 ms.
    pub fn recovery(self, time: Duration) -> Self {
        Self { recovery: time.max(Duration::from_millis(1)), ..self }
    }
}

/// The load of one incarnation of an instance, as its callers see it: shared by them, without a lock.
///
/// The latency is a peak EWMA of the successful calls, as in Finagle and tower: a slower call counts in full at once, faster
/// ones bring it down in time. Success is an EWMA of the outcomes that recovers while there are none. Both decay when they
/// are [read](Self::reading), so a query changes nothing. Figures have 24 bits, and times are in steps of a millisecond.
///
/// Cost: an atomic addition for the beginning of a call, and for its end one or two, and two compare-and-swaps.
///
/// ```
/// use std::time::Duration;
/// use foundation_discovery::choice::{Load, LoadRules, Outcome};
/// use tokio::time::Instant;
///
/// let (rules, now) = (LoadRules::new(), Instant::now());
/// let load = Load::new(now);
/// load.begin(now);
/// load.begin(now);
/// load.end(&rules, Outcome::Succeeded(Duration::from_millis(20)), now);
///
/// let reading = load.reading(&rules, now);
/// assert_eq!((reading.in_flight, reading.latency), (1, Some(Duration::from_millis(20))));
/// ```
// The orderings are relaxed, since each figure stands for itself; but for those of the calls in flight, which are in one order
// with a drain of the instance.
#[derive(Debug)]
pub struct Load {
    origin: Instant,
    begun: AtomicU64,
    ended: AtomicU64,
    /// Those of the ended that say nothing of the instance.
    cancelled: AtomicU64,
    /// When the last call began, in nanoseconds since the origin.
    begun_at: AtomicU64,
    /// In nanoseconds.
    latency: Stamped,
    success: Stamped,
}

/// A [`Load`] at one time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LoadReading {
    /// Calls that have begun and not ended.
    pub in_flight: u32,
    /// How long calls take; `None` as long as none has succeeded.
    #[serde(rename = "latency_ms", serialize_with = "some_millis")]
    pub latency: Option<Duration>,
    /// How many calls succeed, 0 to 1; 1 as long as none has ended.
    pub success: f64,
    /// For how long no call has begun; `None` if none ever has.
    #[serde(rename = "idle_ms", serialize_with = "some_millis")]
    pub idle: Option<Duration>,
}

/// What a score by latency looks at, without the conversions of a reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    pub(crate) in_flight: u32,
    pub(crate) latency_nanos: Option<f64>,
    pub(crate) success: f64,
}

impl Load {
    /// Without a call.
    pub fn new(now: Instant) -> Self {
        Self {
            origin: now,
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            begun_at: AtomicU64::new(NEVER),
            latency: Stamped::new(UNMEASURED),
            success: Stamped::new(1.0),
        }
    }

    /// A call begins.
    pub fn begin(&self, now: Instant) {
        self.enter();
        self.note_begin(now);
    }

    /// A call that has been entered begins at this time.
    pub(crate) fn note_begin(&self, now: Instant) {
        self.begun_at.store(self.nanos(now), Ordering::Relaxed);
    }

    /// A call that had begun ends.
    pub fn end(&self, rules: &LoadRules, outcome: Outcome, now: Instant) {
        if self.leave_if_begun(outcome) {
            if let Outcome::Succeeded(latency) = outcome {
                self.note_latency(rules, latency, now);
            }
            self.note_success(rules, outcome, now);
        }
    }

    /// A call begins whose time is not measured, or not yet.
    #[inline]
    pub(crate) fn enter(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// A call that [has begun](Self::enter) is in flight no more.
    #[inline]
    pub(crate) fn leave(&self, is_cancelled: bool) {
        // Before the end is counted: a reader may find a call too few among those that were not cancelled, and none too many.
        if is_cancelled {
            self.cancelled.fetch_add(1, Ordering::Relaxed);
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
    }

    /// The same of a call that may not have begun; false if it has not.
    fn leave_if_begun(&self, outcome: Outcome) -> bool {
        let one_more = |ended| (ended < self.begun.load(Ordering::SeqCst)).then_some(ended + 1);
        let left = self.ended.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok();
        if left && outcome == Outcome::Cancelled {
            self.cancelled.fetch_add(1, Ordering::Relaxed);
        }
        left
    }

    /// Whether the next success changes the share of those that succeed: only after a failure.
    #[inline]
    pub(crate) fn has_failures(&self) -> bool {
        self.success.figure() < 1.0
    }

    /// How long a call took that has succeeded at this time.
    pub(crate) fn note_latency(&self, rules: &LoadRules, latency: Duration, now: Instant) {
        self.latency.note(self.nanos(now), |before| next_latency(rules, before, nanos(latency) as f64));
    }

    /// Whether a call has succeeded that ended at this time.
    pub(crate) fn note_success(&self, rules: &LoadRules, outcome: Outcome, now: Instant) {
        let Some(success) = outcome.is_success() else { return };
        // Of an instance without a failure there is nothing to note.
        if !success || self.has_failures() {
            let outcome = f64::from(u8::from(success));
            self.success.note(self.nanos(now), |before| {
                let before = recovered(rules, before);
                let next = before + (outcome - before) * SHARE_OF_OUTCOME;
                Some(if next > FLAWLESS { 1.0 } else { next })
            });
        }
    }

    /// How many calls have ended and were not cancelled.
    pub(crate) fn ended(&self) -> u64 {
        // In this order: see `leave`.
        let ended = self.ended.load(Ordering::Acquire);
        ended.saturating_sub(self.cancelled.load(Ordering::Relaxed))
    }

    /// As if so many had begun and ended.
    #[cfg(test)]
    pub(crate) fn set_ended(&self, ended: u64) {
        self.begun.store(ended, Ordering::Relaxed);
        self.ended.store(ended, Ordering::Relaxed);
    }

    /// Calls that have begun and not ended. Cost: reading two atomics.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        // In this order: what has ended by then has begun by now.
        let ended = self.ended.load(Ordering::SeqCst);
        self.begun.load(Ordering::SeqCst).wrapping_sub(ended) as u32
    }

    /// For how long no call whose time is measured has begun; `None` if none ever has.
    pub(crate) fn idle(&self, now: Instant) -> Option<Duration> {
        let begun = Some(self.begun_at.load(Ordering::Relaxed)).filter(|begun| *begun != NEVER)?;
        Some(Duration::from_nanos(self.nanos(now).saturating_sub(begun)))
    }

    pub(crate) fn figures(&self, rules: &LoadRules, now: Instant) -> Figures {
        let now = self.nanos(now);
        let latency = Some(self.latency.read(now)).filter(|latency| latency.figure >= 0.0);
        Figures {
            in_flight: self.in_flight(),
            latency_nanos: latency.map(|it| it.figure * left_after(it.nanos, rules.decay)),
            success: recovered(rules, self.success.read(now)),
        }
    }

    /// The load at this time.
    pub fn reading(&self, rules: &LoadRules, now: Instant) -> LoadReading {
        let figures = self.figures(rules, now);
        LoadReading {
            in_flight: figures.in_flight,
            latency: figures.latency_nanos.map(|nanos| Duration::from_nanos(nanos as u64)),
            success: figures.success,
            idle: self.idle(now),
        }
    }

    fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.origin))
    }
}

/// 584 years fit.
fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

impl LoadReading {
    /// That of an instance without a call.
    pub const IDLE: Self = Self { in_flight: 0, latency: None, success: 1.0, idle: None };

    pub(super) fn figures(&self) -> Figures {
        let latency_nanos = self.latency.map(|latency| nanos(latency) as f64);
        Figures { in_flight: self.in_flight, latency_nanos, success: self.success }
    }
}

impl fmt::Display for LoadReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in flight, ", self.in_flight)?;
        match self.latency {
            Some(latency) => write!(f, "{:.1} ms", latency.as_secs_f64() * 1e3)?,
            None => f.write_str("no latency")?,
        }
        write!(f, ", {:.0} % succeed", self.success * 100.0)
    }
}

/// The peak in full, and what is below it in time. `None` if the former peak has hardly decayed yet.
fn next_latency(rules: &LoadRules, before: Aged, latency: f64) -> Option<f64> {
    let above = before.figure - latency;
    if above <= before.figure * ALIKE {
        return Some(latency);
    }
    let decayed = latency + above * left_after(before.nanos, rules.decay);
    (before.figure - decayed >= before.figure * STEP).then_some(decayed)
}

fn recovered(rules: &LoadRules, success: Aged) -> f64 {
    if success.figure >= 1.0 {
        return 1.0;
    }
    1.0 - (1.0 - success.figure) * left_after(success.nanos, rules.recovery)
}

/// What is left of a weight of 1 after so many nanoseconds.
fn left_after(age: u64, decay: Duration) -> f64 {
    let times = age as f64 / nanos(decay) as f64;
    // Under load calls follow each other closely. The series is above the exponential function, by less than 2e-10 here, so
    // what is left never grows with the time.
    if times < 0.001 { 1.0 - times + times * times / 2.0 } else { (-times).exp() }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Of 24 bits, up to 5 s.
    const ROUNDING: Duration = Duration::from_nanos(512);
    const SECOND: Duration = Duration::from_secs(1);
    const RULES: LoadRules = LoadRules { decay: Duration::from_secs(10), recovery: Duration::from_secs(10) };

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn after(outcomes: &[Outcome], now: Instant) -> Load {
        let load = Load::new(now);
        for outcome in outcomes {
            load.begin(now);
            load.end(&RULES, *outcome, now);
        }
        load
    }

    #[test]
    fn a_slow_call_counts_at_once_and_fast_ones_bring_the_latency_down_in_time() {
        let now = Instant::now();
        let load = after(&[Outcome::Succeeded(millis(10)), Outcome::Succeeded(millis(100))], now);
        assert_eq!(load.reading(&RULES, now).latency, Some(millis(100)));
        load.begin(now);
        load.end(&RULES, Outcome::Succeeded(millis(10)), now + SECOND * 10);
        let latency = load.reading(&RULES, now + SECOND * 10).latency.unwrap();
        assert!(latency > millis(42) && latency < millis(44), "10 ms and 1/e of the 90 ms above: {latency:?}");
    }

    #[test]
    fn failures_lower_the_success_and_leave_the_latency_and_idleness_forgives_them() {
        let now = Instant::now();
        let load = after(&[Outcome::Succeeded(millis(10)), Outcome::Failed, Outcome::Failed], now);
        let reading = load.reading(&RULES, now);
        assert_eq!((reading.latency, reading.success), (Some(millis(10)), 0.875 * 0.875));
        let later = load.reading(&RULES, now + SECOND * 60);
        assert!(later.success > 0.99 && later.latency < reading.latency, "{later:?}");
    }

    #[test]
    fn a_call_that_ends_without_having_begun_changes_nothing() {
        let now = Instant::now();
        for outcome in [Outcome::Succeeded(millis(10)), Outcome::Failed, Outcome::Cancelled] {
            let load = Load::new(now);
            load.end(&RULES, outcome, now);
            assert_eq!((load.reading(&RULES, now), load.ended()), (LoadReading::IDLE, 0), "{outcome:?}");
        }
    }

    #[test]
    fn a_cancelled_call_says_nothing() {
        let now = Instant::now();
        let load = after(&[Outcome::Cancelled], now);
        let expected = LoadReading { idle: Some(Duration::ZERO), ..LoadReading::IDLE };
        assert_eq!((load.reading(&RULES, now), load.ended()), (expected, 0));
    }

    #[test]
    fn a_latency_that_decays_in_hours_decays_under_load_too() {
        let (now, rules) = (Instant::now(), LoadRules::new().decay(SECOND * 3_600));
        let load = after(&[Outcome::Succeeded(millis(100))], now);
        for call in 1..=3_600 {
            load.begin(now);
            load.end(&rules, Outcome::Succeeded(millis(10)), now + millis(2) * call);
        }
        // In 7.2 s a five-hundredth of the 90 ms above has gone.
        let latency = load.reading(&rules, now + millis(2) * 3_600).latency.unwrap();
        assert!(latency > Duration::from_micros(99_780) && latency < Duration::from_micros(99_840), "{latency:?}");
    }

    #[test]
    fn after_a_failure_and_many_successes_an_instance_is_without_a_failure_again() {
        let now = Instant::now();
        let outcomes: Vec<_> = [Outcome::Failed].into_iter().chain([Outcome::Succeeded(millis(1)); 200]).collect();
        // A smaller step than the last ones cannot be written.
        assert_eq!(after(&outcomes, now).success.figure(), 1.0);
    }

    #[test]
    fn calls_that_end_at_once_are_each_ended_once() {
        let (now, ends) = (Instant::now(), 4);
        for _ in 0..2_000 {
            let load = Load::new(now);
            load.begin(now);
            std::thread::scope(|scope| {
                for _ in 0..ends {
                    scope.spawn(|| load.end(&RULES, Outcome::Failed, now));
                }
            });
            assert_eq!((load.in_flight(), load.ended()), (0, 1), "one had begun");
        }
    }

    fn outcomes() -> impl Strategy<Value = Vec<(u64, Outcome)>> {
        let outcome = prop_oneof![
            3 => (0..5_000_u64).prop_map(|it| Outcome::Succeeded(millis(it))),
            1 => Just(Outcome::Failed),
            1 => Just(Outcome::Cancelled),
        ];
        vec((0..5_000_u64, outcome), 0..40)
    }

    proptest! {
        #[test]
        fn whatever_happens_the_figures_stay_within_what_was_measured(outcomes in outcomes(), wait in 0..100_000_u64) {
            let mut now = Instant::now();
            let load = Load::new(now);
            let mut slowest = Duration::ZERO;
            for (pause, outcome) in &outcomes {
                now += millis(*pause);
                load.begin(now);
                load.end(&RULES, *outcome, now);
                if let Outcome::Succeeded(latency) = outcome {
                    slowest = slowest.max(*latency);
                    // A peak counts in full.
                    prop_assert!(load.reading(&RULES, now).latency.unwrap() + ROUNDING >= *latency);
                }
            }
            let (before, after) = (load.reading(&RULES, now), load.reading(&RULES, now + millis(wait)));
            prop_assert_eq!(before.in_flight, 0);
            prop_assert!(before.latency.is_none_or(|latency| latency <= slowest + ROUNDING));
            prop_assert!((0.0..=1.0).contains(&before.success) && before.success <= after.success + 1e-12);
            prop_assert!(after.success <= 1.0 && after.latency <= before.latency);
        }

        #[test]
        fn calls_in_flight_are_those_that_began_and_did_not_end(begun in 0..50_u32, ended in 0..60_u32) {
            let now = Instant::now();
            let load = Load::new(now);
            (0..begun).for_each(|_| load.begin(now));
            (0..ended).for_each(|_| load.end(&RULES, Outcome::Cancelled, now));
            prop_assert_eq!((load.reading(&RULES, now).in_flight, load.ended()), (begun.saturating_sub(ended), 0));
            (ended..begun).for_each(|_| load.leave(false));
            prop_assert_eq!((load.reading(&RULES, now).in_flight, load.ended()), (0, u64::from(begun.saturating_sub(ended))));
        }
    }
}
