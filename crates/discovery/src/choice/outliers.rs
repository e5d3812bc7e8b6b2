//! Outliers: instances that fail more than the others, and are left out for a while.
//!
//! # Invariants
//!
//! 1. After each ejection at most the allowed share of the instances is ejected, never all of them, and none of a service of
//!    fewer than three, unless that is asked for. Instances that leave do not break this: then the ejections that would
//!    end first end now.
//! 2. Only time, or invariant 1, ends an ejection. Calls that were under way when it began change nothing.
//! 3. An ejection is of an incarnation: the next one begins without a record.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use foldhash::fast::RandomState;
use foundation_kernel::ractor::ActorId;
use tokio::time::Instant;

/// When an instance is ejected, and for how long. The rules are Envoy's, with limits that hold.
///
/// | | default |
/// |---|---|
/// | [`failures_in_a_row`](Self::failures_in_a_row) | 5 |
/// | [`window`](Self::window), [`min_calls`](Self::min_calls) | 10 s, 50 |
/// | [`deviations`](Self::deviations) | 1.9 |
/// | [`ejection`](Self::ejection) | 30 s, 300 s at most |
/// | [`max_percent`](Self::max_percent) | 50 |
/// | [`small_services`](Self::small_services) | no |
#[derive(Debug, Clone, PartialEq)]
pub struct OutlierRules {
    failures_in_a_row: u32,
    window: Duration,
    min_calls: u32,
    deviations: f64,
    ejection: Duration,
    max_ejection: Duration,
    max_percent: u8,
    small_services: bool,
}

/// How many instances must have enough calls for their success to be compared.
const MIN_COMPARED: usize = 5;
/// A service of fewer instances is small.
const SMALL: usize = 3;
/// The longest ejection that can be asked for, a year: a later end could be more than a clock can count.
const MAX_EJECTION: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How much an ejection is longer or shorter by chance, so that instances do not return together.
const JITTER: f64 = 0.1;

impl Default for OutlierRules {
    fn default() -> Self {
        Self {
            failures_in_a_row: 5,
            window: Duration::from_secs(10),
            min_calls: 50,
            deviations: 1.9,
            ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_percent: 50,
            small_services: false,
        }
    }
}

impl OutlierRules {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many failures in a row eject an instance; at least 1.
    pub fn failures_in_a_row(self, failures: u32) -> Self {
        Self { failures_in_a_row: failures.max(1), ..self }
    }

    /// How long the calls are counted before the success of the instances is compared.
    pub fn window(self, time: Duration) -> Self {
        Self { window: time, ..self }
    }

    /// How many calls an instance must have had in the window to be compared; at least 1.
    pub fn min_calls(self, calls: u32) -> Self {
        Self { min_calls: calls.max(1), ..self }
    }

    /// How many standard deviations below the mean of at least five instances ejects an instance.
    pub fn deviations(self, deviations: f64) -> Self {
        Self { deviations, ..self }
    }

    /// How long the first ejection lasts, and how long any at most: the second lasts twice as long, and so on. By
    /// chance each is up to a tenth longer or shorter, and none longer than `max`.
    pub fn ejection(self, first: Duration, max: Duration) -> Self {
        Self { ejection: first, max_ejection: max, ..self }
    }

    /// How many percent of the instances may be ejected, rounded down.
    pub fn max_percent(self, percent: u8) -> Self {
        Self { max_percent: percent.min(100), ..self }
    }

    /// Whether instances of a service of two are ejected, too.
    pub fn small_services(self, wanted: bool) -> Self {
        Self { small_services: wanted, ..self }
    }

    /// How many of so many instances may be ejected.
    fn max_ejected(&self, instances: usize) -> usize {
        if instances < SMALL && !self.small_services {
            return 0;
        }
        (instances * usize::from(self.max_percent) / 100).min(instances.saturating_sub(1))
    }

    /// How long an ejection lasts, the first of which is number 1.
    fn lasts(&self, times: u32, random: &mut fastrand::Rng) -> Duration {
        let max = self.max_ejection.min(MAX_EJECTION);
        let planned = self.ejection.saturating_mul(times).min(max);
        let (least, most) = (planned.mul_f64(1.0 - JITTER), planned.mul_f64(1.0 + JITTER).min(max));
        // Between the two, so that ejections of the longest kind do not end together either.
        least + (most.saturating_sub(least)).mul_f64(random.f64())
    }
}

/// Why an instance is ejected.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum EjectionCause {
    /// So many calls in a row have failed.
    FailuresInARow(u32),
    /// Too small a share of its calls has succeeded.
    Success {
        /// The share, 0 to 1.
        share: f64,
        /// The mean of all instances.
        mean: f64,
    },
}

/// An ejection of an instance.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Ejection {
    /// The actor of the instance.
    pub actor: ActorId,
    /// When it ends.
    pub until: Instant,
    /// Why it began.
    pub cause: EjectionCause,
}

/// The outliers among the instances of one service: a pure state machine, which is given the outcome of each call, the
/// time, and chance.
///
/// Cost: of an outcome a look in a map, and once for each window linear in the instances.
///
/// ```
/// use foundation_discovery::choice::{OutlierRules, Outliers};
/// use foundation_kernel::ractor::ActorId;
/// use tokio::time::Instant;
///
/// let (now, mut random) = (Instant::now(), fastrand::Rng::with_seed(7));
/// let mut outliers = Outliers::new(OutlierRules::new(), now);
/// outliers.set_members((1..=4).map(ActorId::Local), now);
///
/// let ejections: Vec<_> = (0..5).flat_map(|_| outliers.record(ActorId::Local(1), false, now, &mut random)).collect();
/// assert_eq!(ejections.len(), 1);
/// assert_eq!(ejections[0].cause.to_string(), "5 failures in a row");
/// assert!(outliers.ejection(ActorId::Local(1), now).is_some());
/// ```
#[derive(Debug, Clone)]
pub struct Outliers {
    rules: OutlierRules,
    members: HashMap<ActorId, Member, RandomState>,
    window_began: Instant,
    /// When the last of the ejections so far ends.
    last_end: Option<Instant>,
}

#[derive(Debug, Clone, Default)]
struct Member {
    failures_in_a_row: u32,
    calls: u32,
    successes: u32,
    /// How often it was ejected lately.
    times: u32,
    /// Whether it has returned from an ejection, and has had no success since.
    on_probation: bool,
    ejection: Option<Ejection>,
}

impl Member {
    /// Begins anew after an ejection that is over.
    fn return_if_due(&mut self, now: Instant) {
        if self.ejection.is_some_and(|ejection| ejection.until <= now) {
            self.end_ejection();
        }
    }

    fn end_ejection(&mut self) {
        *self = Self { times: self.times, on_probation: true, ..Self::default() };
    }

    fn is_ejected(&self, now: Instant) -> bool {
        self.ejection.is_some_and(|ejection| ejection.until > now)
    }

    /// Notes an outcome. The first success since its return halves the number of its ejections.
    fn note(&mut self, success: bool) {
        if success && std::mem::take(&mut self.on_probation) {
            self.times /= 2;
        }
        self.calls = self.calls.saturating_add(1);
        self.successes = self.successes.saturating_add(u32::from(success));
        self.failures_in_a_row = if success { 0 } else { self.failures_in_a_row.saturating_add(1) };
    }

    fn share(&self) -> f64 {
        f64::from(self.successes) / f64::from(self.calls)
    }
}

impl Outliers {
    /// Without members.
    pub fn new(rules: OutlierRules, now: Instant) -> Self {
        Self { rules, members: HashMap::default(), window_began: now, last_end: None }
    }

    /// Sets the instances of the service, by their actors: the shares are of all of them. Those that stay keep their
    /// records.
    pub fn set_members(&mut self, actors: impl IntoIterator<Item = ActorId>, now: Instant) {
        let mut before = std::mem::take(&mut self.members);
        self.members = actors.into_iter().map(|actor| (actor, before.remove(&actor).unwrap_or_default())).collect();
        self.end_surplus(now);
    }

    /// Ends the ejections beyond the limit, which a smaller number of members may have lowered.
    fn end_surplus(&mut self, now: Instant) {
        let mut ejections: Vec<_> =
            self.members.values().filter(|it| it.is_ejected(now)).filter_map(|it| it.ejection).collect();
        let surplus = ejections.len().saturating_sub(self.rules.max_ejected(self.members.len()));
        ejections.sort_by_key(|ejection| ejection.until);
        for ejection in &ejections[..surplus] {
            if let Some(member) = self.members.get_mut(&ejection.actor) {
                member.end_ejection();
            }
        }
    }

    /// Takes the outcome of a call in, and returns the ejections that follow from it: of this instance, or, at the end of
    /// a window, of others. An actor that is no member is ignored.
    pub fn record(&mut self, actor: ActorId, success: bool, now: Instant, random: &mut fastrand::Rng) -> Vec<Ejection> {
        let Some(member) = self.members.get_mut(&actor) else { return Vec::new() };
        member.return_if_due(now);
        if member.ejection.is_none() {
            member.note(success);
        }
        let failures = member.failures_in_a_row;
        let mut ejections = Vec::new();
        if member.ejection.is_none() && failures >= self.rules.failures_in_a_row {
            ejections.extend(self.eject(actor, EjectionCause::FailuresInARow(failures), now, random));
        }
        if self.is_window_over(now) {
            ejections.extend(self.end_window(now, random));
        }
        ejections
    }

    /// Takes in successes of an instance that had no failure since its last success, as many calls at once.
    ///
    /// The same as [`record`](Self::record) of each of them, but for the end of a window: ask
    /// [`is_window_over`](Self::is_window_over) before.
    pub fn add_successes(&mut self, actor: ActorId, calls: u32) {
        let Some(member) = self.members.get_mut(&actor).filter(|member| member.ejection.is_none()) else { return };
        member.calls = member.calls.saturating_add(calls);
        member.successes = member.successes.saturating_add(calls);
    }

    /// Whether the next call that is recorded ends a window.
    pub fn is_window_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.window_began) >= self.rules.window
    }

    /// Whether the next success of an instance changes more than the number of its calls: it has failed, or is back from
    /// an ejection.
    pub fn awaits_success(&self, actor: ActorId) -> bool {
        let awaits = |it: &Member| it.failures_in_a_row > 0 || it.on_probation || it.ejection.is_some();
        self.members.get(&actor).is_some_and(awaits)
    }

    /// The ejection of an instance, if it is ejected at this time.
    pub fn ejection(&self, actor: ActorId, now: Instant) -> Option<&Ejection> {
        // Most of the time there is none.
        self.last_end.filter(|end| *end > now)?;
        let ejection = self.members.get(&actor)?.ejection.as_ref();
        ejection.filter(|ejection| ejection.until > now)
    }

    /// How many instances are ejected at this time.
    pub fn ejected(&self, now: Instant) -> usize {
        self.members.values().filter(|member| member.is_ejected(now)).count()
    }

    fn eject(
        &mut self,
        actor: ActorId,
        cause: EjectionCause,
        now: Instant,
        random: &mut fastrand::Rng,
    ) -> Option<Ejection> {
        if self.ejected(now) >= self.rules.max_ejected(self.members.len()) {
            return None;
        }
        let member = self.members.get_mut(&actor)?;
        member.times = member.times.saturating_add(1);
        let ejection = Ejection { actor, until: now + self.rules.lasts(member.times, random), cause };
        member.ejection = Some(ejection);
        self.last_end = self.last_end.max(Some(ejection.until));
        Some(ejection)
    }

    /// Compares the success of all, and ejects those far below the mean, the worst first.
    fn end_window(&mut self, now: Instant, random: &mut fastrand::Rng) -> Vec<Ejection> {
        let is_compared = |member: &Member| !member.is_ejected(now) && member.calls >= self.rules.min_calls;
        let compared = self.members.iter().filter(|(_, member)| is_compared(member));
        let mut shares: Vec<_> = compared.map(|(actor, member)| (*actor, member.share())).collect();
        shares.sort_by(|one, other| one.1.total_cmp(&other.1).then(one.0.pid().cmp(&other.0.pid())));
        let (mean, deviation) = mean_and_deviation(&shares);
        let is_outlier = |share: f64| shares.len() >= MIN_COMPARED && share < mean - self.rules.deviations * deviation;
        let outliers: Vec<_> = shares.iter().copied().filter(|(_, share)| is_outlier(*share)).collect();
        for member in self.members.values_mut() {
            (member.calls, member.successes) = (0, 0);
        }
        self.window_began = now;
        let eject = |(actor, share)| self.eject(actor, EjectionCause::Success { share, mean }, now, random);
        outliers.into_iter().filter_map(eject).collect()
    }
}

/// Of all shares; 0 of none.
fn mean_and_deviation(shares: &[(ActorId, f64)]) -> (f64, f64) {
    let number = shares.len().max(1) as f64;
    let mean = shares.iter().map(|(_, share)| share).sum::<f64>() / number;
    let variance = shares.iter().map(|(_, share)| (share - mean).powi(2)).sum::<f64>() / number;
    (mean, variance.sqrt())
}

impl fmt::Display for EjectionCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailuresInARow(failures) => write!(f, "{failures} failures in a row"),
            Self::Success { share, mean } => {
                write!(f, "{:.0} % of its calls succeeded, of all {:.0} %", share * 100.0, mean * 100.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A service with a clock and chance.
    #[derive(Clone)]
    struct Service {
        outliers: Outliers,
        now: Instant,
        random: fastrand::Rng,
    }

    fn actor(number: u64) -> ActorId {
        ActorId::Local(number)
    }

    impl Service {
        fn new(rules: OutlierRules, members: u64) -> Self {
            let now = Instant::now();
            let mut outliers = Outliers::new(rules, now);
            outliers.set_members((0..members).map(actor), now);
            Self { outliers, now, random: fastrand::Rng::with_seed(7) }
        }

        fn record(&mut self, number: u64, success: bool) -> Vec<Ejection> {
            self.outliers.record(actor(number), success, self.now, &mut self.random)
        }

        fn fails(&mut self, number: u64, times: u32) -> Vec<Ejection> {
            (0..times).flat_map(|_| self.record(number, false)).collect()
        }

        fn is_ejected(&self, number: u64) -> bool {
            self.outliers.ejection(actor(number), self.now).is_some()
        }
    }

    /// Without chance, so that the time of an ejection is known up to a tenth.
    fn about(ejection: &Ejection, now: Instant, expected: Duration) {
        let lasts = ejection.until - now;
        assert!(lasts >= expected.mul_f64(0.9) && lasts <= expected.mul_f64(1.1), "{lasts:?} for {expected:?}");
    }

    #[test]
    fn five_failures_in_a_row_eject_an_instance_until_its_time_is_over() {
        let mut service = Service::new(OutlierRules::new(), 4);
        assert!(service.fails(0, 4).is_empty() && service.record(0, true).is_empty() && service.fails(0, 4).is_empty());
        let ejections = service.fails(0, 1);
        assert_eq!(ejections[0].cause, EjectionCause::FailuresInARow(5));
        about(&ejections[0], service.now, SECOND * 30);
        assert!(service.is_ejected(0) && !service.is_ejected(1));
        service.record(0, true);
        assert!(service.is_ejected(0), "a call that was under way does not end it");
        service.now = ejections[0].until;
        assert!(!service.is_ejected(0));
    }

    #[test]
    fn each_ejection_is_longer_up_to_a_limit_and_a_success_after_the_return_halves_their_number() {
        let mut service = Service::new(OutlierRules::new(), 4);
        let eject = |service: &mut Service, expected| {
            let ejections = service.fails(0, 5);
            about(&ejections[0], service.now, expected);
            service.now = ejections[0].until;
        };
        for seconds in [30, 60, 90, 120] {
            eject(&mut service, SECOND * seconds);
        }
        service.record(0, true);
        service.record(0, true);
        eject(&mut service, SECOND * 90);
        (0..20).for_each(|_| service.now = service.fails(0, 5)[0].until);
        eject(&mut service, SECOND * 300);
    }

    #[test]
    fn the_limit_holds_after_the_ejection_and_small_services_are_spared() {
        for (members, percent, small, expected) in [
            (1, 100, true, 0),
            (2, 50, false, 0),
            (2, 50, true, 1),
            (3, 50, false, 1),
            (3, 10, false, 0),
            (4, 100, false, 3),
        ] {
            let rules = OutlierRules::new().max_percent(percent).small_services(small);
            let mut service = Service::new(rules, members);
            let ejected: usize = (0..members).map(|number| service.fails(number, 20).len()).sum();
            assert_eq!((ejected, service.outliers.ejected(service.now)), (expected, expected), "of {members}");
        }
    }

    #[test]
    fn an_instance_whose_success_is_far_below_the_others_is_ejected_at_the_end_of_the_window() {
        let mut service = Service::new(OutlierRules::new(), 6);
        for number in 0..6 {
            // One in two of the first fails, never five in a row.
            (0..60).for_each(|call| drop(service.record(number, number > 0 || call % 2 == 0)));
        }
        assert_eq!(service.outliers.ejected(service.now), 0);
        service.now += SECOND * 10;
        let ejections = service.record(1, true);
        assert_eq!((ejections.len(), ejections[0].actor), (1, actor(0)));
        assert_eq!(ejections[0].cause.to_string(), "50 % of its calls succeeded, of all 92 %");
    }

    #[test]
    fn success_is_compared_among_enough_instances_with_enough_calls_only() {
        for (members, calls) in [(4, 60), (6, 40)] {
            let mut service = Service::new(OutlierRules::new(), members);
            for number in 0..members {
                (0..calls).for_each(|call| drop(service.record(number, number > 0 || call % 2 == 0)));
            }
            service.now += SECOND * 10;
            assert!(service.record(1, true).is_empty(), "{members} instances with {calls} calls");
        }
    }

    #[test]
    fn a_new_incarnation_has_no_record_and_an_unknown_actor_is_ignored() {
        let mut service = Service::new(OutlierRules::new(), 4);
        service.fails(0, 5);
        service.outliers.set_members((1..5).map(actor), service.now);
        assert!(!service.is_ejected(0) && service.fails(0, 20).is_empty());
        service.outliers.set_members((0..5).map(actor), service.now);
        assert!(service.fails(0, 4).is_empty() && !service.is_ejected(0));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Call { number: u64, success: bool },
        Wait(u64),
        Members(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            20 => (0..10_u64, any::<bool>()).prop_map(|(number, good)| Step::Call { number, success: good && number > 4 }),
            2 => (0..40_u64).prop_map(Step::Wait),
            1 => (0..10_u64).prop_map(Step::Members),
        ];
        vec(step, 0..300)
    }

    proptest! {
        #[test]
        fn an_ejection_is_up_to_a_tenth_longer_or_shorter_and_never_longer_than_the_longest(
            first in 0..1_000_u64, max in 0..1_000_u64, times in 1..20_u32, seed: u64,
        ) {
            let (first, max) = (Duration::from_secs(first), Duration::from_secs(max));
            let lasts = OutlierRules::new().ejection(first, max).lasts(times, &mut fastrand::Rng::with_seed(seed));
            let planned = (first * times).min(max);
            prop_assert!(lasts >= planned.mul_f64(0.899) && lasts <= planned.mul_f64(1.101).min(max), "{:?}", lasts);
        }

        #[test]
        fn successes_that_are_taken_in_together_are_as_those_that_are_recorded_one_by_one(
            calls in vec((0..6_u64, any::<bool>(), 0..20_u32), 0..60),
        ) {
            let rules = OutlierRules::new().min_calls(5).window(SECOND * 1_000);
            let mut one_by_one = Service::new(rules, 6);
            let mut together = one_by_one.clone();
            for (number, success, more) in calls {
                let ejections = one_by_one.record(number, success);
                prop_assert_eq!(ejections, together.record(number, success));
                if !together.outliers.awaits_success(actor(number)) {
                    (0..more).for_each(|_| drop(one_by_one.record(number, true)));
                    together.outliers.add_successes(actor(number), more);
                }
            }
            (one_by_one.now, together.now) = (one_by_one.now + SECOND * 1_000, together.now + SECOND * 1_000);
            prop_assert!(together.outliers.is_window_over(together.now));
            prop_assert_eq!(one_by_one.record(0, true), together.record(0, true));
        }

        #[test]
        fn whatever_happens_the_limits_hold(steps in steps(), percent in 0..=100_u8, small: bool) {
            let rules = OutlierRules::new().max_percent(percent).small_services(small).failures_in_a_row(2).min_calls(5);
            let mut service = Service::new(rules, 10);
            let mut members = 10;
            for step in steps {
                match step {
                    Step::Call { number, success } => drop(service.record(number, success)),
                    Step::Wait(seconds) => service.now += SECOND * u32::try_from(seconds).unwrap(),
                    Step::Members(number) => {
                        members = number as usize;
                        service.outliers.set_members((0..number).map(actor), service.now);
                    }
                }
                let ejected = service.outliers.ejected(service.now);
                prop_assert!(ejected * 100 <= members * usize::from(percent), "{} of {}", ejected, members);
                prop_assert!(ejected == 0 || ejected < members);
                prop_assert!(ejected == 0 || members >= 3 || small);
            }
        }

        #[test]
        fn an_ejection_ends_by_time_alone_while_the_members_stay(outcomes in vec(any::<bool>(), 0..100), until in 0..27_u64) {
            let mut service = Service::new(OutlierRules::new(), 4);
            service.fails(0, 5);
            service.now += Duration::from_secs(until);
            outcomes.iter().for_each(|success| drop(service.record(0, *success)));
            prop_assert!(service.is_ejected(0));
            service.now += SECOND * 33;
            prop_assert!(!service.is_ejected(0));
        }
    }
}
