//! How near an instance is, and how much of the work each distance gets.

use std::fmt;

use serde::Serialize;

use crate::instance::Zone;

/// A tier takes all of the work as long as this share of its instances is in rotation: 1 / 1.4, as in Envoy.
const OVERPROVISIONING: f64 = 1.4;
/// How many tiers there are.
pub(super) const TIERS: usize = 3;

/// How near an instance is to its caller: the tier that it belongs to, the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Locality {
    /// In the same zone.
    SameZone,
    /// In another zone of the same region.
    SameRegion,
    /// In another region, or somewhere.
    Elsewhere,
}

impl Locality {
    /// All of them, the nearest first.
    pub const ALL: [Self; TIERS] = [Self::SameZone, Self::SameRegion, Self::Elsewhere];

    /// That of an instance in the zone `there`, for a caller in the zone `here`. An unknown zone is elsewhere.
    pub fn of(here: &Zone, there: Option<&Zone>) -> Self {
        match there {
            Some(there) if here.zone().is_some() && here == there => Self::SameZone,
            Some(there) if here.region() == there.region() => Self::SameRegion,
            _ => Self::Elsewhere,
        }
    }

    /// The share of the work that each tier gets, by how many instances it has and how many of them are in rotation.
    ///
    /// A tier takes what the nearer ones leave, up to 1.4 times the share of its own instances that are in rotation. If
    /// all together cannot take everything, each takes more than that, in proportion. All are 0 if no instance is in
    /// rotation.
    pub(super) fn shares(counts: [TierCount; TIERS]) -> [f64; TIERS] {
        let mut left = 1.0;
        let taken = counts.map(|count| {
            let takes = count.capacity().min(left);
            left -= takes;
            takes
        });
        let total: f64 = taken.iter().sum();
        if total == 0.0 { taken } else { taken.map(|takes| takes / total) }
    }
}

/// The instances of one tier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TierCount {
    pub(super) total: usize,
    pub(super) in_rotation: usize,
}

impl TierCount {
    fn capacity(self) -> f64 {
        if self.total == 0 { 0.0 } else { (OVERPROVISIONING * self.in_rotation as f64 / self.total as f64).min(1.0) }
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SameZone => "same zone",
            Self::SameRegion => "same region",
            Self::Elsewhere => "elsewhere",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(text: &str) -> Zone {
        text.parse().unwrap()
    }

    fn count(total: usize, in_rotation: usize) -> TierCount {
        TierCount { total, in_rotation }
    }

    #[test]
    fn an_instance_is_as_near_as_its_zone() {
        let here = zone("eu/a");
        assert_eq!(Locality::of(&here, Some(&zone("eu/a"))), Locality::SameZone);
        assert_eq!(Locality::of(&here, Some(&zone("eu/b"))), Locality::SameRegion);
        assert_eq!(Locality::of(&here, Some(&zone("eu"))), Locality::SameRegion);
        assert_eq!(Locality::of(&here, Some(&zone("us/a"))), Locality::Elsewhere);
        assert_eq!(Locality::of(&here, None), Locality::Elsewhere);
        assert_eq!(Locality::of(&zone("eu"), Some(&zone("eu"))), Locality::SameRegion);
    }

    #[test]
    fn the_nearest_tier_takes_all_until_it_loses_more_than_it_has_to_spare() {
        let shares = |in_zone| Locality::shares([count(10, in_zone), count(10, 10), count(10, 10)]);
        assert_eq!(shares(10), [1.0, 0.0, 0.0]);
        assert_eq!(shares(8), [1.0, 0.0, 0.0]);
        let half = shares(5);
        assert!((half[0] - 0.7).abs() < 1e-9 && (half[1] - 0.3).abs() < 1e-9 && half[2] == 0.0, "{half:?}");
        assert_eq!(shares(0), [0.0, 1.0, 0.0], "a zone that is lost");
    }

    fn counts() -> impl Strategy<Value = [TierCount; TIERS]> {
        let tier = (0..20_usize, 0..20_usize).prop_map(|(a, b)| count(a.max(b), a.min(b)));
        [tier.clone(), tier.clone(), tier]
    }

    proptest! {
        #[test]
        fn all_of_the_work_goes_to_tiers_with_an_instance_in_rotation(counts in counts()) {
            let shares = Locality::shares(counts);
            let some = counts.iter().any(|count| count.in_rotation > 0);
            prop_assert!((shares.iter().sum::<f64>() - f64::from(u8::from(some))).abs() < 1e-9);
            for (count, share) in counts.iter().zip(shares) {
                prop_assert!(share >= 0.0 && (share == 0.0 || count.in_rotation > 0));
            }
        }

        #[test]
        fn a_tier_with_one_more_instance_in_rotation_takes_no_less(counts in counts(), tier in 0..TIERS) {
            prop_assume!(counts[tier].in_rotation < counts[tier].total);
            let mut more = counts;
            more[tier].in_rotation += 1;
            prop_assert!(Locality::shares(more)[tier] >= Locality::shares(counts)[tier] - 1e-9);
        }

        #[test]
        fn no_tier_works_while_a_nearer_one_can_take_all(counts in counts()) {
            let shares = Locality::shares(counts);
            for tier in 0..TIERS {
                if counts[tier].capacity() == 1.0 {
                    prop_assert!(shares[tier + 1..].iter().all(|share| *share == 0.0));
                }
            }
        }
    }
}
