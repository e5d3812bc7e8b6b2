//! The members of one group, in the order in which they joined.

use std::sync::Arc;

use scc::{AtomicShared, Guard, Shared, Tag};

use super::key::Kind;
use super::member::Member;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A list that is replaced as a whole, so that readers need no lock; whoever writes has the lock of the group's entry.
pub(crate) struct Roster {
    kind: Kind,
    members: AtomicShared<Members>,
    /// Whose turn it is.
    turn: AtomicUsize,
    dice: AtomicU64,
}

pub(crate) type Members = Vec<Arc<Member>>;

impl Roster {
    pub(crate) fn new(kind: Kind, seed: u64, first: Arc<Member>) -> Self {
        let members = AtomicShared::new(vec![first]);
        Self { kind, members, turn: AtomicUsize::new(0), dice: AtomicU64::new(seed) }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    // ---- readers ----

    #[inline]
    pub(crate) fn members<'g>(&self, guard: &'g Guard) -> &'g [Arc<Member>] {
        self.members.load(Ordering::Acquire, guard).as_ref().map_or(&[], Vec::as_slice)
    }

    /// Where a round robin looks next.
    #[inline]
    pub(crate) fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// A random number.
    pub(crate) fn roll(&self) -> usize {
        // The remainder by the number of members is what is wanted of it: truncation takes nothing away.
        #[expect(clippy::cast_possible_truncation)]
        let number = mixed(self.dice.fetch_add(GOLDEN, Ordering::Relaxed)) as usize;
        number
    }

    // ---- writers ----

    /// Adds a member; takes out, and gives back, those of whose end nobody has told yet.
    pub(crate) fn add(&self, new: Arc<Member>) -> Members {
        let (mut left, out) = self.parted(|_| false);
        left.push(new);
        self.put(left);
        out
    }

    /// Takes these members out, and with them those of whose end nobody has told yet: who has gone, and how many are left.
    pub(crate) fn take_out(&self, leaving: &[&Arc<Member>]) -> (Members, usize) {
        let (left, out) = self.parted(|member| leaving.iter().any(|it| Arc::ptr_eq(it, member)));
        let remaining = left.len();
        if !out.is_empty() {
            self.put(left);
        }
        (out, remaining)
    }

    /// Who stays and who goes.
    fn parted(&self, leaves: impl Fn(&Arc<Member>) -> bool) -> (Members, Members) {
        let guard = Guard::new();
        self.members(&guard).iter().cloned().partition(|member| !leaves(member) && !member.is_gone())
    }

    pub(crate) fn is_deserted(&self) -> bool {
        self.members(&Guard::new()).iter().all(|member| member.is_gone())
    }

    fn put(&self, members: Members) {
        drop(self.members.swap((Some(Shared::new(members)), Tag::None), Ordering::AcqRel));
    }
}

/// All members, each once, beginning with this one and then in their order.
#[inline]
pub(crate) fn from_turn<T>(members: &[T], turn: usize) -> impl Iterator<Item = &T> {
    let (before, after) = members.split_at(turn.checked_rem(members.len()).unwrap_or(0));
    after.iter().chain(before)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Sebastiano Vigna's `SplitMix64`: any sequence of steps becomes one that looks random.
const fn mixed(step: u64) -> u64 {
    let z = (step ^ (step >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_round_shows_each_member_once_and_begins_with_whose_turn_it_is(members: Vec<u8>, turn: usize) {
            let round: Vec<_> = from_turn(&members, turn).copied().collect();
            let mut expected = members.clone();
            if !members.is_empty() {
                expected.rotate_left(turn % members.len());
            }
            prop_assert_eq!(round, expected);
        }

        #[test]
        fn random_turns_come_to_everybody_about_as_often(seed: u64, members in 1..20_usize) {
            let mut counts = vec![0_u32; members];
            for step in 0..2_000 * members as u64 {
                counts[mixed(seed.wrapping_add(step.wrapping_mul(GOLDEN))) as usize % members] += 1;
            }
            prop_assert!(counts.iter().all(|count| (1_700..2_300).contains(count)), "{:?}", counts);
        }
    }
}
