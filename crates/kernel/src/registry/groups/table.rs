//! The groups of one namespace.
//!
//! 1. A group is in the table as long as it has a member: it comes with the first and goes with the last, both under
//!    the lock of its entry.
//! 2. All members of a group are of one kind: they answer to one message type and have values of one type.
//! 3. A membership is removed by `leave`, or by the end of its actor; each removes this one and no other.
//! 4. Readers see one complete list, and only those of its members that take messages.
//! 5. A join checks afterwards whether its actor has ended and whether the namespace is closed; the handler of an end,
//!    and a close of the namespace, read the members afterwards: one of them sees the other.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::{FixedState, RandomState};
use ractor::ActorId;
use scc::{Guard, HashIndex, hash_index::Entry};

use super::key::Kind;
use super::member::Member;
use super::member_list::{MemberList, Members};
use crate::namespace::{Namespace, ServiceName};

pub(crate) struct Groups {
    namespace: Namespace,
    lists: HashIndex<ServiceName, Arc<MemberList>, RandomState>,
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
        read: impl FnOnce(&MemberList, &Members) -> R,
    ) -> Result<R, GroupLookupError> {
        let guard = Guard::new();
        let list = self.lists.peek(group, &guard).ok_or(GroupLookupError::Absent)?;
        if list.kind() != kind {
            return Err(GroupLookupError::OtherKind(list.kind()));
        }
        list.members(&guard).map(|members| read(list, members)).ok_or(GroupLookupError::Absent)
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

    /// The groups that a live actor is in.
    pub(crate) fn of(&self, actor: ActorId) -> BTreeSet<ServiceName> {
        let is_it = |member: &Member| member.live().is_some_and(|it| it.get_id() == actor);
        let members = self.members().into_iter();
        members.filter(|(_, member)| is_it(member)).map(|(name, _)| name).collect()
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

    /// Adds a member; refused, with the other kind, if the group's members are of one.
    pub(crate) fn add(&self, group: &ServiceName, kind: Kind, new: Arc<Member>) -> Result<(), Kind> {
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

#[cfg(test)]
mod tests {
    use ractor::{Actor, ActorProcessingErr, ActorRef};

    use super::*;

    struct Idle;

    struct IdleMsg;
    crate::local_message!(IdleMsg);

    #[cfg_attr(feature = "async-trait", ractor::async_trait)]
    impl Actor for Idle {
        type Msg = IdleMsg;
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, _: ActorRef<IdleMsg>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }
    }

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
        assert_eq!(groups.read("group", kind, |_, _| ()), Err(GroupLookupError::OtherKind(other)));
    }
}
