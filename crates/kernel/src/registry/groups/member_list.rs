//! The members of one group, in the order in which they joined.

use std::iter::repeat_with;
use std::ops::Deref;
use std::sync::Arc;

use scc::{AtomicShared, Guard, Shared, Tag};

use super::key::Kind;
use super::member::Member;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A list that is replaced as a whole, so that readers need no lock; a writer has the lock of the group's entry.
pub(crate) struct MemberList {
    kind: Kind,
    members: AtomicShared<Members>,
    random_steps: AtomicU64,
}

/// One list of members, in the order in which they joined.
pub(crate) struct Members {
    list: Vec<Arc<Member>>,
    /// The next turn. It belongs to this list: an index means another member in the next one.
    turn: AtomicUsize,
}

impl Members {
    fn new(list: Vec<Arc<Member>>, turn: usize) -> Self {
        Self { list, turn: AtomicUsize::new(turn) }
    }

    /// Takes a turn of the round robin; no other caller gets the same one.
    #[inline]
    pub(crate) fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The members that stay, with the turn at the one that would have been next, and those that leave.
    fn split(&self, leaves: impl Fn(&Arc<Member>) -> bool) -> (Self, Vec<Arc<Member>>) {
        let next = self.turn.load(Ordering::Relaxed).checked_rem(self.list.len()).unwrap_or(0);
        let (mut left, mut out, mut turn) = (Vec::with_capacity(self.list.len() + 1), Vec::new(), 0);
        for (at, member) in self.list.iter().enumerate() {
            if leaves(member) {
                out.push(Arc::clone(member));
            } else {
                turn += usize::from(at < next);
                left.push(Arc::clone(member));
            }
        }
        (Self::new(left, turn), out)
    }
}

impl Deref for Members {
    type Target = [Arc<Member>];

    #[inline]
    fn deref(&self) -> &[Arc<Member>] {
        &self.list
    }
}

/// How one member is chosen: given the group, the number of the member that is tried.
pub(crate) type Choice = fn(&MemberList, &Members) -> usize;

impl MemberList {
    pub(crate) fn new(kind: Kind, seed: u64, first: Arc<Member>) -> Self {
        let members = AtomicShared::new(Members::new(vec![first], 0));
        Self { kind, members, random_steps: AtomicU64::new(seed) }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    // ---- readers ----

    /// The current members; `None` if the group is being removed.
    #[inline]
    pub(crate) fn members<'g>(&self, guard: &'g Guard) -> Option<&'g Members> {
        self.members.load(Ordering::Acquire, guard).as_ref()
    }

    /// The round robin.
    #[inline]
    pub(crate) fn round_robin(&self, members: &Members) -> usize {
        members.next_turn()
    }

    /// A random number.
    pub(crate) fn random(&self, _: &Members) -> usize {
        // Only its remainder by the number of members is used, so truncation does no harm.
        #[expect(clippy::cast_possible_truncation)]
        let number = mixed(self.random_steps.fetch_add(GOLDEN, Ordering::Relaxed)) as usize;
        number
    }

    // ---- writers ----

    /// Adds a member; removes and returns those that have ended without a notification so far.
    pub(crate) fn add(&self, new: Arc<Member>) -> Vec<Arc<Member>> {
        let (mut left, out) = self.split(|_| false);
        left.list.push(new);
        self.store(left);
        out
    }

    /// Removes these members, and those that have ended without a notification so far: the removed, and how many are
    /// left.
    pub(crate) fn take_out(&self, leaving: &[&Arc<Member>]) -> (Vec<Arc<Member>>, usize) {
        let (left, out) = self.split(|member| leaving.iter().any(|it| Arc::ptr_eq(it, member)));
        let remaining = left.len();
        if !out.is_empty() {
            self.store(left);
        }
        (out, remaining)
    }

    fn split(&self, leaves: impl Fn(&Arc<Member>) -> bool) -> (Members, Vec<Arc<Member>>) {
        match self.members(&Guard::new()) {
            Some(members) => members.split(|member| leaves(member) || member.is_gone()),
            None => (Members::new(Vec::new(), 0), Vec::new()),
        }
    }

    pub(crate) fn is_deserted(&self) -> bool {
        self.members(&Guard::new()).is_none_or(|members| members.iter().all(|member| member.is_gone()))
    }

    fn store(&self, members: Members) {
        drop(self.members.swap((Some(Shared::new(members)), Tag::None), Ordering::AcqRel));
    }
}

/// The live members, one after the other, until one of them will do.
///
/// Each try takes a turn of its own: the turn of a skipped member is lost and does not go to the next one, which would
/// have two in a row.
#[inline]
pub(crate) fn tries<'a, T, L>(
    members: &'a [T],
    turn: impl FnMut() -> usize,
    live: impl Fn(&'a T) -> Option<L>,
) -> impl Iterator<Item = L> {
    let number = members.len();
    let chosen = repeat_with(turn).take(number).filter_map(move |turn| members.get(turn.checked_rem(number)?));
    // Other callers may have taken the turns of all live members, which are found here all the same.
    chosen.chain(members).filter_map(live)
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
        fn no_member_has_a_turn_more_than_another_while_some_are_ending(
            live in prop::collection::vec(any::<bool>(), 1..12),
            first in 0..100_usize,
        ) {
            let (count, mut turn) = (live.iter().filter(|live| **live).count(), first);
            let mut next = || {
                let mut take = || { turn += 1; turn - 1 };
                tries(&live, &mut take, |it| it.then_some(std::ptr::from_ref(it))).next()
            };
            let chosen: Vec<_> = (0..3 * count).map(|_| next()).collect();
            for round in chosen.chunks(count.max(1)) {
                let different: std::collections::BTreeSet<_> = round.iter().collect();
                prop_assert_eq!(different.len(), count, "{:?}", chosen);
            }
        }

        #[test]
        fn a_live_member_is_found_even_if_others_take_the_turns(
            live in prop::collection::vec(any::<bool>(), 0..12),
            turns in prop::collection::vec(any::<usize>(), 12),
        ) {
            let mut turns = turns.into_iter().cycle();
            let found: Vec<_> = tries(&live, || turns.next().unwrap_or(0), |it| it.then_some(())).collect();
            prop_assert_eq!(found.is_empty(), !live.contains(&true));
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
