//! The load of one instance: calls in flight, how long calls take, and how many succeed.

use std::time::Duration;

use tokio::time::Instant;

/// How much of the success one outcome is.
const SHARE_OF_OUTCOME: f64 = 0.125;

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

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer, after this time.
    Succeeded(Duration),
    /// With an error. Its latency does not count: an instance that fails at once is not fast.
    Failed,
    /// Given up by the caller: it says nothing of the instance.
    Cancelled,
}

impl Outcome {
    /// Whether it succeeded; `None` if it says nothing.
    pub fn is_success(self) -> Option<bool> {
        match self {
            Self::Succeeded(_) => Some(true),
            Self::Failed => Some(false),
            Self::Cancelled => None,
        }
    }
}

/// The load of one incarnation of an instance, as one of its callers sees it.
///
/// The latency is a peak EWMA of the successful calls, as in Finagle and tower: a slower call counts in full at once, faster
/// ones bring it down in time. Success is an EWMA of the outcomes that recovers while there are none. Both decay when they
/// are [read](Self::reading), so a query changes nothing.
///
/// ```
/// use std::time::Duration;
/// use foundation_discovery::choice::{Load, LoadRules, Outcome};
/// use tokio::time::Instant;
///
/// let (rules, now) = (LoadRules::new(), Instant::now());
/// let mut load = Load::new(now);
/// load.begin(now);
/// load.begin(now);
/// load.end(&rules, Outcome::Succeeded(Duration::from_millis(20)), now);
///
/// let reading = load.reading(&rules, now);
/// assert_eq!((reading.in_flight, reading.latency), (1, Some(Duration::from_millis(20))));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    in_flight: u32,
    /// In seconds.
    latency: Option<f64>,
    latency_at: Instant,
    success: f64,
    success_at: Instant,
    begun_at: Option<Instant>,
}

/// A load at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LoadReading {
    /// How many calls are in flight.
    pub in_flight: u32,
    /// How long successful calls take; `None` if there was none yet.
    pub latency: Option<Duration>,
    /// Which share of the calls succeeds, 0 to 1.
    pub success: f64,
    /// How long ago the last call began; `None` if there was none yet.
    pub idle: Option<Duration>,
}

impl Load {
    /// The load of an instance without a call.
    pub fn new(now: Instant) -> Self {
        Self { in_flight: 0, latency: None, latency_at: now, success: 1.0, success_at: now, begun_at: None }
    }

    /// How many calls are in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// A call begins.
    pub fn begin(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_add(1);
        self.begun_at = Some(now);
    }

    /// A call that had begun ends.
    pub fn end(&mut self, rules: &LoadRules, outcome: Outcome, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Outcome::Succeeded(latency) = outcome {
            self.note_latency(rules, latency.as_secs_f64(), now);
        }
        if let Some(success) = outcome.is_success() {
            let before = self.success(rules, now);
            self.success = before + (f64::from(u8::from(success)) - before) * SHARE_OF_OUTCOME;
            self.success_at = now.max(self.success_at);
        }
    }

    fn note_latency(&mut self, rules: &LoadRules, latency: f64, now: Instant) {
        self.latency = Some(match self.latency {
            Some(before) if before > latency => {
                latency + (before - latency) * left_after(now.saturating_duration_since(self.latency_at), rules.decay)
            }
            _ => latency,
        });
        self.latency_at = now.max(self.latency_at);
    }

    fn success(&self, rules: &LoadRules, now: Instant) -> f64 {
        1.0 - (1.0 - self.success) * left_after(now.saturating_duration_since(self.success_at), rules.recovery)
    }

    /// The load at this time.
    pub fn reading(&self, rules: &LoadRules, now: Instant) -> LoadReading {
        let left = left_after(now.saturating_duration_since(self.latency_at), rules.decay);
        LoadReading {
            in_flight: self.in_flight,
            latency: self.latency.map(|latency| Duration::try_from_secs_f64(latency * left).unwrap_or(Duration::MAX)),
            success: self.success(rules, now),
            idle: self.begun_at.map(|begun| now.saturating_duration_since(begun)),
        }
    }
}

impl LoadReading {
    /// That of an instance without a call.
    pub const IDLE: Self = Self { in_flight: 0, latency: None, success: 1.0, idle: None };
}

/// What is left of a weight of 1.
fn left_after(elapsed: Duration, decay: Duration) -> f64 {
    let times = elapsed.as_secs_f64() / decay.as_secs_f64();
    // Under load calls follow each other closely. The series is above the exponential function, by less than 2e-10 here, so
    // what is left never grows with the time.
    if times < 0.001 { 1.0 - times + times * times / 2.0 } else { (-times).exp() }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const RULES: LoadRules = LoadRules { decay: Duration::from_secs(10), recovery: Duration::from_secs(10) };

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn after(outcomes: &[Outcome], now: Instant) -> Load {
        let mut load = Load::new(now);
        for outcome in outcomes {
            load.begin(now);
            load.end(&RULES, *outcome, now);
        }
        load
    }

    #[test]
    fn a_slow_call_counts_at_once_and_fast_ones_bring_the_latency_down_in_time() {
        let now = Instant::now();
        let mut load = after(&[Outcome::Succeeded(millis(10)), Outcome::Succeeded(millis(100))], now);
        assert_eq!(load.reading(&RULES, now).latency, Some(millis(100)));
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
    fn a_cancelled_call_says_nothing() {
        let now = Instant::now();
        let mut expected = Load::new(now);
        expected.begun_at = Some(now);
        assert_eq!(after(&[Outcome::Cancelled], now), expected);
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
            let mut load = Load::new(now);
            let mut slowest = Duration::ZERO;
            for (pause, outcome) in &outcomes {
                now += millis(*pause);
                load.begin(now);
                load.end(&RULES, *outcome, now);
                if let Outcome::Succeeded(latency) = outcome {
                    slowest = slowest.max(*latency);
                    // A peak counts in full.
                    prop_assert!(load.reading(&RULES, now).latency.unwrap() + Duration::from_nanos(2) >= *latency);
                }
            }
            let (before, after) = (load.reading(&RULES, now), load.reading(&RULES, now + millis(wait)));
            prop_assert_eq!(before.in_flight, 0);
            prop_assert!(before.latency.is_none_or(|latency| latency <= slowest + Duration::from_nanos(1)));
            prop_assert!((0.0..=1.0).contains(&before.success) && before.success <= after.success + 1e-12);
            prop_assert!(after.success <= 1.0 && after.latency <= before.latency);
        }

        #[test]
        fn calls_in_flight_are_those_that_began_and_did_not_end(begun in 0..50_u32, ended in 0..60_u32) {
            let now = Instant::now();
            let mut load = Load::new(now);
            (0..begun).for_each(|_| load.begin(now));
            (0..ended).for_each(|_| load.end(&RULES, Outcome::Cancelled, now));
            prop_assert_eq!(load.reading(&RULES, now).in_flight, begun.saturating_sub(ended));
        }
    }
}
