//! Policies, by which one of several candidates is chosen, and scores, by which some of them compare.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::candidate::Candidate;
use super::rendezvous::{self, Node};
use crate::hash::stable_hash;

/// How long an instance has to be without a call before it is tried although it costs more: kratos' figure.
const IDLE: Duration = Duration::from_secs(3);
/// One in so many comparisons may try one.
const TRIES: u32 = 64;
/// 2⁶⁴ divided by the golden ratio: multiples of it are spread evenly, however many there are.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The latency that is assumed as long as none has been measured.
const ASSUMED_LATENCY: Duration = Duration::from_millis(10);
/// Added to each latency, so that differences of a few microseconds do not decide.
const FLOOR: Duration = Duration::from_micros(100);
/// The lowest success: an instance whose calls all fail costs a million times as much as one whose calls all succeed.
const MIN_SUCCESS: f64 = 0.01;

/// By what an instance is chosen. All but [`RoundRobin`](Self::RoundRobin) and [`Random`](Self::Random) heed the weights.
///
/// | policy | looks at | good for |
/// |---|---|---|
/// | [`RoundRobin`](Self::RoundRobin) | nothing | equal instances, equal calls |
/// | [`Random`](Self::Random) | nothing | many callers that do not know of each other |
/// | [`Weighted`](Self::Weighted) | the weights | instances of different size, equal calls |
/// | [`LeastLoaded`](Self::LeastLoaded) | the load of all | few instances, long calls, one caller |
/// | [`PowerOfTwo`](Self::PowerOfTwo) | the load of two | everything else: the default, by [`ScoreBy::PeakEwma`] |
/// | [`Rendezvous`](Self::Rendezvous) | the key | state or a cache at the instance |
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Policy {
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// One after the other, each as often as its weight says, evenly spread in time.
    Weighted,
    /// The one whose score is the lowest of all. Cost: a score for each candidate.
    LeastLoaded(ScoreBy),
    /// The better of two that are drawn: nearly as even as the lowest score of all, at the cost of two scores, and without
    /// all callers preferring the same instance at once. One in 64 times the other is tried if it has had no call for 3 s,
    /// so that an instance that was slow or failed is found out to have recovered.
    PowerOfTwo(ScoreBy),
    /// The same instance for the same key as long as it is there. When it goes only its keys move. Without a key, any.
    Rendezvous {
        /// How many percent of its fair share of the calls in flight an instance may have before its keys go to their
        /// next instance: 100 or more, 125 is usual. `None` is no bound.
        bound_percent: Option<u16>,
    },
}

impl Default for Policy {
    fn default() -> Self {
        Self::PowerOfTwo(ScoreBy::PeakEwma)
    }
}

/// A score of your own. It is asked on the caller's thread, for each candidate that a policy compares.
pub trait Score: Send + Sync + 'static {
    /// What one more call costs at this instance: the lower, the better. `weight` is its weight after the slow start.
    fn score(&self, candidate: &Candidate<'_>, weight: f64) -> f64;
}

/// By what instances are compared.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum ScoreBy {
    /// The calls in flight, by weight.
    InFlight,
    /// The calls in flight, times the latency, by weight and by the third power of the success: what fails at once is
    /// not fast. Finagle's peak EWMA, with kratos' success.
    #[default]
    PeakEwma,
    /// A score of your own. One that is not a number is the worst.
    Custom(Arc<dyn Score>),
}

impl ScoreBy {
    pub(super) fn score(&self, candidate: &Candidate<'_>, weight: f64) -> f64 {
        let calls = (f64::from(candidate.load().in_flight) + 1.0) / weight;
        match self {
            Self::InFlight => calls,
            Self::PeakEwma => {
                let latency = candidate.load().latency.unwrap_or(ASSUMED_LATENCY) + FLOOR;
                calls * latency.as_secs_f64() / candidate.load().success.max(MIN_SUCCESS).powi(3)
            }
            Self::Custom(score) => {
                let score = score.score(candidate, weight);
                if score.is_nan() { f64::INFINITY } else { score }
            }
        }
    }
}

impl fmt::Debug for ScoreBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InFlight => "InFlight",
            Self::PeakEwma => "PeakEwma",
            Self::Custom(_) => "Custom(..)",
        })
    }
}

/// What is given to one choice: chance, the turn, and the key of the call.
#[derive(Debug)]
pub struct Draw<'d> {
    random: &'d mut fastrand::Rng,
    turn: u64,
    key: Option<&'d [u8]>,
}

impl<'d> Draw<'d> {
    /// With this source of randomness, the first turn, and no key.
    pub fn new(random: &'d mut fastrand::Rng) -> Self {
        Self { random, turn: 0, key: None }
    }

    /// How many choices there were before, of the same selection: for the policies that take turns.
    pub fn turn(self, turn: u64) -> Self {
        Self { turn, ..self }
    }

    /// The key of the call, for the policy that keeps to an instance.
    pub fn key(self, key: &'d [u8]) -> Self {
        Self { key: Some(key), ..self }
    }

    /// A number of 0 up to 1: the same for the same key and purpose, if there is a key.
    pub(super) fn fraction(&mut self, purpose: &str) -> f64 {
        match self.key {
            Some(key) => rendezvous::fraction(stable_hash(key, purpose)),
            None => self.random.f64(),
        }
    }
}

impl Policy {
    /// Chooses one of the candidates, which are given with their weights. `None` if there is none.
    pub(super) fn choose<'c, 'a>(
        &self,
        among: &'c [(Candidate<'a>, f64)],
        draw: &mut Draw<'_>,
    ) -> Option<&'c Candidate<'a>> {
        if among.is_empty() {
            return None;
        }
        let at = match self {
            Self::RoundRobin => (draw.turn % among.len() as u64) as usize,
            Self::Random => draw.random.usize(..among.len()),
            Self::Weighted => weighted(among, draw.turn),
            Self::LeastLoaded(by) => least_loaded(among, by, draw.random),
            Self::PowerOfTwo(by) => better_of_two(among, by, draw.random),
            Self::Rendezvous { bound_percent } => {
                let any = draw.random.u64(..).to_le_bytes();
                rendezvous::choose(draw.key.unwrap_or(&any), &nodes(among), *bound_percent)?
            }
        };
        among.get(at).map(|(candidate, _)| candidate)
    }
}

fn nodes<'a>(among: &[(Candidate<'a>, f64)]) -> Vec<Node<'a>> {
    let node = |(candidate, weight): &(Candidate<'a>, f64)| Node {
        name: candidate.name().as_str(),
        weight: *weight,
        in_flight: candidate.load().in_flight,
    };
    among.iter().map(node).collect()
}

/// The candidates lie one after the other on a line, each as long as its weight; the turns visit its points evenly.
fn weighted(among: &[(Candidate<'_>, f64)], turn: u64) -> usize {
    let total: f64 = among.iter().map(|(_, weight)| weight).sum();
    let mut left = total * rendezvous::fraction(turn.wrapping_mul(GOLDEN));
    let is_reached = |(_, weight): &(Candidate<'_>, f64)| {
        left -= weight;
        left < 0.0
    };
    among.iter().position(is_reached).unwrap_or(among.len() - 1)
}

/// The search begins anywhere, so that equal ones share what comes.
fn least_loaded(among: &[(Candidate<'_>, f64)], by: &ScoreBy, random: &mut fastrand::Rng) -> usize {
    let first = random.usize(..among.len());
    let scores = (0..among.len()).map(|offset| (first + offset) % among.len()).map(|at| (at, score(by, &among[at])));
    let lowest = scores.reduce(|lowest, next| if next.1 < lowest.1 { next } else { lowest });
    lowest.map_or(first, |(at, _)| at)
}

fn better_of_two(among: &[(Candidate<'_>, f64)], by: &ScoreBy, random: &mut fastrand::Rng) -> usize {
    let first = random.usize(..among.len());
    if among.len() == 1 {
        return first;
    }
    // One of the others.
    let second = (first + random.usize(1..among.len())) % among.len();
    let is_better = score(by, &among[second]) < score(by, &among[first]);
    let (better, other) = if is_better { (second, first) } else { (first, second) };
    let is_idle = among[other].0.load().idle.is_none_or(|idle| idle >= IDLE);
    if is_idle && random.u32(..TRIES) == 0 { other } else { better }
}

fn score(by: &ScoreBy, (candidate, weight): &(Candidate<'_>, f64)) -> f64 {
    by.score(candidate, *weight)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use foundation_kernel::ractor::ActorId;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::choice::load::{Load, LoadReading, LoadRules, Outcome};
    use crate::instance::{Instance, InstanceRecord};
    use crate::samples;

    fn records(weights: &[u16]) -> Vec<InstanceRecord> {
        let instance = |at: usize, weight| Instance::builder("orders", at.to_string()).weight(weight).build().unwrap();
        let numbered = weights.iter().enumerate();
        numbered.map(|(at, weight)| InstanceRecord::new(instance(at, *weight), ActorId::Local(at as u64))).collect()
    }

    fn candidates<'a>(records: &'a [InstanceRecord], load: impl Fn(usize) -> LoadReading) -> Vec<(Candidate<'a>, f64)> {
        let candidates = records.iter().enumerate().map(|(at, record)| Candidate::new(record, load(at)));
        candidates.map(|it| (it, f64::from(it.record().instance.weight()))).collect()
    }

    fn busy(in_flight: u32) -> LoadReading {
        LoadReading { in_flight, idle: Some(Duration::ZERO), ..LoadReading::IDLE }
    }

    /// How often each of them is chosen in so many turns.
    fn counts(policy: &Policy, among: &[(Candidate<'_>, f64)], turns: u64, seed: u64) -> Vec<u64> {
        let (mut random, mut counts) = (fastrand::Rng::with_seed(seed), BTreeMap::new());
        for turn in 0..turns {
            let chosen = policy.choose(among, &mut Draw::new(&mut random).turn(turn)).unwrap();
            *counts.entry(chosen.name().id()).or_insert(0) += 1;
        }
        among.iter().map(|(candidate, _)| counts.get(candidate.name().id()).copied().unwrap_or(0)).collect()
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
            assert!(policy.choose(&[], &mut Draw::new(&mut random)).is_none());
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
            policy.choose(&among, &mut Draw::new(&mut random).key(b"customer-7")).unwrap().name().clone()
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
        let mut loads = vec![Load::new(began); 10];
        let mut random = fastrand::Rng::with_seed(seed);
        let mut under_way: Vec<(tokio::time::Instant, usize, Duration)> = Vec::new();
        let mut failed = 0;
        for turn in 0..CALLS {
            let now = began + Duration::from_millis(turn);
            for (end, at, latency) in under_way.extract_if(.., |(end, ..)| *end <= now) {
                loads[at].end(&rules, Outcome::Succeeded(latency), end);
            }
            let among = candidates(&records, |at| loads[at].reading(&rules, now));
            let chosen = policy.choose(&among, &mut Draw::new(&mut random).turn(turn)).unwrap();
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
            let score = |by: &ScoreBy, load| by.score(&Candidate::new(&record, load), weight);
            for by in [ScoreBy::InFlight, ScoreBy::PeakEwma] {
                let now = score(&by, load);
                prop_assert!(now.is_finite() && now > 0.0);
                let busier = LoadReading { in_flight: load.in_flight + 1, ..load };
                let failing = LoadReading { success: load.success / 2.0, ..load };
                let slower = LoadReading { latency: load.latency.map(|latency| latency * 2), ..load };
                prop_assert!(score(&by, busier) > now);
                prop_assert!(score(&by, failing) >= now && score(&by, slower) >= now);
                prop_assert!(by.score(&Candidate::new(&record, load), weight * 2.0) < now);
            }
        }

        #[test]
        fn a_score_of_your_own_is_used_as_it_is_and_is_the_worst_if_it_is_no_number(record in samples::records()) {
            let candidate = Candidate::new(&record, LoadReading::IDLE);
            prop_assert_eq!(ScoreBy::Custom(Arc::new(Mine(6.0))).score(&candidate, 2.0), 3.0);
            prop_assert_eq!(ScoreBy::Custom(Arc::new(Mine(f64::NAN))).score(&candidate, 2.0), f64::INFINITY);
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
}
