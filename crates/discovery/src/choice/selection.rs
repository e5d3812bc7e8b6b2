//! The choice as a whole: who is in rotation, which tier, which instance.

use std::time::Duration;

use super::candidate::{Candidate, Instances, NoneInRotationError};
use super::draw::Draw;
use super::locality::Locality;
use super::policy::Policy;
use super::reason::{ChoiceReason, Decision};
use super::rotation::Rotation;
use crate::instance::Zone;

/// How an instance is chosen among those that fit.
///
/// | | default |
/// |---|---|
/// | [`policy`](Self::policy) | the better of two by peak EWMA |
/// | [`near`](Self::near) | no zone: all instances alike |
/// | [`slow_start`](Self::slow_start) | 30 s |
/// | [`fail_open_below`](Self::fail_open_below) | 50 percent |
///
/// First the instances that are out of rotation are left out: unhealthy, ejected and draining ones. If that leaves too few,
/// the choice *fails open*: all but the draining ones take part, and [`Chosen::fail_open`] says so. It is better to try
/// instances that are perhaps broken than to send everything to the few that are left. Then the tier is drawn, and within
/// it the policy chooses.
///
/// ```
/// use foundation_discovery::choice::{Candidate, Choice, Draw, LoadReading};
/// use foundation_discovery::health::{InstanceHealth, InstanceStatus};
/// use foundation_discovery::{Instance, InstanceRecord};
/// use foundation_kernel::ractor::ActorId;
///
/// let record = |id: &str| Instance::builder("orders", id).build().map(|it| InstanceRecord::new(it, ActorId::Local(1)));
/// let unhealthy = record("a")?.with_health(InstanceHealth::new(InstanceStatus::Unhealthy));
/// let healthy = record("b")?.with_health(InstanceHealth::new(InstanceStatus::Healthy));
/// let candidates = [&unhealthy, &healthy].map(|record| Candidate::new(record, LoadReading::IDLE));
///
/// let mut random = fastrand::Rng::with_seed(7);
/// let chosen = Choice::new().choose(&candidates, Draw::new(&mut random))?;
/// assert_eq!((chosen.candidate.name().id(), chosen.fail_open), ("b", false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Choice {
    policy: Policy,
    near: Option<Zone>,
    slow_start: Duration,
    fail_open_percent: u8,
}

impl Default for Choice {
    fn default() -> Self {
        Self { policy: Policy::default(), near: None, slow_start: Duration::from_secs(30), fail_open_percent: 50 }
    }
}

/// The instance that was chosen, and how.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Chosen<'a> {
    /// The instance.
    pub candidate: Candidate<'a>,
    /// Whether too few instances were in rotation, so that those that are out took part.
    pub fail_open: bool,
    /// How near it is; `None` if the choice does not look at zones.
    pub locality: Option<Locality>,
    /// Why it was chosen among those of its tier.
    pub reason: ChoiceReason,
}

impl Choice {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// By what an instance is chosen within its tier.
    pub fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Prefers instances in this zone, then in its region: a tier that loses instances gives work to the next.
    pub fn near(self, zone: Zone) -> Self {
        Self { near: Some(zone), ..self }
    }

    /// How long the weight of a new instance grows from a tenth to the whole.
    pub fn slow_start(self, time: Duration) -> Self {
        Self { slow_start: time, ..self }
    }

    /// The share of the instances in rotation, in percent, below which the choice fails open; 0 never does.
    pub fn fail_open_below(self, percent: u8) -> Self {
        Self { fail_open_percent: percent.min(100), ..self }
    }

    /// Chooses one of the candidates. Cost: linear in them, without a score unless the policy compares some. A
    /// [`Selector`](crate::Selector) keeps what does not change from one choice to the next.
    ///
    /// # Errors
    /// [`NoneInRotationError`] if all are out of rotation and the choice does not fail open, or all are draining.
    pub fn choose<'a>(
        &self,
        candidates: &[Candidate<'a>],
        mut draw: Draw<'_>,
    ) -> Result<Chosen<'a>, NoneInRotationError> {
        let decided = self.policy.decide(&self.rotation(candidates)?, candidates, &mut draw);
        let decided = decided.ok_or_else(|| NoneInRotationError::of(candidates))?;
        Ok(Chosen {
            candidate: candidates[decided.at],
            fail_open: decided.fail_open,
            locality: decided.locality,
            reason: ChoiceReason::new(decided.basis, |at| candidates[at].name().clone()),
        })
    }

    /// Who takes part.
    pub(crate) fn rotation(&self, candidates: &[Candidate<'_>]) -> Result<Rotation, NoneInRotationError> {
        Rotation::of(candidates, self.near.as_ref(), self.slow_start, self.fail_open_percent)
    }

    /// What an instance costs, if it takes part and the policy compares scores.
    pub(crate) fn score<I: Instances + ?Sized>(&self, rotation: &Rotation, instances: &I, at: usize) -> Option<f64> {
        let (by, (place, among)) = (self.policy.score_by()?, rotation.tier_of(at, instances)?);
        Some(among.score(by, place))
    }

    pub(crate) fn wanted_policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn slow_start_time(&self) -> Duration {
        self.slow_start
    }

    /// Where its caller is, if it looks at zones.
    pub(crate) fn zone(&self) -> Option<&Zone> {
        self.near.as_ref()
    }
}

impl Policy {
    /// Chooses one of a rotation: first the tier, and then within it.
    #[inline(always)]
    pub(crate) fn decide<I: Instances + ?Sized>(
        &self,
        rotation: &Rotation,
        instances: &I,
        draw: &mut Draw<'_>,
    ) -> Option<Decision> {
        let (locality, among) = rotation.among(instances, draw);
        let (place, basis) = self.choose(&among, draw)?;
        Some(Decision { at: among.members[place].at, fail_open: rotation.fail_open(), locality, basis })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use foundation_kernel::ractor::ActorId;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::choice::candidate::OutReason;
    use crate::choice::load::LoadReading;
    use crate::choice::policy::ScoreBy;
    use crate::health::{InstanceHealth, InstanceStatus};
    use crate::instance::{Instance, InstanceRecord};
    use crate::samples::records;

    fn record(id: &str, zone: &str, status: InstanceStatus) -> InstanceRecord {
        let instance = Instance::builder("orders", id).zone(zone).build().unwrap();
        InstanceRecord::new(instance, ActorId::Local(1)).with_health(InstanceHealth::new(status))
    }

    fn candidates(records: &[InstanceRecord]) -> Vec<Candidate<'_>> {
        records.iter().map(|record| Candidate::new(record, LoadReading::IDLE)).collect()
    }

    /// How often each tier is chosen in 1,000 turns.
    fn tiers(choice: &Choice, records: &[InstanceRecord]) -> BTreeMap<Locality, usize> {
        let (mut random, mut tiers) = (fastrand::Rng::with_seed(7), BTreeMap::new());
        for turn in 0..1_000 {
            let chosen = choice.choose(&candidates(records), Draw::new(&mut random).turn(turn)).unwrap();
            *tiers.entry(chosen.locality.unwrap()).or_insert(0) += 1;
        }
        tiers
    }

    #[test]
    fn an_ejected_instance_is_not_chosen_unless_the_choice_fails_open() {
        let records = ["a", "b", "c"].map(|id| record(id, "eu", InstanceStatus::Healthy));
        let mut candidates = candidates(&records);
        candidates[0] = candidates[0].ejected(true);
        let mut random = fastrand::Rng::with_seed(7);
        let mut choose = |candidates: &[Candidate<'_>], turn| {
            let choice = Choice::new().policy(Policy::RoundRobin);
            let chosen = choice.choose(candidates, Draw::new(&mut random).turn(turn)).unwrap();
            (chosen.candidate.name().id().to_owned(), chosen.fail_open)
        };
        assert_eq!(choose(&candidates, 0), ("b".to_owned(), false));
        assert_eq!(choose(&candidates, 1), ("c".to_owned(), false));
        candidates[1] = candidates[1].ejected(true);
        assert_eq!(choose(&candidates, 0), ("a".to_owned(), true), "one of three is left");
    }

    #[test]
    fn if_none_can_be_chosen_the_error_counts_the_reasons() {
        let draining = [record("a", "eu", InstanceStatus::Draining)];
        let mut random = fastrand::Rng::with_seed(7);
        let mut error = |choice: Choice, records: &[InstanceRecord]| {
            choice.choose(&candidates(records), Draw::new(&mut random)).unwrap_err().to_string()
        };
        assert_eq!(error(Choice::new(), &draining), "none of 1 instances is in rotation: 1 draining");
        assert_eq!(error(Choice::new(), &[]), "there is no instance to choose from");
        let out = [record("a", "eu", InstanceStatus::Draining), record("b", "eu", InstanceStatus::Unhealthy)];
        let never = Choice::new().fail_open_below(0);
        assert_eq!(error(never, &out), "none of 2 instances is in rotation: 1 unhealthy, 1 draining");
    }

    #[test]
    fn a_zone_that_is_lost_gives_its_work_to_the_region_and_then_elsewhere() {
        let choice = Choice::new().near("eu/a".parse().unwrap()).fail_open_below(0);
        let all = |a, b, us| {
            [("1", "eu/a", a), ("2", "eu/a", a), ("3", "eu/b", b), ("4", "eu/b", b), ("5", "us/a", us)]
                .map(|(id, zone, status)| record(id, zone, status))
        };
        let (up, down) = (InstanceStatus::Healthy, InstanceStatus::Unhealthy);
        assert_eq!(tiers(&choice, &all(up, up, up)), BTreeMap::from([(Locality::SameZone, 1_000)]));
        assert_eq!(tiers(&choice, &all(down, up, up)), BTreeMap::from([(Locality::SameRegion, 1_000)]));
        assert_eq!(tiers(&choice, &all(down, down, up)), BTreeMap::from([(Locality::Elsewhere, 1_000)]));
    }

    #[test]
    fn a_zone_that_loses_half_of_its_instances_keeps_seven_tenths_of_the_work() {
        let choice = Choice::new().near("eu/a".parse().unwrap());
        let (up, down) = (InstanceStatus::Healthy, InstanceStatus::Unhealthy);
        let records = [("1", "eu/a", up), ("2", "eu/a", down), ("3", "eu/b", up)].map(|(id, z, s)| record(id, z, s));
        let tiers = tiers(&choice, &records);
        assert!((650..=750).contains(&tiers[&Locality::SameZone]), "{tiers:?}");
        assert_eq!(tiers[&Locality::SameZone] + tiers[&Locality::SameRegion], 1_000);
    }

    #[test]
    fn an_instance_without_a_measured_latency_is_assumed_to_be_as_the_others() {
        let records = ["a", "b", "c", "d"].map(|id| record(id, "eu", InstanceStatus::Healthy));
        for latency in [Duration::from_micros(1), Duration::from_secs(100)] {
            let load = |latency| LoadReading { latency, idle: Some(Duration::ZERO), ..LoadReading::IDLE };
            let candidates: Vec<_> =
                records.iter().map(|it| Candidate::new(it, load((it.name().id() != "d").then_some(latency)))).collect();
            let mut random = fastrand::Rng::with_seed(7);
            let mut chosen = || Choice::new().choose(&candidates, Draw::new(&mut random)).unwrap().candidate;
            let new = (0..1_000).filter(|_| chosen().name().id() == "d").count();
            assert!((200..=300).contains(&new), "{new} of 1000 among three of {latency:?}");
        }
    }

    #[test]
    fn with_a_key_the_tier_is_the_same_each_time() {
        let policy = Policy::Rendezvous { bound_percent: None };
        let choice = Choice::new().near("eu/a".parse().unwrap()).policy(policy);
        let (up, down) = (InstanceStatus::Healthy, InstanceStatus::Unhealthy);
        let records = [("1", "eu/a", up), ("2", "eu/a", down), ("3", "eu/b", up)].map(|(id, z, s)| record(id, z, s));
        let mut random = fastrand::Rng::with_seed(7);
        let candidates = candidates(&records);
        let mut chosen = || choice.choose(&candidates, Draw::new(&mut random).key(b"customer-7")).unwrap().candidate;
        let first = chosen();
        assert!((0..100).all(|_| chosen() == first));
    }

    fn choices() -> impl Strategy<Value = Choice> {
        let policies = vec![
            Policy::RoundRobin,
            Policy::Random,
            Policy::Weighted,
            Policy::LeastLoaded(ScoreBy::PeakEwma),
            Policy::default(),
            Policy::Rendezvous { bound_percent: Some(125) },
        ];
        let zone = proptest::option::of(select(vec!["eu", "eu/a", "us/b"]));
        (select(policies), zone, 0..=100_u8).prop_map(|(policy, zone, percent)| {
            let choice = Choice::new().policy(policy).fail_open_below(percent);
            zone.map(|zone| zone.parse().unwrap()).into_iter().fold(choice, Choice::near)
        })
    }

    proptest! {
        #[test]
        fn no_choice_ever_leaves_the_rotation_unless_it_says_that_it_failed_open(
            choice in choices(), records in vec((records(), any::<bool>()), 0..10), turn: u64, seed: u64,
        ) {
            let candidates: Vec<_> =
                records.iter().map(|(record, out)| Candidate::new(record, LoadReading::IDLE).ejected(*out)).collect();
            let mut random = fastrand::Rng::with_seed(seed);
            let staying = candidates.iter().filter(|it| it.out() != Some(OutReason::Draining)).count();
            let in_rotation = candidates.iter().filter(|it| it.out().is_none()).count();
            let too_few = in_rotation * 100 < usize::from(choice.fail_open_percent) * staying;
            match choice.choose(&candidates, Draw::new(&mut random).turn(turn)) {
                Ok(chosen) => {
                    prop_assert_eq!(chosen.fail_open, too_few);
                    prop_assert!(chosen.fail_open || chosen.candidate.out().is_none());
                    prop_assert!(chosen.candidate.out() != Some(OutReason::Draining));
                    let near = choice.near.as_ref().map(|here| Locality::of(here, chosen.candidate.zone()));
                    prop_assert_eq!(chosen.locality, near);
                }
                Err(error) => {
                    prop_assert!(in_rotation == 0 && !too_few);
                    prop_assert_eq!(error.out.values().sum::<usize>(), candidates.len());
                }
            }
        }
    }
}
