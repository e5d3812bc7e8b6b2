//! Policies, by which one of several candidates is chosen, and scores, by which some of them compare.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::catch_panic;

use super::candidate::{Candidate, Instances};
use super::draw::Draw;
use super::members::{Among, Member};
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
    #[inline]
    pub(crate) fn score(&self, by: &ScoreBy, place: usize) -> f64 {
        let member = &self.members[place];
        match by {
            ScoreBy::InFlight => (f64::from(self.instances.in_flight(member.at)) + 1.0) * member.per_weight,
            ScoreBy::PeakEwma => self.peak_ewma(member),
            ScoreBy::Custom(score) => self.custom_score(&**score, member),
        }
    }

    #[inline(never)]
    fn peak_ewma(&self, member: &Member) -> f64 {
        let figures = self.instances.figures(member.at);
        let latency = figures.latency_nanos.unwrap_or_else(|| self.assumed_latency()) + FLOOR;
        let calls = (f64::from(figures.in_flight) + 1.0) * member.per_weight;
        // In milliseconds.
        let score = calls * latency * 1e-6;
        // Most of the time all succeed.
        if figures.success < 1.0 { score / figures.success.max(MIN_SUCCESS).powi(3) } else { score }
    }

    #[inline(never)]
    fn custom_score(&self, score: &dyn Score, member: &Member) -> f64 {
        let Some(candidate) = self.instances.candidate(member.at) else { return f64::INFINITY };
        let candidate = candidate.assuming(|| Duration::from_nanos(self.assumed_latency() as u64));
        contained(|| score.score(&candidate, member.weight))
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
    // Always inlined, as what calls it is: a decision that is returned through memory costs more than to come to it.
    #[inline(always)]
    pub(crate) fn choose<I: Instances + ?Sized>(&self, among: &Among<'_, I>, draw: &mut Draw<'_>) -> Option<Choice> {
        let number = among.members.len();
        match (self, number) {
            (_, 0) => None,
            (Self::Rendezvous { bound_percent }, _) => by_key(among, *bound_percent, draw),
            (_, 1) => Some((0, Basis::ONLY_ONE)),
            (Self::RoundRobin, _) => Some(((draw.turn % number as u64) as usize, Basis::TURN)),
            (Self::Random, _) => Some((draw.random.usize(..number), Basis::CHANCE)),
            (Self::Weighted, _) => Some((weighted(among, draw.turn), Basis::WEIGHT)),
            (Self::LeastLoaded(by), _) => Some(least_loaded(among, by, draw.random)),
            (Self::PowerOfTwo(by), _) => Some(better_of_two(among, by, draw.random)),
        }
    }
}

/// Without a key any does.
#[inline(never)]
fn by_key<I: Instances + ?Sized>(among: &Among<'_, I>, bound: Option<u16>, draw: &mut Draw<'_>) -> Option<Choice> {
    let any = draw.random.u64(..).to_le_bytes();
    let nodes = among.members.iter().map(|member| Node {
        name: among.instances.name(member.at),
        weight: member.weight,
        in_flight: if bound.is_some() { among.instances.in_flight(member.at) } else { 0 },
    });
    let (place, skipped) = rendezvous::choose(draw.key.unwrap_or(&any), nodes, bound)?;
    Some((place, if draw.key.is_some() { Basis::key(skipped) } else { Basis::CHANCE }))
}

/// The candidates lie one after the other on a line, each as long as its weight; the turns visit its points evenly.
#[inline(never)]
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
#[inline(never)]
fn least_loaded<I: Instances + ?Sized>(among: &Among<'_, I>, by: &ScoreBy, random: &mut fastrand::Rng) -> Choice {
    let number = among.members.len();
    let first = random.usize(..number);
    let scores = (0..number).map(|offset| (first + offset) % number).map(|place| (place, among.score(by, place)));
    let lowest = scores.reduce(|lowest, next| if next.1 < lowest.1 { next } else { lowest });
    let (place, score) = lowest.unwrap_or((first, f64::INFINITY));
    (place, Basis::lowest_score(score, number))
}

#[inline(always)]
fn better_of_two<I: Instances + ?Sized>(among: &Among<'_, I>, by: &ScoreBy, random: &mut fastrand::Rng) -> Choice {
    let (number, seed) = (among.members.len() as u64, random.u64(..));
    // Two draws of 32 bits each, of all and of the others.
    let first = scaled(seed >> 32, number);
    let second = first + 1 + scaled(seed & u64::from(u32::MAX), number - 1);
    let second = if second < number { second } else { second - number };
    let (first, second) = (first as usize, second as usize);
    let (one, other) = ((first, among.score(by, first)), (second, among.score(by, second)));
    let (better, worse) = if other.1 < one.1 { (other, one) } else { (one, other) };
    let tried = by.is_estimate() && random.u32(..TRIES) == 0 && is_idle(among, worse.0);
    let ((place, score), (other, other_score)) = if tried { (worse, better) } else { (better, worse) };
    (place, Basis::of_two(score, (among.members[other].at, other_score), tried))
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
#[path = "policy_tests.rs"]
mod tests;
