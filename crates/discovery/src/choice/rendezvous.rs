//! Rendezvous hashing: the same instance for the same key, as long as it is there.
//!
//! Each instance has a score for each key, a hash of both, and the highest one is chosen. So an instance that comes takes its
//! share of the keys from all others, and one that goes leaves its keys to all others; no other key moves.

use crate::hash::stable_hash;

/// A hash as a number above 0 and below 1.
pub(super) fn fraction(hash: u64) -> f64 {
    ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// What the hash looks at of an instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) weight: f64,
    pub(super) in_flight: u32,
}

impl Node<'_> {
    /// The score for a key: the highest of several is each one's with a probability of its weight.
    fn score(&self, key: &[u8]) -> f64 {
        -self.weight / fraction(stable_hash(key, self.name)).ln()
    }
}

/// The place of the instance with the highest score for the key, among those that are below their bound: so many percent of
/// the calls that they would have if all were spread by weight. Without a bound all are. Also how many come before it for
/// this key and have no room.
pub(super) fn choose<'a>(
    key: &[u8],
    among: impl Iterator<Item = Node<'a>> + Clone,
    bound_percent: Option<u16>,
) -> Option<(usize, usize)> {
    let bound = bound_percent.map(|percent| Bound::of(among.clone(), percent));
    let has_room = |node: &Node<'_>| bound.is_none_or(|bound| bound.has_room(node));
    let scored = among.map(|node| (node, node.score(key))).enumerate();
    let order = |one: &(usize, (Node<'_>, f64)), other: &(usize, (Node<'_>, f64))| {
        one.1.1.total_cmp(&other.1.1).then(one.1.0.name.cmp(other.1.0.name))
    };
    let highest = scored.clone().filter(|(_, (node, _))| has_room(node)).max_by(order)?;
    let skipped = match bound {
        Some(_) => scored.filter(|it| order(it, &highest).is_gt()).count(),
        None => 0,
    };
    Some((highest.0, skipped))
}

/// How many calls in flight an instance may have: a share of all of them.
#[derive(Debug, Clone, Copy)]
struct Bound {
    calls_by_weight: f64,
}

impl Bound {
    fn of<'a>(among: impl Iterator<Item = Node<'a>> + Clone, percent: u16) -> Self {
        let calls = among.clone().map(|node| f64::from(node.in_flight)).sum::<f64>() + 1.0;
        let weights: f64 = among.map(|node| node.weight).sum();
        Self { calls_by_weight: calls / weights * f64::from(percent.max(100)) / 100.0 }
    }

    fn has_room(self, node: &Node<'_>) -> bool {
        // Rounded up, the bounds add up to more than the calls: one has room.
        f64::from(node.in_flight) < (self.calls_by_weight * node.weight).ceil()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 10] = ["i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8", "i9"];

    fn nodes(weights: &[u16], in_flight: &[u32]) -> Vec<Node<'static>> {
        let in_flight = in_flight.iter().copied().chain(std::iter::repeat(0));
        let node = |((name, weight), in_flight): ((_, &u16), _)| Node { name, weight: f64::from(*weight), in_flight };
        NAMES.into_iter().zip(weights).zip(in_flight).map(node).collect()
    }

    fn chosen(key: u64, among: &[Node<'static>], bound: Option<u16>) -> &'static str {
        among[choose(&key.to_le_bytes(), among.iter().copied(), bound).unwrap().0].name
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let among = nodes(&[100, 100, 200, 400], &[]);
        let mut counts = BTreeMap::new();
        (0..20_000).for_each(|key| *counts.entry(chosen(key, &among, None)).or_insert(0_i64) += 1);
        for (id, expected) in [("i0", 2_500), ("i1", 2_500), ("i2", 5_000), ("i3", 10_000)] {
            assert!((counts[id] - expected).abs() < 250, "{id} has {} keys and should have {expected}", counts[id]);
        }
    }

    proptest! {
        #[test]
        fn only_the_keys_of_an_instance_that_goes_move(weights in vec(1..1_000_u16, 2..10), gone in 0..10_usize) {
            let (all, gone) = (nodes(&weights, &[]), gone % weights.len());
            let mut left = all.clone();
            left.remove(gone);
            for key in 0..64 {
                let before = chosen(key, &all, None);
                let is_left = before != NAMES[gone];
                prop_assert!(!is_left || chosen(key, &left, None) == before);
            }
        }

        #[test]
        fn one_that_gets_more_weight_only_gains_keys(weights in vec(1..500_u16, 2..10), heavier in 0..10_usize) {
            let heavier = heavier % weights.len();
            let mut more = weights.clone();
            more[heavier] *= 2;
            let (before, after) = (nodes(&weights, &[]), nodes(&more, &[]));
            for key in 0..64 {
                let now = chosen(key, &after, None);
                prop_assert!(now == NAMES[heavier] || now == chosen(key, &before, None));
            }
        }

        #[test]
        fn no_instance_gets_more_than_its_bound_and_one_always_has_room(
            weights in vec(1..1_000_u16, 1..10), in_flight in vec(0..50_u32, 10), bound in 0..300_u16, key: u64,
        ) {
            let among = nodes(&weights, &in_flight);
            let chosen = choose(&key.to_le_bytes(), among.iter().copied(), Some(bound));
            prop_assert!(chosen.is_some());
            let (at, skipped) = chosen.unwrap();
            let unbound = choose(&key.to_le_bytes(), among.iter().copied(), None).unwrap().0;
            prop_assert_eq!(skipped == 0, at == unbound);
            let chosen = among[at];
            let calls: u32 = in_flight[..weights.len()].iter().sum::<u32>() + 1;
            let share = chosen.weight / weights.iter().copied().map(f64::from).sum::<f64>();
            let bound = f64::from(calls) * share * f64::from(bound.max(100)) / 100.0;
            prop_assert!(f64::from(chosen.in_flight) < bound.ceil() + 1e-9);
        }
    }
}
