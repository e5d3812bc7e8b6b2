//! Tests of outliers.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A service with a clock and chance.
#[derive(Clone)]
struct Service {
    outliers: Outliers<u64>,
    now: Instant,
    random: fastrand::Rng,
}

impl Service {
    fn new(rules: OutlierRules, members: u64) -> Self {
        let now = Instant::now();
        let mut outliers = Outliers::new(rules, now);
        outliers.set_members(0..members, now);
        Self { outliers, now, random: fastrand::Rng::with_seed(7) }
    }

    fn record(&mut self, number: u64, success: bool) -> Vec<Ejection<u64>> {
        self.outliers.record(&number, success, self.now, &mut self.random)
    }

    fn fails(&mut self, number: u64, times: u32) -> Vec<Ejection<u64>> {
        (0..times).flat_map(|_| self.record(number, false)).collect()
    }

    fn is_ejected(&self, number: u64) -> bool {
        self.outliers.ejection(&number, self.now).is_some()
    }
}

/// Without chance, so that the time of an ejection is known up to a tenth.
fn about(ejection: &Ejection<u64>, now: Instant, expected: Duration) {
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
    assert_eq!((ejections.len(), ejections[0].instance), (1, 0));
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
fn a_new_incarnation_has_no_record_and_an_unknown_one_is_ignored() {
    let mut service = Service::new(OutlierRules::new(), 4);
    service.fails(0, 5);
    service.outliers.set_members(1..5, service.now);
    assert!(!service.is_ejected(0) && service.fails(0, 20).is_empty());
    service.outliers.set_members(0..5, service.now);
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
            if !together.outliers.awaits_success(&number) {
                (0..more).for_each(|_| drop(one_by_one.record(number, true)));
                together.outliers.add_successes(&number, more.into());
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
                    service.outliers.set_members(0..number, service.now);
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
