//! The groups of one namespace.
//!
//! 1. A group is in the table as long as it has a member: it comes with the first and goes with the last, both under
//!    the lock of its entry.
//! 2. All members of a group are of one kind: they answer to one message type and have values of one type.
//! 3. A membership is removed by `leave`, or by the end of its actor; each removes this one and no other.
//! 4. Readers see one complete list, and only those of its members that take messages.
//! 5. A join checks afterwards whether its actor has ended and whether the namespace is closed; the handler of an end,
//!    and a close of the namespace, read the members afterwards: one of them sees the other.

use std::any::Any;
use std::hash::BuildHasher;
use std::iter::repeat_with;
use std::ops::Deref;
use std::sync::Arc;

use foldhash::fast::{FixedState, RandomState};
use ractor::{ActorCell, ActorStatus};
use scc::{AtomicShared, Guard, HashIndex, Shared, Tag, hash_index::Entry};

use super::key::Kind;
use crate::namespace::{Namespace, ServiceName};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The groups of one namespace.
pub(crate) struct Groups {
    namespace: Namespace,
    lists: HashIndex<ServiceName, Arc<MemberList>, RandomState>,
}

/// What groups need of the monitor of their members' actors.
pub(crate) trait MemberMonitor: Send + Sync + 'static {
    /// Removes the member from its group when it ends; false if the registry cannot be notified of that.
    fn keep_member(&self, membership: Membership) -> bool;

    /// Drops the exit action of a membership, and stops monitoring the actor if it has no other.
    fn forget_member(&self, member: &Arc<Member>);
}

/// Why a read of a group failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupLookupError {
    Absent,
    /// Its members are of this kind.
    OtherKind(Kind),
}

impl Groups {
    pub(crate) fn new(namespace: Namespace) -> Self {
        Self { namespace, lists: HashIndex::default() }
    }

    // ---- readers: no lock ----

    /// Shows a group with all its members, ending ones included.
    #[inline]
    pub(crate) fn read<R>(
        &self,
        group: &str,
        kind: Kind,
        read: impl FnOnce(GroupView<'_>) -> R,
    ) -> Result<R, GroupLookupError> {
        let guard = Guard::new();
        let list = self.lists.peek(group, &guard).ok_or(GroupLookupError::Absent)?;
        if list.kind() != kind {
            return Err(GroupLookupError::OtherKind(list.kind()));
        }
        list.members(&guard).map(|members| read(GroupView { list, members })).ok_or(GroupLookupError::Absent)
    }

    /// At most so many groups with a live member, in no order.
    pub(crate) fn live(&self, limit: usize) -> Vec<ServiceName> {
        let guard = Guard::new();
        let has_life = |list: &MemberList| {
            list.members(&guard).is_some_and(|members| members.iter().any(|member| member.live().is_some()))
        };
        let live = self.lists.iter(&guard).filter(|(_, list)| has_life(list)).take(limit);
        live.map(|(name, _)| name.clone()).collect()
    }

    /// All memberships, in no order of groups.
    pub(crate) fn members(&self) -> Vec<(ServiceName, Arc<Member>)> {
        let guard = Guard::new();
        let mut members = Vec::new();
        for (name, list) in self.lists.iter(&guard) {
            let all = list.members(&guard).into_iter().flat_map(|members| members.iter());
            members.extend(all.map(|member| (name.clone(), Arc::clone(member))));
        }
        members
    }

    // ---- writers: the lock of one group's entry ----

    /// Adds an actor with a value; refused, with the other kind, if the group's members are of one.
    pub(crate) fn join<V: Send + Sync + 'static>(
        self: &Arc<Self>,
        group: &ServiceName,
        kind: Kind,
        actor: ActorCell,
        value: V,
    ) -> Result<Membership, Kind> {
        let member = Arc::new(Member::new(actor, value));
        self.add(group, kind, Arc::clone(&member))?;
        Ok(Membership { groups: Arc::clone(self), group: group.clone(), member })
    }

    fn add(&self, group: &ServiceName, kind: Kind, new: Arc<Member>) -> Result<(), Kind> {
        let (namespace, actor) = (self.namespace, new.actor().get_id());
        let swept = match self.lists.entry_sync(group.clone()) {
            Entry::Vacant(entry) => {
                entry.insert_entry(Self::list(group, kind, new));
                Vec::new()
            }
            Entry::Occupied(entry) if entry.get().kind() == kind => entry.get().add(new),
            // No live member of the other kind is left, which has not been reported yet.
            Entry::Occupied(mut entry) if entry.get().is_deserted() => {
                let (swept, _) = entry.get().take_out(&[]);
                entry.update(Self::list(group, kind, new));
                swept
            }
            Entry::Occupied(entry) => return Err(entry.get().kind()),
        };
        self.log_left(group.as_str(), &swept);
        tracing::debug!(%namespace, %group, %actor, "group joined");
        Ok(())
    }

    /// Removes members from a group, and the group if it is then empty; returns how many of them were in it.
    pub(crate) fn take_out(&self, group: &str, leaving: &[&Arc<Member>]) -> usize {
        let Some(entry) = self.lists.get_sync(group) else { return 0 };
        let (out, left) = entry.get().take_out(leaving);
        match left {
            0 => entry.remove_entry(),
            _ => drop(entry),
        }
        self.log_left(group, &out);
        out.iter().filter(|member| leaving.iter().any(|it| Arc::ptr_eq(it, member))).count()
    }

    // Not under the entry's lock: a subscriber may use the group.
    fn log_left(&self, group: &str, out: &[Arc<Member>]) {
        for member in out {
            tracing::debug!(namespace = %self.namespace, %group, actor = %member.actor().get_id(), "group left");
        }
    }

    fn list(group: &ServiceName, kind: Kind, first: Arc<Member>) -> Arc<MemberList> {
        Arc::new(MemberList::new(kind, Self::seed(group), first))
    }

    /// The same for the same group in each namespace, since each run of a test has a new one: so that a simulation can
    /// be repeated.
    fn seed(group: &ServiceName) -> u64 {
        FixedState::default().hash_one(group)
    }
}

/// A membership of one group, to be ended when its actor ends.
pub(crate) struct Membership {
    groups: Arc<Groups>,
    group: ServiceName,
    member: Arc<Member>,
}

impl Membership {
    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// Takes the member out of its group; true if it was in it.
    pub(crate) fn end(&self) -> bool {
        self.groups.take_out(self.group.as_str(), &[&self.member]) == 1
    }
}

/// One membership: an actor in a group, with its value there.
pub(crate) struct Member {
    actor: ActorCell,
    /// Of the type that the group's kind says. Nothing is allocated for `()`.
    value: Box<dyn Any + Send + Sync>,
}

impl Member {
    fn new<V: Send + Sync + 'static>(actor: ActorCell, value: V) -> Self {
        Self { actor, value: Box::new(value) }
    }

    pub(crate) fn actor(&self) -> &ActorCell {
        &self.actor
    }

    /// The actor if messages can be sent to it: a draining one refuses them.
    #[inline]
    pub(crate) fn live(&self) -> Option<&ActorCell> {
        (self.actor.get_status() < ActorStatus::Draining).then_some(&self.actor)
    }

    /// Whether its actor is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.actor.get_status() == ActorStatus::Stopped
    }

    pub(crate) fn value<V: 'static>(&self) -> Option<&V> {
        self.value.downcast_ref()
    }
}

/// One group at one moment, as a reader sees it: its members in the order in which they joined, ending ones included.
pub(crate) struct GroupView<'a> {
    list: &'a MemberList,
    members: &'a Members,
}

/// How one member is chosen.
#[derive(Clone, Copy)]
pub(crate) enum Choice {
    /// The next in turn.
    Next,
    Random,
}

impl<'a> GroupView<'a> {
    /// The live members, one after the other, until one of them will do.
    #[inline]
    pub(crate) fn tries(&self, choice: Choice) -> impl Iterator<Item = &'a ActorCell> {
        let (list, members) = (self.list, self.members);
        let turn = move || match choice {
            Choice::Next => members.next_turn(),
            Choice::Random => list.next_random(),
        };
        tries(members, turn, |member| member.live())
    }
}

impl Deref for GroupView<'_> {
    type Target = [Arc<Member>];

    #[inline]
    fn deref(&self) -> &[Arc<Member>] {
        self.members
    }
}

/// A list that is replaced as a whole, so that readers need no lock; a writer has the lock of the group's entry.
struct MemberList {
    kind: Kind,
    members: AtomicShared<Members>,
    random_steps: AtomicU64,
}

/// One list of members, in the order in which they joined.
struct Members {
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
    fn next_turn(&self) -> usize {
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

impl MemberList {
    fn new(kind: Kind, seed: u64, first: Arc<Member>) -> Self {
        let members = AtomicShared::new(Members::new(vec![first], 0));
        Self { kind, members, random_steps: AtomicU64::new(seed) }
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    // ---- readers ----

    /// The current members; `None` if the group is being removed.
    #[inline]
    fn members<'g>(&self, guard: &'g Guard) -> Option<&'g Members> {
        self.members.load(Ordering::Acquire, guard).as_ref()
    }

    fn next_random(&self) -> usize {
        random(self.random_steps.fetch_add(STEP, Ordering::Relaxed))
    }

    // ---- writers ----

    /// Adds a member; removes and returns those that have ended without a notification so far.
    fn add(&self, new: Arc<Member>) -> Vec<Arc<Member>> {
        let (mut left, out) = self.split(|_| false);
        left.list.push(new);
        self.store(left);
        out
    }

    /// Removes these members, and those that have ended without a notification so far: the removed, and how many are
    /// left.
    fn take_out(&self, leaving: &[&Arc<Member>]) -> (Vec<Arc<Member>>, usize) {
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

    fn is_deserted(&self) -> bool {
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
fn tries<'a, T, L>(
    members: &'a [T],
    turn: impl FnMut() -> usize,
    live: impl Fn(&'a T) -> Option<L>,
) -> impl Iterator<Item = L> {
    let number = members.len();
    let chosen = repeat_with(turn).take(number).filter_map(move |turn| members.get(turn.checked_rem(number)?));
    // Other callers may have taken the turns of all live members, which are found here all the same.
    chosen.chain(members).filter_map(live)
}

/// Odd, so that a seed comes again only after all others.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The first random number of a seed. A generator of its own for each needs no lock.
fn random(seed: u64) -> usize {
    fastrand::Rng::with_seed(seed).usize(..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ractor::{Actor, ActorRef};

    use super::*;
    use crate::idle::{Idle, IdleMsg};

    const GROUP: ServiceName = ServiceName::from_static("group");

    async fn member() -> (Arc<Member>, ActorRef<IdleMsg>) {
        let (actor, _task) = Actor::spawn(None, Idle, ()).await.expect("it starts");
        (Arc::new(Member::new(actor.get_cell(), ())), actor)
    }

    #[tokio::test]
    async fn a_group_without_a_member_takes_no_room() {
        let (groups, kind) = (Groups::new(Namespace::test()), Kind::of::<IdleMsg, ()>());
        let [(first, _first), (second, _second)] = [member().await, member().await];
        for member in [&first, &second] {
            groups.add(&GROUP, kind, Arc::clone(member)).expect("it is of this kind");
        }
        assert_eq!(groups.take_out("group", &[&first]), 1);
        assert_eq!((groups.take_out("group", &[&first]), groups.lists.len()), (0, 1));
        assert_eq!((groups.take_out("group", &[&second]), groups.lists.len()), (1, 0));
    }

    #[tokio::test]
    async fn a_member_that_is_gone_unnoticed_gives_way_to_the_next_of_any_kind() {
        let groups = Groups::new(Namespace::test());
        let [(first, actor), (second, _second)] = [member().await, member().await];
        let (kind, other) = (Kind::of::<IdleMsg, ()>(), Kind::of::<IdleMsg, u8>());
        groups.add(&GROUP, kind, first).expect("it is the first");
        assert_eq!(groups.add(&GROUP, other, Arc::clone(&second)), Err(kind));
        actor.kill_and_wait(None).await.expect("it ends");
        groups.add(&GROUP, other, second).expect("no live member of the other kind is left");
        assert_eq!(groups.members().len(), 1);
        assert_eq!(groups.read("group", kind, |_| ()), Err(GroupLookupError::OtherKind(other)));
    }

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
                counts[random(seed.wrapping_add(step.wrapping_mul(STEP))) % members] += 1;
            }
            prop_assert!(counts.iter().all(|count| (1_700..2_300).contains(count)), "{:?}", counts);
        }
    }
}
