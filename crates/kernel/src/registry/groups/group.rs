//! One group: joining and leaving, queries, and messages to all members, to the next, or to any.

use std::any::type_name;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::join_all;
use ractor::{ActorCell, ActorRef, Message, RpcReplyPort};
use tokio::sync::oneshot;

use super::error::{GroupCastError, GroupError};
use super::key::{GroupKey, Kind};
use super::replies::Replies;
use super::table::{Choice, GroupLookupError, GroupView, Groups, Member, MemberMonitor, Membership};
use crate::ask::{TimeLimit, reply, send};
use crate::namespace::Namespace;
use crate::near::NearMisses;
use crate::registry::names::Table;

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
/// use foundation_kernel::names::{GroupKey, Namespace, ProcessRegistry};
/// use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
///
/// struct Worker;
/// enum JobMsg { Square(u64, RpcReplyPort<u64>), Rest }
/// foundation_kernel::local_message!(JobMsg);
/// const WORKERS: GroupKey<JobMsg> = GroupKey::from_static("workers");
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
    scope: Arc<GroupScope>,
    key: GroupKey<M, V>,
}

/// The groups of a namespace, with what a membership depends on: whether the namespace is open, and the monitor.
pub(crate) struct GroupScope {
    groups: Arc<Groups>,
    table: Arc<Table>,
    monitor: Weak<dyn MemberMonitor>,
}

impl GroupScope {
    pub(crate) fn new(table: Arc<Table>, monitor: Weak<dyn MemberMonitor>) -> Self {
        Self { groups: Arc::new(Groups::new(table.namespace())), table, monitor }
    }

    pub(crate) fn groups(&self) -> &Arc<Groups> {
        &self.groups
    }
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
    pub(crate) fn new(scope: Arc<GroupScope>, key: GroupKey<M, V>) -> Self {
        Self { scope, key }
    }

    /// The key of this group.
    pub fn key(&self) -> &GroupKey<M, V> {
        &self.key
    }

    /// The namespace of this group.
    pub fn namespace(&self) -> Namespace {
        self.scope.table.namespace()
    }

    // ---- joining and leaving ----

    /// Adds an actor with a value; once more if it is a member already. Cost: linear in the group.
    ///
    /// # Errors
    /// [`GroupError::WrongType`] if the group has members of another kind; [`GroupError::Dead`];
    /// [`GroupError::WrongReference`] if the reference does not have the actor's own message type;
    /// [`GroupError::NotRunning`].
    pub fn join_with(&self, actor: &ActorRef<M>, value: V) -> Result<(), GroupError> {
        // For an actor on another machine only that machine knows.
        if actor.is_message_type_of::<M>() == Some(false) {
            let (group, wanted) = (self.key.name().clone(), type_name::<M>());
            return Err(GroupError::WrongReference { group, actor: actor.get_id(), wanted });
        }
        let joined = self.scope.groups.join(self.key.name(), Kind::of::<M, V>(), actor.get_cell(), value);
        self.finish_join(joined.map_err(|found| self.wrong_type(found))?)
    }

    /// Has a new member monitored, or removes it again if it or the namespace has ended.
    fn finish_join(&self, membership: Membership) -> Result<(), GroupError> {
        let member = Arc::clone(membership.member());
        // It is in the group before it is monitored, and monitored before its status is read: whenever the actor ends,
        // either its event finds it in the group or its end is seen here. The same holds for the namespace: a clean-up
        // either finds the member or is seen here.
        let kept = self.scope.monitor.upgrade().is_some_and(|monitor| monitor.keep_member(membership));
        fence(Ordering::SeqCst);
        let ended = member.live().is_none();
        // The namespace is checked last, and is the reason for an actor that a clean-up has just stopped.
        let error = if !kept || self.scope.table.is_closed() {
            self.not_running()
        } else if ended {
            self.dead(&member)
        } else {
            return Ok(());
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
        let leaving = self.read(|members| members.iter().filter(is_chosen).cloned().collect::<Vec<_>>());
        let mut leaving = leaving.unwrap_or_default();
        leaving.retain(|member| member.value::<V>().is_some_and(&mut chosen));
        self.dismiss(&leaving.iter().collect::<Vec<_>>())
    }

    fn dismiss(&self, leaving: &[&Arc<Member>]) -> usize {
        let out = self.scope.groups.take_out(self.key.name().as_str(), leaving);
        if let Some(monitor) = self.scope.monitor.upgrade() {
            leaving.iter().for_each(|member| monitor.forget_member(member));
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
        let picked = self.read(|members| live(&members).filter_map(|(actor, value)| pick(actor, value)).collect());
        picked.unwrap_or_default()
    }

    /// How many live members there are, each counted as often as it joined. Cost: linear in the group.
    pub fn len(&self) -> usize {
        self.count_where(|_, _| true)
    }

    /// How many live members are chosen.
    pub fn count_where(&self, mut chosen: impl FnMut(&ActorCell, &V) -> bool) -> usize {
        let count = self.read(|members| live(&members).filter(|(actor, value)| chosen(actor, value)).count());
        count.unwrap_or_default()
    }

    /// Whether there is no live member.
    pub fn is_empty(&self) -> bool {
        !self.read(|members| members.iter().any(|member| member.live().is_some())).unwrap_or_default()
    }

    // ---- one of them ----

    /// Borrows the next member in turn. Members that have ended are skipped, so that none of the others comes twice in
    /// a row.
    ///
    /// # Errors
    /// [`GroupError::NoMember`] names the near misses; [`GroupError::WrongType`] names both types.
    pub fn with_next<R>(&self, read: impl FnOnce(&ActorCell) -> R) -> Result<R, GroupError> {
        self.with(Choice::Next, read)
    }

    /// Borrows a random member.
    ///
    /// # Errors
    /// As [`with_next`](Self::with_next).
    pub fn with_any<R>(&self, read: impl FnOnce(&ActorCell) -> R) -> Result<R, GroupError> {
        self.with(Choice::Random, read)
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
        let found = self.read(|members| members.tries(choice).next().map(read));
        found.and_then(|found| found.ok_or(GroupLookupError::Absent)).map_err(|miss| self.explain(miss))
    }

    #[inline]
    fn read<R>(&self, read: impl FnOnce(GroupView<'_>) -> R) -> Result<R, GroupLookupError> {
        self.scope.groups.read(self.key.name().as_str(), Kind::of::<M, V>(), read)
    }

    // ---- messages ----

    /// Sends a message to the next member in turn, past members that have just ended.
    ///
    /// # Errors
    /// [`GroupCastError`] gives the message back if no member takes it.
    pub fn cast_next(&self, message: M) -> Result<(), GroupCastError<M>> {
        self.cast(Choice::Next, message)
    }

    /// Sends a message to a random member.
    ///
    /// # Errors
    /// As [`cast_next`](Self::cast_next).
    pub fn cast_any(&self, message: M) -> Result<(), GroupCastError<M>> {
        self.cast(Choice::Random, message)
    }

    fn cast(&self, choice: Choice, message: M) -> Result<(), GroupCastError<M>> {
        let mut unsent = Some(message);
        let sent = self.read(|members| {
            for actor in members.tries(choice) {
                unsent = unsent.take().and_then(|message| send(actor, message).err());
                if unsent.is_none() {
                    break;
                }
            }
        });
        match unsent {
            Some(message) => {
                Err(GroupCastError { message, reason: self.explain(sent.err().unwrap_or(GroupLookupError::Absent)) })
            }
            None => Ok(()),
        }
    }

    /// Sends each live member, one after the other, a message made for it and its value; returns how many took it. The
    /// function is not called if there is no live member.
    ///
    /// # Errors
    /// [`GroupError::WrongType`]. A group without members is no error.
    pub fn cast_all(&self, mut message: impl FnMut(&ActorCell, &V) -> M) -> Result<usize, GroupError> {
        let mut takes = |actor: &ActorCell, value: &V| send(actor, message(actor, value)).is_ok();
        match self.read(|members| live(&members).filter(|(actor, value)| takes(actor, value)).count()) {
            Ok(taken) => Ok(taken),
            Err(GroupLookupError::Absent) => Ok(0),
            Err(miss) => Err(self.explain(miss)),
        }
    }

    /// Sends each live member a message with a reply port of its own and waits, at most `limit`, for all answers at
    /// once. A member that ends without an answer is not waited for.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled, before anything is sent.
    pub async fn call_all<R: Send + 'static>(
        &self,
        mut message: impl FnMut(RpcReplyPort<R>) -> M,
        limit: Duration,
    ) -> Replies<M, R> {
        let asked = self.members().into_iter().map(|actor| {
            // Before the first message: without a clock no message is sent.
            let time = TimeLimit::begin(limit);
            let (sender, answer) = oneshot::channel();
            let sent = send(&actor, message((sender, limit).into())).is_ok();
            async move {
                let reply = if sent { time.within(pin!(reply(&actor, answer))).await.flatten() } else { None };
                (actor, reply)
            }
        });
        // All are asked before the first is waited for.
        let asked: Vec<_> = asked.collect();
        let (mut answered, mut silent) = (Vec::new(), Vec::new());
        for (actor, reply) in join_all(asked).await {
            match reply {
                Some(reply) => answered.push((actor, reply)),
                None => silent.push(actor),
            }
        }
        Replies { answered, silent }
    }

    // ---- errors ----

    fn explain(&self, miss: GroupLookupError) -> GroupError {
        match miss {
            GroupLookupError::OtherKind(found) => self.wrong_type(found),
            GroupLookupError::Absent => {
                let (namespace, group, live) =
                    (self.namespace(), self.key.name().clone(), self.scope.groups.live(MAX_COMPARED_GROUPS));
                let others = live.iter().map(|name| name.as_str()).filter(|name| *name != group.as_str());
                GroupError::NoMember { namespace, near: NearMisses::of(group.as_str(), others), group }
            }
        }
    }

    fn wrong_type(&self, found: Kind) -> GroupError {
        let (namespace, group) = (self.namespace(), self.key.name().clone());
        GroupError::WrongType { namespace, group, wanted: Kind::of::<M, V>().to_string(), found: found.to_string() }
    }

    fn dead(&self, member: &Member) -> GroupError {
        GroupError::Dead { group: self.key.name().clone(), actor: member.actor().get_id() }
    }

    fn not_running(&self) -> GroupError {
        GroupError::NotRunning { namespace: self.namespace() }
    }
}

/// The members that take messages, with their values.
fn live<V: 'static>(members: &[Arc<Member>]) -> impl Iterator<Item = (&ActorCell, &V)> {
    members.iter().filter_map(|member| Some((member.live()?, member.value()?)))
}

impl<M, V> Clone for Group<M, V> {
    fn clone(&self) -> Self {
        Self { scope: Arc::clone(&self.scope), key: self.key.clone() }
    }
}

impl<M, V> fmt::Debug for Group<M, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({} in {})", self.key, self.scope.table.namespace())
    }
}
