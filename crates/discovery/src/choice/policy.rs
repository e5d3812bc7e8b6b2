//! Policies, by which one of several candidates is chosen, and scores, by which some of them compare.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::catch_panic;

use super::candidate::{Candidate, Instances};
use super::draw::Draw;
use super::members::Among;
use super::reason::Basis;
use super::rendezvous::{self, Node};

/// How long an instance has to be without a call before it is tried although it costs more: kratos' figure.
const IDLE: Duration = Duration::from_secs(3);
/// One in so many comparisons may try one.
const TRIES: u32 = 64;
/// 2⁶⁴ divided by the golden ratio: multiples of it are spread evenly, however many there are.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The latency that is assumed as long as none has been measured: 10 ms, in nanoseconds.
const ASSUMED_LATENCY: f64 = 10e6;
/// Added to each latency, so that differences of a few microseconds do not decide: 100 µs.
const FLOOR: f64 = 100e3;
/// Of how many measured latencies the median is assumed for an instance without one.
const MAX_MEASURED: usize = 15;
/// How much of the calls in flight an instance of a key may have by default, in percent of its share.
const BOUND_PERCENT: u16 = 125;
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
    /// so that an instance that was slow or failed is found out to have recovered; not by [`ScoreBy::InFlight`], which
    /// estimates nothing.
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

/// A score of your own. It is asked on the caller's thread and under no lock, for each candidate that a policy compares.
///
/// A panic ends there: this candidate has the worst score of that comparison.
pub trait Score: Send + Sync + 'static {
    /// What one more call costs at this instance: the lower, the better. `weight` is its weight after the slow start.
    fn score(&self, candidate: &Candidate<'_>, weight: f64) -> f64;
}

/// By what instances are compared.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum ScoreBy {
    /// The calls in flight, by weight. The times of calls are not measured, which saves two readings of the clock.
    InFlight,
    /// The calls in flight, times the latency, by weight and by the third power of the success: what fails at once is
    /// not fast. Finagle's peak EWMA, with kratos' success.
    #[default]
    PeakEwma,
    /// A score of your own. One that is not a number is the worst, and so is one that panics.
    Custom(Arc<dyn Score>),
}

impl<I: Instances + ?Sized> Among<'_, I> {
    /// What one more call costs at a member.
    pub(crate) fn score(&self, by: &ScoreBy, place: usize) -> f64 {
        let member = self.members[place];
        match by {
            ScoreBy::InFlight => (f64::from(self.instances.in_flight(member.at)) + 1.0) / member.weight,
            ScoreBy::PeakEwma => {
                let figures = self.instances.figures(member.at);
                let latency = figures.latency_nanos.unwrap_or_else(|| self.assumed_latency()) + FLOOR;
                let calls = (f64::from(figures.in_flight) + 1.0) / member.weight;
                // In milliseconds.
                calls * latency * 1e-6 / figures.success.max(MIN_SUCCESS).powi(3)
            }
            ScoreBy::Custom(score) => {
                let candidate = self.instances.candidate(member.at);
                let assumed = || Duration::from_nanos(self.assumed_latency() as u64);
                let candidate = candidate.assuming(assumed);
                contained(|| score.score(&candidate, member.weight))
            }
        }
    }

    /// The median of the latencies that have been measured: what is not known is assumed to be as the others, so that a
    /// new instance is neither flooded nor avoided. Of the first members only, so it costs little among many.
    #[cold]
    fn assumed_latency(&self) -> f64 {
        let (mut measured, mut number) = ([0.0; MAX_MEASURED], 0);
        let latencies = self.members.iter().filter_map(|it| self.instances.figures(it.at).latency_nanos);
        for (latency, free) in latencies.zip(&mut measured) {
            (*free, number) = (latency, number + 1);
        }
        let measured = &mut measured[..number];
        measured.sort_by(f64::total_cmp);
        measured.get(number / 2).copied().unwrap_or(ASSUMED_LATENCY)
    }
}

/// The score of a user, or the worst if it is no number or panics.
fn contained(score: impl FnOnce() -> f64) -> f64 {
    match catch_panic(score) {
        Ok(score) if !score.is_nan() => score,
        _ => f64::INFINITY,
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

/// The place of a member that was chosen, and why.
type Choice = (usize, Basis);

impl Policy {
    /// By which key decides, whatever else the policy looks at: the bound of this policy if it has one.
    pub(crate) fn by_key(&self) -> Self {
        match self {
            Self::Rendezvous { .. } => self.clone(),
            _ => Self::Rendezvous { bound_percent: Some(BOUND_PERCENT) },
        }
    }

    /// The score that it compares, if it does.
    pub(crate) fn score_by(&self) -> Option<&ScoreBy> {
        match self {
            Self::LeastLoaded(by) | Self::PowerOfTwo(by) => Some(by),
            _ => None,
        }
    }

    /// Whether it looks at how long calls take, so that their times have to be measured.
    pub(crate) fn needs_times(&self) -> bool {
        matches!(self.score_by(), Some(ScoreBy::PeakEwma | ScoreBy::Custom(_)))
    }

    /// Chooses one of the members. `None` if there is none.
    pub(crate) fn choose<I: Instances + ?Sized>(&self, among: &Among<'_, I>, draw: &mut Draw<'_>) -> Option<Choice> {
        let number = among.members.len();
        match (self, number) {
            (_, 0) => None,
            (Self::Rendezvous { bound_percent }, _) => by_key(among, *bound_percent, draw),
            (_, 1) => Some((0, Basis::OnlyOne)),
            (Self::RoundRobin, _) => Some(((draw.turn % number as u64) as usize, Basis::Turn)),
            (Self::Random, _) => Some((draw.random.usize(..number), Basis::Chance)),
            (Self::Weighted, _) => Some((weighted(among, draw.turn), Basis::Weight)),
            (Self::LeastLoaded(by), _) => Some(least_loaded(among, by, draw.random)),
            (Self::PowerOfTwo(by), _) => Some(better_of_two(among, by, draw.random)),
        }
    }
}

/// Without a key any does.
fn by_key<I: Instances + ?Sized>(among: &Among<'_, I>, bound: Option<u16>, draw: &mut Draw<'_>) -> Option<Choice> {
    let any = draw.random.u64(..).to_le_bytes();
    let nodes = among.members.iter().map(|member| Node {
        name: among.instances.name(member.at),
        weight: member.weight,
        in_flight: if bound.is_some() { among.instances.in_flight(member.at) } else { 0 },
    });
    let (place, skipped) = rendezvous::choose(draw.key.unwrap_or(&any), nodes, bound)?;
    Some((place, if draw.key.is_some() { Basis::Key { skipped } } else { Basis::Chance }))
}

/// The candidates lie one after the other on a line, each as long as its weight; the turns visit its points evenly.
fn weighted<I: ?Sized>(among: &Among<'_, I>, turn: u64) -> usize {
    let total: f64 = among.members.iter().map(|member| member.weight).sum();
    let mut left = total * rendezvous::fraction(turn.wrapping_mul(GOLDEN));
    let is_reached = |weight: f64| {
        left -= weight;
        left < 0.0
    };
    among.members.iter().map(|member| member.weight).position(is_reached).unwrap_or(among.members.len() - 1)
}

/// The search begins anywhere, so that equal ones share what comes.
fn least_loaded<I: Instances + ?Sized>(among: &Among<'_, I>, by: &ScoreBy, random: &mut fastrand::Rng) -> Choice {
    let number = among.members.len();
    let first = random.usize(..number);
    let scores = (0..number).map(|offset| (first + offset) % number).map(|place| (place, among.score(by, place)));
    let lowest = scores.reduce(|lowest, next| if next.1 < lowest.1 { next } else { lowest });
    let (place, score) = lowest.unwrap_or((first, f64::INFINITY));
    (place, Basis::LowestScore { score, compared: number })
}

fn better_of_two<I: Instances + ?Sized>(among: &Among<'_, I>, by: &ScoreBy, random: &mut fastrand::Rng) -> Choice {
    let (number, seed) = (among.members.len() as u64, random.u64(..));
    // Two draws of 32 bits each, of all and of the others.
    let first = scaled(seed >> 32, number);
    let second = first + 1 + scaled(seed & u64::from(u32::MAX), number - 1);
    let second = if second < number { second } else { second - number };
    let draws = [first as usize, second as usize];
    let [one, other] = draws.map(|place| (place, among.score(by, place)));
    let (better, worse) = if other.1 < one.1 { (other, one) } else { (one, other) };
    let tried = by.is_estimate() && random.u32(..TRIES) == 0 && is_idle(among, worse.0);
    let ((place, score), (other, other_score)) = if tried { (worse, better) } else { (better, worse) };
    (place, Basis::Two { score, other: among.members[other].at, other_score, tried })
}

/// A number below `end`, as evenly as 32 bits of chance are spread over it.
fn scaled(bits: u64, end: u64) -> u64 {
    (bits * end) >> 32
}

fn is_idle<I: Instances + ?Sized>(among: &Among<'_, I>, place: usize) -> bool {
    among.instances.idle(among.members[place].at).is_none_or(|idle| idle >= IDLE)
}

impl ScoreBy {
    /// Whether it can be wrong for want of a call: calls in flight are counted, not estimated.
    fn is_estimate(&self) -> bool {
        !matches!(self, Self::InFlight)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use foundation_kernel::ractor::ActorId;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::choice::load::{Load, LoadReading, LoadRules, Outcome};
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
            let members = candidates
                .iter()
                .enumerate()
                .map(|(at, it)| Member { at, weight: weight(it), tier: Locality::Elsewhere })
                .collect();
            Self(candidates, members)
        }

        fn choose(&self, policy: &Policy, mut draw: Draw<'_>) -> Option<&Candidate<'a>> {
            policy
                .choose(&Among { members: &self.1, instances: &self.0[..] }, &mut draw)
                .map(|(place, _)| &self.0[place])
        }
    }

    fn candidates<'a>(records: &'a [InstanceRecord], load: impl Fn(usize) -> LoadReading) -> Weighed<'a> {
        Weighed::of(records.iter().enumerate().map(|(at, record)| Candidate::new(record, load(at))).collect())
    }

    fn score(by: &ScoreBy, candidate: Candidate<'_>, weight: f64) -> f64 {
        Among { members: &[Member { at: 0, weight, tier: Locality::Elsewhere }], instances: &[candidate][..] }
            .score(by, 0)
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
        let load = |at: usize| LoadReading {
            latency: [None, Some(7), Some(9), Some(1)][at].map(Duration::from_secs),
            ..busy(0)
        };
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
}
