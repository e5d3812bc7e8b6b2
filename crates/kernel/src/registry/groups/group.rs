//! The public methods of one group.

use std::any::type_name;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use ractor::{ActorCell, ActorRef, Message};

use super::error::GroupError;
use super::key::{GroupKey, Kind};
use super::member::Member;
use super::member_list::{Choice, MemberList, Members, tries};
use super::membership::Membership;
use super::table::{GroupLookupError, Groups};
use crate::namespace::Namespace;
use crate::near::NearMisses;
use crate::registry::holder::answers_to;
use crate::registry::namespace_state::NamespaceState;

/// The largest number of groups compared when one has no member.
const MAX_COMPARED_GROUPS: usize = 256;

/// Many actors under one key in a namespace: joining, listing, and messages to all members, to the next, or to any.
///
/// Erlang's `pg` and Elixir's registry with duplicate keys. As there, an actor may join several times, each time with a
/// value `V` of its own (default: none), and counts as often. It leaves by [`leave`](Self::leave) or by ending, and
/// from the moment at which it takes no more messages it is never returned. When the namespace is cleaned up its
/// members are stopped, wherever they were started, as registered actors are.
///
/// Reading takes no lock and asks no actor: about the cost of a lookup, and for the next or a random member one counter
/// of the group, for which threads that dispatch to the same group contend. Joining and leaving copy the list of the
/// group's members. A group without a member does not exist and costs nothing. A value cannot be changed: leave and
/// join again.
///
/// ```
/// use foundation_kernel::{GroupKey, Namespace, ProcessRegistry};
/// use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
///
/// struct Worker;
/// enum JobMsg { Square(u64, RpcReplyPort<u64>), Rest }
/// foundation_kernel::local_message!(JobMsg);
/// const WORKERS: GroupKey<JobMsg> = GroupKey::new("workers");
///
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// impl Actor for Worker {
///     type Msg = JobMsg;
///     type State = ();
///     type Arguments = ();
///     async fn pre_start(&self, _: ActorRef<JobMsg>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
///     async fn handle(&self, _: ActorRef<JobMsg>, message: JobMsg, _: &mut ()) -> Result<(), ActorProcessingErr> {
///         if let JobMsg::Square(n, reply) = message { let _ = reply.send(n * n); }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let registry = ProcessRegistry::start().await?;
/// let mine = registry.namespace(Namespace::test()).await?;
/// let workers = mine.group(&WORKERS);
/// for _ in 0..3 {
///     let (worker, _task) = Actor::spawn(None, Worker, ()).await?;
///     workers.join(&worker)?;
/// }
///
/// workers.cast_next(JobMsg::Rest)?;
/// assert_eq!(workers.cast_all(|_, _| JobMsg::Rest)?, 3);
/// let squares = workers.call_all(|reply| JobMsg::Square(4, reply), std::time::Duration::from_secs(1)).await;
/// assert!(squares.answered.iter().all(|(_, square)| *square == 16));
///
/// mine.cleanup().await?;
/// assert!(workers.is_empty(), "they have been stopped with their namespace");
/// registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct Group<M, V = ()> {
    state: Arc<NamespaceState>,
    key: GroupKey<M, V>,
}

impl<M: Message> Group<M> {
    /// Adds an actor; once more if it is a member already. It leaves by itself when it ends.
    ///
    /// # Errors
    /// As [`join_with`](Self::join_with).
    pub fn join(&self, actor: &ActorRef<M>) -> Result<(), GroupError> {
        self.join_with(actor, ())
    }
}

impl<M: Message, V: Send + Sync + 'static> Group<M, V> {
    pub(crate) fn new(state: Arc<NamespaceState>, key: GroupKey<M, V>) -> Self {
        Self { state, key }
    }

    /// The key of this group.
    pub fn key(&self) -> &GroupKey<M, V> {
        &self.key
    }

    /// The namespace of this group.
    pub fn namespace(&self) -> Namespace {
        self.state.table.namespace()
    }

    // ---- joining and leaving ----

    /// Adds an actor with a value; once more if it is a member already. Cost: linear in the group.
    ///
    /// # Errors
    /// [`GroupError::WrongType`] if the group has members of another kind; [`GroupError::Dead`];
    /// [`GroupError::WrongReference`] if the reference does not have the actor's own message type;
    /// [`GroupError::NotRunning`].
    pub fn join_with(&self, actor: &ActorRef<M>, value: V) -> Result<(), GroupError> {
        if !answers_to::<M>(actor) {
            let (group, wanted) = (self.key.name().clone(), type_name::<M>());
            return Err(GroupError::WrongReference { group, actor: actor.get_id(), wanted });
        }
        let (group, member) = (self.key.name().clone(), Arc::new(Member::new(actor.get_cell(), value)));
        self.groups().add(&group, kind::<M, V>(), Arc::clone(&member)).map_err(|found| self.wrong_type(found))?;
        let membership = Membership { groups: Arc::clone(self.groups()), group, member };
        self.finish_join(membership)
    }

    /// Has a new member monitored, or removes it again if it or the namespace has ended.
    fn finish_join(&self, membership: Membership) -> Result<(), GroupError> {
        let registry = self.state.registry.upgrade().ok_or_else(|| self.not_running());
        let member = Arc::clone(&membership.member);
        // It is in the group before it is monitored, and monitored before its status is read: whenever the actor ends,
        // either its event finds it in the group or its end is seen here. The same holds for the namespace: a clean-up
        // either finds the member or is seen here.
        let kept = registry.and_then(|registry| match registry.keep_member(membership) {
            true => Ok(registry),
            false => Err(self.not_running()),
        });
        fence(Ordering::SeqCst);
        let ended = member.live().is_none();
        // Checked last: for an actor that a clean-up has just stopped, this is the reason.
        let error = match kept {
            Err(error) => error,
            Ok(_) if self.state.table.is_closed() => self.not_running(),
            Ok(_) if ended => self.dead(&member),
            Ok(_) => return Ok(()),
        };
        self.dismiss(&[&member]);
        Err(error)
    }

    /// Ends all memberships of an actor; returns how many there were, which may be none.
    pub fn leave(&self, actor: &ActorRef<M>) -> usize {
        self.leave_where(actor, |_| true)
    }

    /// Ends the memberships of an actor whose value is chosen; returns how many there were.
    pub fn leave_where(&self, actor: &ActorRef<M>, mut chosen: impl FnMut(&V) -> bool) -> usize {
        // Chosen among those that were read, without a lock: the function may use the group itself.
        let is_chosen = |member: &&Arc<Member>| member.actor().get_id() == actor.get_id();
        let leaving = self.read(|_, members| members.iter().filter(is_chosen).cloned().collect::<Vec<_>>());
        let mut leaving = leaving.unwrap_or_default();
        leaving.retain(|member| member.value::<V>().is_some_and(&mut chosen));
        self.dismiss(&leaving.iter().collect::<Vec<_>>())
    }

    fn dismiss(&self, leaving: &[&Arc<Member>]) -> usize {
        let out = self.groups().take_out(self.key.name().as_str(), leaving);
        if let Some(registry) = self.state.registry.upgrade() {
            leaving.iter().for_each(|member| registry.forget_member(member));
        }
        out
    }

    // ---- queries ----

    /// The live members in the order in which they joined, each as often as it did.
    pub fn members(&self) -> Vec<ActorRef<M>> {
        self.select(|actor, _| Some(actor.clone().into()))
    }

    /// The results of a function for the live members and their values, in the order in which they joined; members for
    /// which it returns `None` are left out. The function may use the group.
    pub fn select<T>(&self, mut pick: impl FnMut(&ActorCell, &V) -> Option<T>) -> Vec<T> {
        let picked = self.read(|_, members| live(members).filter_map(|(actor, value)| pick(actor, value)).collect());
        picked.unwrap_or_default()
    }

    /// How many live members there are, each counted as often as it joined. Cost: linear in the group.
    pub fn len(&self) -> usize {
        self.count_where(|_, _| true)
    }

    /// How many live members are chosen.
    pub fn count_where(&self, mut chosen: impl FnMut(&ActorCell, &V) -> bool) -> usize {
        let count = self.read(|_, members| live(members).filter(|(actor, value)| chosen(actor, value)).count());
        count.unwrap_or_default()
    }

    /// Whether there is no live member.
    pub fn is_empty(&self) -> bool {
        !self.read(|_, members| members.iter().any(|member| member.live().is_some())).unwrap_or_default()
    }

    // ---- one of them ----

    /// Borrows the next member in turn. Members that have ended are skipped, so that none of the others comes twice in
    /// a row.
    ///
    /// # Errors
    /// [`GroupError::NoMember`] names the near misses; [`GroupError::WrongType`] names both types.
    pub fn with_next<R>(&self, read: impl FnOnce(&ActorCell) -> R) -> Result<R, GroupError> {
        self.with(MemberList::round_robin, read)
    }

    /// Borrows a random member.
    ///
    /// # Errors
    /// As [`with_next`](Self::with_next).
    pub fn with_any<R>(&self, read: impl FnOnce(&ActorCell) -> R) -> Result<R, GroupError> {
        self.with(MemberList::random, read)
    }

    /// The next member in turn.
    ///
    /// # Errors
    /// As [`with_next`](Self::with_next).
    pub fn next_member(&self) -> Result<ActorRef<M>, GroupError> {
        self.with_next(|actor| actor.clone().into())
    }

    /// A random member. The group's random numbers are the same for the same key in each run and in each namespace:
    /// choose among [`members`](Self::members) to use other ones.
    ///
    /// # Errors
    /// As [`with_next`](Self::with_next).
    pub fn any_member(&self) -> Result<ActorRef<M>, GroupError> {
        self.with_any(|actor| actor.clone().into())
    }

    fn with<R>(&self, choice: Choice, read: impl FnOnce(&ActorCell) -> R) -> Result<R, GroupError> {
        let found = self
            .read(|list, members| tries(members, || choice(list, members), |member| member.live()).next().map(read));
        found.and_then(|found| found.ok_or(GroupLookupError::Absent)).map_err(|miss| self.explain(miss))
    }

    // ---- the table ----

    pub(super) fn groups(&self) -> &Arc<Groups> {
        &self.state.groups
    }

    #[inline]
    pub(super) fn read<R>(&self, read: impl FnOnce(&MemberList, &Members) -> R) -> Result<R, GroupLookupError> {
        self.groups().read(self.key.name().as_str(), kind::<M, V>(), read)
    }

    // ---- errors ----

    pub(super) fn explain(&self, miss: GroupLookupError) -> GroupError {
        match miss {
            GroupLookupError::OtherKind(found) => self.wrong_type(found),
            GroupLookupError::Absent => {
                let (namespace, group, live) =
                    (self.namespace(), self.key.name().clone(), self.groups().live(MAX_COMPARED_GROUPS));
                let others = live.iter().map(|name| name.as_str()).filter(|name| *name != group.as_str());
                GroupError::NoMember { namespace, near: NearMisses::of(group.as_str(), others), group }
            }
        }
    }

    fn wrong_type(&self, found: Kind) -> GroupError {
        let (namespace, group) = (self.namespace(), self.key.name().clone());
        GroupError::WrongType { namespace, group, wanted: kind::<M, V>().to_string(), found: found.to_string() }
    }

    fn dead(&self, member: &Member) -> GroupError {
        GroupError::Dead { group: self.key.name().clone(), actor: member.actor().get_id() }
    }

    fn not_running(&self) -> GroupError {
        GroupError::NotRunning { namespace: self.namespace() }
    }
}

fn kind<M: Message, V: 'static>() -> Kind {
    Kind::of::<M, V>()
}

/// The members that take messages, with their values.
pub(super) fn live<V: 'static>(members: &[Arc<Member>]) -> impl Iterator<Item = (&ActorCell, &V)> {
    members.iter().filter_map(|member| Some((member.live()?, member.value()?)))
}

impl<M, V> Clone for Group<M, V> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), key: self.key.clone() }
    }
}

impl<M, V> fmt::Debug for Group<M, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({} in {})", self.key, self.state.table.namespace())
    }
}
