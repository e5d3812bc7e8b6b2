//! What a policy chooses among that is no instance, such as the workers of a pool.

use std::time::Duration;

use super::candidate::{Candidate, Instances};
use super::draw::Draw;
use super::load::{Figures, LoadReading};
use super::locality::Locality;
use super::members::{Among, Member};
use super::policy::Policy;

/// Names and weights of what a [`Policy`] chooses among if it is no instance: the workers of a pool, for example.
///
/// Their loads are read only where the policy compares them, so that a choice among many costs as little as one among
/// instances.
///
/// ```
/// use foundation_discovery::choice::{ContenderLoads, Contenders, Draw, LoadReading, Policy, ScoreBy};
///
/// struct InFlight([u32; 2]);
/// impl ContenderLoads for InFlight {
///     fn in_flight(&self, at: usize) -> u32 {
///         self.0[at]
///     }
///     fn reading(&self, at: usize) -> LoadReading {
///         LoadReading { in_flight: self.in_flight(at), ..LoadReading::IDLE }
///     }
/// }
///
/// let (mut contenders, mut random) = (Contenders::default(), fastrand::Rng::with_seed(7));
/// contenders.set([(0, "0", 100.0), (1, "1", 100.0)]);
/// let policy = Policy::PowerOfTwo(ScoreBy::InFlight);
/// assert_eq!(contenders.choose(&policy, &InFlight([3, 2]), Draw::new(&mut random)), Some(1));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Contenders {
    members: Vec<Member>,
    /// By their places in the caller's list.
    names: Vec<String>,
}

/// The loads of contenders, by their places in the caller's list.
pub trait ContenderLoads {
    /// Work that has begun and not ended.
    fn in_flight(&self, at: usize) -> u32;

    /// All of the load, for the scores that look at latency and success.
    fn reading(&self, at: usize) -> LoadReading;
}

impl Contenders {
    /// Replaces all of them. Each has its place in the caller's list, by which it is chosen, a name, by which keys find it
    /// again, and a weight, above 0.
    pub fn set<'n>(&mut self, all: impl IntoIterator<Item = (usize, &'n str, f64)>) {
        self.members.clear();
        for (at, name, weight) in all {
            self.names.resize(self.names.len().max(at + 1), String::new());
            name.clone_into(&mut self.names[at]);
            let weight = if weight > 0.0 { weight } else { f64::MIN_POSITIVE };
            self.members.push(Member::new(at, weight, Locality::ALL[0]));
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The place of one that the policy chooses; `None` if there is none. A score of a user, which looks at instances,
    /// finds all alike.
    ///
    /// Cost: that of the [`Policy`].
    pub fn choose(&self, policy: &Policy, loads: &impl ContenderLoads, mut draw: Draw<'_>) -> Option<usize> {
        let instances = &Named { names: &self.names, loads };
        let (place, _) = policy.choose(&Among { members: &self.members, instances }, &mut draw)?;
        self.members.get(place).map(|member| member.at)
    }
}

/// Contenders as what a policy looks at.
struct Named<'a, L> {
    names: &'a [String],
    loads: &'a L,
}

impl<L: ContenderLoads> Instances for Named<'_, L> {
    fn name(&self, at: usize) -> &str {
        self.names.get(at).map_or("", String::as_str)
    }

    fn in_flight(&self, at: usize) -> u32 {
        self.loads.in_flight(at)
    }

    fn figures(&self, at: usize) -> Figures {
        self.loads.reading(at).figures()
    }

    fn idle(&self, at: usize) -> Option<Duration> {
        self.loads.reading(at).idle
    }

    fn candidate(&self, _: usize) -> Option<Candidate<'_>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::choice::ScoreBy;

    struct Readings(Vec<LoadReading>);

    impl ContenderLoads for Readings {
        fn in_flight(&self, at: usize) -> u32 {
            self.0[at].in_flight
        }

        fn reading(&self, at: usize) -> LoadReading {
            self.0[at]
        }
    }

    fn policies() -> Vec<Policy> {
        let scored =
            [ScoreBy::InFlight, ScoreBy::PeakEwma].map(|by| [Policy::LeastLoaded(by.clone()), Policy::PowerOfTwo(by)]);
        let others = [Policy::RoundRobin, Policy::Random, Policy::Weighted, Policy::Rendezvous { bound_percent: None }];
        scored.into_iter().flatten().chain(others).collect()
    }

    proptest! {
        #[test]
        fn every_policy_chooses_one_of_those_that_take_part_and_none_if_there_is_none(
            loads in vec(0..9_u32, 1..9), taking_part in vec(any::<bool>(), 9), turn: u64, seed: u64,
        ) {
            let names: Vec<_> = (0..loads.len()).map(|at| at.to_string()).collect();
            let taking_part: Vec<_> = (0..loads.len()).filter(|at| taking_part[*at]).collect();
            let mut contenders = Contenders::default();
            contenders.set(taking_part.iter().map(|at| (*at, names[*at].as_str(), 1.0)));
            let reading = |in_flight| LoadReading { in_flight, ..LoadReading::IDLE };
            let loads = Readings(loads.into_iter().map(reading).collect());
            let mut random = fastrand::Rng::with_seed(seed);
            for policy in policies() {
                let chosen = contenders.choose(&policy, &loads, Draw::new(&mut random).turn(turn));
                prop_assert_eq!(chosen.is_some(), !taking_part.is_empty());
                prop_assert!(chosen.is_none_or(|at| taking_part.contains(&at)));
                if let (Policy::LeastLoaded(ScoreBy::InFlight), Some(at)) = (&policy, chosen) {
                    let least = taking_part.iter().map(|at| loads.in_flight(*at)).min();
                    prop_assert_eq!(Some(loads.in_flight(at)), least);
                }
            }
        }
    }
}
