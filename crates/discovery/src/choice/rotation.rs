//! The rotation: the instances that take part in choices, until one of them changes.
//!
//! # Invariants
//!
//! 1. Whether a choice fails open is decided over all candidates, those included that a call has tried before.
//! 2. The members of a tier lie together, so a policy chooses among a part of one list.
//! 3. A choice allocates nothing, and reads the loads of the members that its policy compares, no others.

use std::ops::Range;
use std::time::Duration;

use super::candidate::{Candidate, NoneInRotationError, OutReason};
use super::draw::Draw;
use super::locality::{Locality, TIERS, TierCount};
use super::members::{Among, Member};
use crate::instance::Zone;

/// Who takes part, and which share of the work each tier gets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rotation {
    members: Vec<Member>,
    /// Without zones all members are one tier.
    shares: Option<[f64; TIERS]>,
    fail_open: bool,
}

impl Rotation {
    /// Of all candidates that fit.
    ///
    /// # Errors
    /// [`NoneInRotationError`] if none takes part.
    pub(super) fn of(
        candidates: &[Candidate<'_>],
        near: Option<&Zone>,
        slow_start: Duration,
        fail_open_percent: u8,
    ) -> Result<Self, NoneInRotationError> {
        let fail_open = fails_open(candidates, fail_open_percent);
        let tier = |candidate: &Candidate<'_>| near.map_or(Locality::ALL[0], |it| Locality::of(it, candidate.zone()));
        let takes_part = |candidate: &Candidate<'_>| match candidate.out() {
            None => true,
            Some(OutReason::Draining) => false,
            Some(_) => fail_open,
        };
        let taking_part = candidates.iter().enumerate().filter(|(_, candidate)| takes_part(candidate));
        let mut members: Vec<_> =
            taking_part.map(|(at, it)| Member::new(at, it.ramped_weight(slow_start), tier(it))).collect();
        if members.is_empty() {
            return Err(NoneInRotationError::of(candidates));
        }
        members.sort_by_key(|member| member.tier);
        let count = |of_tier: Locality| TierCount {
            total: candidates.iter().filter(|it| tier(it) == of_tier).count(),
            in_rotation: members.iter().filter(|member| member.tier == of_tier).count(),
        };
        let shares = near.map(|_| Locality::shares(Locality::ALL.map(count)));
        Ok(Self { members, shares, fail_open })
    }

    /// The same without those that are left out. `None` if none remains.
    pub(crate) fn without(&self, is_left_out: impl Fn(usize) -> bool) -> Option<Self> {
        let mut rest = self.clone();
        rest.members.retain(|member| !is_left_out(member.at));
        // A tier that has none left gives its share to the others.
        if let Some(shares) = &mut rest.shares {
            for (tier, share) in Locality::ALL.into_iter().zip(shares) {
                *share = if rest.members.iter().any(|member| member.tier == tier) { *share } else { 0.0 };
            }
        }
        (!rest.members.is_empty()).then_some(rest)
    }

    /// Whether an instance takes part, and with which weight.
    pub(crate) fn weight(&self, at: usize) -> Option<f64> {
        self.members.iter().find(|member| member.at == at).map(|member| member.weight)
    }

    /// The members of a tier that is drawn.
    #[inline(always)]
    pub(super) fn among<'r, I: ?Sized>(
        &'r self,
        instances: &'r I,
        draw: &mut Draw<'_>,
    ) -> (Option<Locality>, Among<'r, I>) {
        let (locality, range) = self.draw_tier(draw);
        (locality, Among { members: &self.members[range], instances })
    }

    /// An instance and the others of its tier, with its place among them. `None` if it takes no part.
    pub(super) fn tier_of<'r, I: ?Sized>(&'r self, at: usize, instances: &'r I) -> Option<(usize, Among<'r, I>)> {
        let place = self.members.iter().position(|member| member.at == at)?;
        let range = self.tier(self.members[place].tier);
        Some((place - range.start, Among { members: &self.members[range], instances }))
    }

    /// Whether those that are out take part, since too few are not.
    pub(super) fn fail_open(&self) -> bool {
        self.fail_open
    }

    /// Draws a tier by its share; without zones there is one.
    #[inline(always)]
    fn draw_tier(&self, draw: &mut Draw<'_>) -> (Option<Locality>, Range<usize>) {
        match &self.shares {
            None => (None, 0..self.members.len()),
            Some(shares) => {
                let tier = self.draw_of(shares, draw);
                (Some(tier), self.tier(tier))
            }
        }
    }

    #[inline(never)]
    fn draw_of(&self, shares: &[f64; TIERS], draw: &mut Draw<'_>) -> Locality {
        let mut left = draw.fraction("tier") * shares.iter().sum::<f64>();
        let drawn = Locality::ALL.into_iter().zip(shares).filter(|(_, share)| **share > 0.0).find(|(_, share)| {
            left -= **share;
            left < 0.0
        });
        // Sums of shares may be a rounding short: then it is the last that has one. If none of them has, the nearest is.
        let last = || Locality::ALL.into_iter().zip(shares).rev().find(|(_, share)| **share > 0.0);
        drawn.or_else(last).map_or(self.members[0].tier, |(tier, _)| tier)
    }

    fn tier(&self, tier: Locality) -> Range<usize> {
        match self.shares {
            None => 0..self.members.len(),
            Some(_) => {
                let place = |is_before: fn(&Locality, &Locality) -> bool| {
                    self.members.partition_point(|member| is_before(&member.tier, &tier))
                };
                place(Locality::lt)..place(Locality::le)
            }
        }
    }
}

/// Whether too few are in rotation, of those that are not about to leave.
fn fails_open(candidates: &[Candidate<'_>], percent: u8) -> bool {
    let staying = candidates.iter().filter(|it| it.out() != Some(OutReason::Draining)).count();
    let in_rotation = candidates.iter().filter(|it| it.out().is_none()).count();
    in_rotation * 100 < usize::from(percent) * staying
}

#[cfg(test)]
mod tests {
    use foundation_kernel::ractor::ActorId;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::choice::load::LoadReading;
    use crate::instance::InstanceRecord;
    use crate::samples::records;

    /// The place of one that is drawn, and its tier.
    fn drawn(
        rotation: &Rotation,
        candidates: &[Candidate<'_>],
        random: &mut fastrand::Rng,
    ) -> (usize, Option<Locality>) {
        let mut draw = Draw::new(random);
        let (locality, among) = rotation.among(candidates, &mut draw);
        (draw.random.choice(among.members).unwrap().at, locality)
    }

    proptest! {
        #[test]
        fn those_that_are_left_out_are_not_chosen_and_change_nothing_else(
            records in vec((records(), any::<bool>(), any::<bool>()), 1..10), near: bool, seed: u64,
        ) {
            let candidates: Vec<_> =
                records.iter().map(|(it, out, _)| Candidate::new(it, LoadReading::IDLE).ejected(*out)).collect();
            let here = "eu/a".parse().unwrap();
            let Ok(all) = Rotation::of(&candidates, near.then_some(&here), Duration::ZERO, 50) else { return Ok(()) };
            let rest = all.without(|at| records[at].2);
            prop_assert_eq!(rest.is_none(), (0..records.len()).all(|at| records[at].2 || all.weight(at).is_none()));
            let Some(rest) = rest else { return Ok(()) };
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..20 {
                let (at, locality) = drawn(&rest, &candidates, &mut random);
                prop_assert!(!records[at].2 && rest.weight(at) == all.weight(at));
                prop_assert_eq!(rest.fail_open(), all.fail_open());
                prop_assert_eq!(locality, near.then(|| Locality::of(&here, candidates[at].zone())));
                let (place, among) = rest.tier_of(at, &candidates[..]).unwrap();
                prop_assert_eq!(among.members[place].at, at);
            }
        }
    }

    #[test]
    fn a_tier_whose_members_are_all_left_out_gives_its_work_to_the_next() {
        let record = |id: &str, zone: &str| {
            let instance = crate::Instance::builder("orders", id).zone(zone).build().unwrap();
            InstanceRecord::new(instance, ActorId::Local(1))
        };
        let records = [record("a", "eu/a"), record("b", "eu/b"), record("c", "us/a")];
        let candidates: Vec<_> = records.iter().map(|it| Candidate::new(it, LoadReading::IDLE)).collect();
        let here: Zone = "eu/a".parse().unwrap();
        let all = Rotation::of(&candidates, Some(&here), Duration::ZERO, 50).unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        let mut chosen = |rotation: &Rotation| drawn(rotation, &candidates, &mut random).0;
        assert_eq!(chosen(&all), 0);
        assert_eq!(chosen(&all.without(|at| at == 0).unwrap()), 1);
        assert_eq!(chosen(&all.without(|at| at < 2).unwrap()), 2);
    }
}
