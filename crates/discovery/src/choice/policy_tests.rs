//! Tests of the policies.

use std::collections::BTreeMap;

use foundation_kernel::ractor::ActorId;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::choice::Outcome;
use crate::choice::load::{Load, LoadReading, LoadRules};
use crate::choice::locality::Locality;
use crate::choice::members::Member;
use crate::instance::{Instance, InstanceRecord};
use crate::samples;

fn records(weights: &[u16]) -> Vec<InstanceRecord> {
    let instance = |at: usize, weight| Instance::builder("orders", at.to_string()).weight(weight).build().unwrap();
    let numbered = weights.iter().enumerate();
    numbered.map(|(at, weight)| InstanceRecord::new(instance(at, *weight), ActorId::Local(at as u64))).collect()
}

/// Candidates, each with its whole weight.
struct Weighed<'a>(Vec<Candidate<'a>>, Vec<Member>);

impl<'a> Weighed<'a> {
    fn of(candidates: Vec<Candidate<'a>>) -> Self {
        let weight = |it: &Candidate<'_>| f64::from(it.record().instance.weight());
        let members =
            candidates.iter().enumerate().map(|(at, it)| Member::new(at, weight(it), Locality::Elsewhere)).collect();
        Self(candidates, members)
    }

    fn choose(&self, policy: &Policy, mut draw: Draw<'_>) -> Option<&Candidate<'a>> {
        policy.choose(&Among { members: &self.1, instances: &self.0[..] }, &mut draw).map(|(place, _)| &self.0[place])
    }
}

fn candidates<'a>(records: &'a [InstanceRecord], load: impl Fn(usize) -> LoadReading) -> Weighed<'a> {
    Weighed::of(records.iter().enumerate().map(|(at, record)| Candidate::new(record, load(at))).collect())
}

fn score(by: &ScoreBy, candidate: Candidate<'_>, weight: f64) -> f64 {
    Among { members: &[Member::new(0, weight, Locality::Elsewhere)], instances: &[candidate][..] }.score(by, 0)
}

fn busy(in_flight: u32) -> LoadReading {
    LoadReading { in_flight, idle: Some(Duration::ZERO), ..LoadReading::IDLE }
}

/// How often each of them is chosen in so many turns.
fn counts(policy: &Policy, among: &Weighed<'_>, turns: u64, seed: u64) -> Vec<u64> {
    let (mut random, mut counts) = (fastrand::Rng::with_seed(seed), BTreeMap::new());
    for turn in 0..turns {
        let chosen = among.choose(policy, Draw::new(&mut random).turn(turn)).unwrap();
        *counts.entry(chosen.name().id()).or_insert(0) += 1;
    }
    among.0.iter().map(|candidate| counts.get(candidate.name().id()).copied().unwrap_or(0)).collect()
}

fn policies() -> Vec<Policy> {
    vec![
        Policy::RoundRobin,
        Policy::Random,
        Policy::Weighted,
        Policy::LeastLoaded(ScoreBy::InFlight),
        Policy::LeastLoaded(ScoreBy::PeakEwma),
        Policy::PowerOfTwo(ScoreBy::InFlight),
        Policy::default(),
        Policy::Rendezvous { bound_percent: None },
        Policy::Rendezvous { bound_percent: Some(125) },
    ]
}

#[test]
fn one_candidate_is_always_chosen_and_none_never() {
    let records = records(&[1]);
    for policy in policies() {
        assert_eq!(counts(&policy, &candidates(&records, |_| busy(0)), 10, 7), [10], "{policy:?}");
        let mut random = fastrand::Rng::with_seed(7);
        assert!(Weighed::of(Vec::new()).choose(&policy, Draw::new(&mut random)).is_none());
    }
}

#[test]
fn equal_candidates_are_chosen_about_equally_often_by_each_policy() {
    let records = records(&[100; 8]);
    let among = candidates(&records, |_| busy(3));
    for policy in policies() {
        let counts = counts(&policy, &among, 8_000, 7);
        assert!(counts.iter().all(|count| (850..=1_150).contains(count)), "{policy:?}: {counts:?}");
    }
}

#[test]
fn the_same_key_goes_to_the_same_instance() {
    let records = records(&[1, 10, 100]);
    let among = candidates(&records, |_| busy(0));
    let policy = Policy::Rendezvous { bound_percent: None };
    let chosen = |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        among.choose(&policy, Draw::new(&mut random).key(b"customer-7")).unwrap().name().clone()
    };
    assert_eq!(chosen(1), chosen(2));
}

#[test]
fn one_that_costs_more_is_tried_when_it_has_been_idle_and_not_before() {
    let records = records(&[100, 100]);
    let policy = Policy::default();
    let among = |idle| {
        candidates(&records, move |at| LoadReading {
            idle: Some(if at == 0 { idle } else { Duration::ZERO }),
            success: if at == 0 { 0.0 } else { 1.0 },
            ..LoadReading::IDLE
        })
    };
    assert_eq!(counts(&policy, &among(Duration::from_millis(2_999)), 6_400, 7)[0], 0);
    let tried = counts(&policy, &among(IDLE), 6_400, 7)[0];
    assert!((60..=140).contains(&tried), "about one in 64: {tried}");
}

/// Ten instances that take 10 ms, exponentially distributed; the first fails at once. A thousand calls a second.
fn share_of_failures(policy: &Policy, seed: u64) -> f64 {
    const CALLS: u64 = 20_000;
    let (records, rules, began) = (records(&[100; 10]), LoadRules::new(), tokio::time::Instant::now());
    let loads: Vec<_> = (0..10).map(|_| Load::new(began)).collect();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut under_way: Vec<(tokio::time::Instant, usize, Duration)> = Vec::new();
    let mut failed = 0;
    for turn in 0..CALLS {
        let now = began + Duration::from_millis(turn);
        for (end, at, latency) in under_way.extract_if(.., |(end, ..)| *end <= now) {
            loads[at].end(&rules, Outcome::Succeeded(latency), end);
        }
        let among = candidates(&records, |at| loads[at].reading(&rules, now));
        let chosen = among.choose(policy, Draw::new(&mut random).turn(turn)).unwrap();
        let at: usize = chosen.name().id().parse().unwrap();
        loads[at].begin(now);
        if at == 0 {
            failed += 1;
            loads[at].end(&rules, Outcome::Failed, now);
        } else {
            let latency = Duration::from_secs_f64(-0.010 * (1.0 - random.f64()).ln());
            under_way.push((now + latency, at, latency));
        }
    }
    f64::from(failed) / CALLS as f64
}

#[test]
fn an_instance_that_fails_at_once_gets_next_to_no_calls() {
    let naive = share_of_failures(&Policy::PowerOfTwo(ScoreBy::InFlight), 7);
    assert!(naive > 0.12, "it attracts calls, since it never has any in flight: {naive}");
    for seed in 0..3 {
        let ours = share_of_failures(&Policy::default(), seed);
        assert!(ours < 0.005, "{ours}");
    }
}

struct Mine(f64);

impl Score for Mine {
    fn score(&self, _: &Candidate<'_>, weight: f64) -> f64 {
        self.0 / weight
    }
}

struct Panics;

impl Score for Panics {
    fn score(&self, candidate: &Candidate<'_>, _: f64) -> f64 {
        if candidate.name().id() == "0" {
            panic!("no score for it")
        }
        7.0
    }
}

#[test]
fn an_instance_whose_score_panics_is_chosen_only_if_there_is_no_other() {
    let records = records(&[100; 3]);
    let among = candidates(&records, |_| busy(0));
    let by = || ScoreBy::Custom(Arc::new(Panics));
    for policy in [Policy::LeastLoaded(by()), Policy::PowerOfTwo(by())] {
        assert_eq!(counts(&policy, &among, 100, 7)[0], 0);
        assert_eq!(counts(&policy, &candidates(&records[..1], |_| busy(0)), 3, 7), [3]);
    }
}

#[test]
fn a_score_of_your_own_sees_the_latency_that_is_assumed() {
    struct Latency;
    impl Score for Latency {
        fn score(&self, candidate: &Candidate<'_>, _: f64) -> f64 {
            candidate.load().latency.unwrap().as_secs_f64()
        }
    }
    let records = records(&[100; 4]);
    let load =
        |at: usize| LoadReading { latency: [None, Some(7), Some(9), Some(1)][at].map(Duration::from_secs), ..busy(0) };
    let among = candidates(&records, load);
    let by = ScoreBy::Custom(Arc::new(Latency));
    let scores: Vec<_> =
        (0..4).map(|place| Among { members: &among.1, instances: &among.0[..] }.score(&by, place)).collect();
    assert_eq!(scores, [7.0, 7.0, 9.0, 1.0]);
}

fn readings() -> impl Strategy<Value = LoadReading> {
    (0..100_u32, 0..1_000_u64, 0.0..1.0).prop_map(|(in_flight, latency, success)| LoadReading {
        in_flight,
        latency: Some(Duration::from_millis(latency)),
        success,
        idle: None,
    })
}

proptest! {
    #[test]
    fn what_has_more_to_do_is_slower_or_fails_more_often_costs_more(
        record in samples::records(), load in readings(), weight in 1.0..1_000.0_f64,
    ) {
        let score_of = |by: &ScoreBy, load| score(by, Candidate::new(&record, load), weight);
        for by in [ScoreBy::InFlight, ScoreBy::PeakEwma] {
            let now = score_of(&by, load);
            prop_assert!(now.is_finite() && now > 0.0);
            let busier = LoadReading { in_flight: load.in_flight + 1, ..load };
            let failing = LoadReading { success: load.success / 2.0, ..load };
            let slower = LoadReading { latency: load.latency.map(|latency| latency * 2), ..load };
            prop_assert!(score_of(&by, busier) > now);
            prop_assert!(score_of(&by, failing) >= now && score_of(&by, slower) >= now);
            prop_assert!(score(&by, Candidate::new(&record, load), weight * 2.0) < now);
        }
    }

    #[test]
    fn a_score_of_your_own_is_used_as_it_is_and_is_the_worst_if_it_is_no_number(record in samples::records()) {
        let candidate = Candidate::new(&record, LoadReading::IDLE);
        prop_assert_eq!(score(&ScoreBy::Custom(Arc::new(Mine(6.0))), candidate, 2.0), 3.0);
        prop_assert_eq!(score(&ScoreBy::Custom(Arc::new(Mine(f64::NAN))), candidate, 2.0), f64::INFINITY);
    }

    #[test]
    fn round_robin_takes_each_in_turn(number in 1..12_usize, rounds in 1..5_u64) {
        let records = records(&vec![100; number]);
        let counts = counts(&Policy::RoundRobin, &candidates(&records, |_| busy(0)), rounds * number as u64, 7);
        prop_assert_eq!(counts, vec![rounds; number]);
    }

    #[test]
    fn turns_by_weight_are_near_their_share_at_each_time(weights in vec(1..=1_000_u16, 1..8), turns in 1..400_u64) {
        let records = records(&weights);
        let counts = counts(&Policy::Weighted, &candidates(&records, |_| busy(0)), turns, 7);
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        for (count, weight) in counts.iter().zip(&weights) {
            let share = turns as f64 * f64::from(*weight) / total;
            prop_assert!((*count as f64 - share).abs() < 5.0, "{} of {} for {} of {}", count, turns, weight, total);
        }
    }

    #[test]
    fn the_least_loaded_is_one_of_those_with_the_lowest_score(loads in vec(0..20_u32, 1..10), seed: u64) {
        let records = records(&vec![100; loads.len()]);
        let among = candidates(&records, |at| busy(loads[at]));
        let counts = counts(&Policy::LeastLoaded(ScoreBy::InFlight), &among, 20, seed);
        let lowest = loads.iter().min().unwrap();
        for (load, count) in loads.iter().zip(counts) {
            prop_assert!(load == lowest || count == 0);
        }
    }

    #[test]
    fn the_better_of_two_is_never_the_one_that_is_worse_than_all_others(
        loads in vec(0..20_u32, 1..10), seed: u64,
    ) {
        let records = records(&vec![100; loads.len() + 1]);
        let among = candidates(&records, |at| busy(loads.get(at).copied().unwrap_or(100)));
        let counts = counts(&Policy::PowerOfTwo(ScoreBy::InFlight), &among, 200, seed);
        prop_assert_eq!(counts.last(), Some(&0));
    }
}
