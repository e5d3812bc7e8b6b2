//! The actors that we start, and the groups that show when the last of a subtree is *gone*; within, the supervisor's
//! own.
//!
//! ractor's events and `wait()` come before an actor's state and handler are dropped, and a killed supervisor takes its
//! children's join handles with it. So each actor that we start is [`Managed`]: it carries a [`Ticket`] in its handler,
//! and a [`Group`] counts tickets.
//!
//! 1. A ticket is returned when the handler that holds it is dropped, the last thing that an actor's task does.
//! 2. A group's ticket holds a ticket of the outer group, so a group is empty only when its subtree is gone.
//! 3. Tickets live in handlers only, never in states or messages: a state may wait unread in a supervisor's mailbox.

mod delays;
mod ending;
mod replacement;
mod requests;
mod server;
mod start;
mod step;
pub(super) mod unmanaged;

use std::any::Any;
use std::sync::{Arc, Weak};

use futures::lock::Mutex;
#[cfg(feature = "cluster")]
use ractor::message::SerializedMessage;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument, Span};

use crate::containment::{Contained, drop_contained, error_text, report};
use crate::limits::SupervisorLimits;

/// Hands out tickets and counts those that are out.
#[derive(Clone)]
pub(super) struct Group {
    members: TaskTracker,
    outer: Option<Arc<Ticket>>,
    /// Those of the supervisors in it.
    limits: Arc<SupervisorLimits>,
}

/// One actor's membership.
struct Ticket {
    /// Dropped before the ticket is returned: the name of a subtree.
    held: Option<Box<dyn Any + Send + Sync>>,
    /// `None` once it has been returned.
    member: Option<TaskTrackerToken>,
    outer: Option<Arc<Ticket>>,
}

impl Ticket {
    fn give_back(&mut self) {
        if let Some(held) = self.held.take() {
            drop_contained("what a subtree held", held);
        }
        drop(self.member.take());
    }
}

/// Drops one after the other, from within: nested drops of a deep tree's groups would overflow the stack.
impl Drop for Ticket {
    fn drop(&mut self) {
        self.give_back();
        let mut outer = self.outer.take().and_then(Arc::into_inner);
        while let Some(mut ticket) = outer {
            ticket.give_back();
            outer = ticket.outer.take().and_then(Arc::into_inner);
        }
    }
}

/// A nested group that does not keep the outer one: a membership would keep the group from ever being empty.
#[derive(Clone)]
struct WeakGroup {
    members: TaskTracker,
    outer: Weak<Ticket>,
}

/// Waits for a group without belonging to it.
#[derive(Clone)]
pub(super) struct Gone {
    members: TaskTracker,
    limits: Arc<SupervisorLimits>,
}

impl Group {
    /// A group with no outer group: the top of a tree.
    fn outermost(limits: Option<&Arc<SupervisorLimits>>) -> Self {
        Self::within(None, limits.cloned().unwrap_or_default())
    }

    /// A group whose tickets also count in this one.
    pub(super) fn nested(&self) -> Self {
        Self::within(Some(Arc::new(self.ticket())), Arc::clone(&self.limits))
    }

    /// The same, holding a value until the last of its subtree is gone: dropped just before this group counts it as gone.
    pub(super) fn nested_holding(&self, held: Box<dyn Any + Send + Sync>) -> Self {
        let mut ticket = self.ticket();
        ticket.held = Some(held);
        Self::within(Some(Arc::new(ticket)), Arc::clone(&self.limits))
    }

    /// The same group, with limits of its own if there are any.
    fn limited_to(self, limits: Option<&Arc<SupervisorLimits>>) -> Self {
        match limits {
            Some(limits) => Self { limits: Arc::clone(limits), ..self },
            None => self,
        }
    }

    fn limits(&self) -> &SupervisorLimits {
        &self.limits
    }

    fn within(outer: Option<Arc<Ticket>>, limits: Arc<SupervisorLimits>) -> Self {
        let members = TaskTracker::new();
        // A closed tracker still hands out tokens; closed means only that waiting ends at zero.
        members.close();
        Self { members, outer, limits }
    }

    fn ticket(&self) -> Ticket {
        Ticket { held: None, member: Some(self.members.token()), outer: self.outer.clone() }
    }

    pub(super) fn gone(&self) -> Gone {
        Gone { members: self.members.clone(), limits: Arc::clone(&self.limits) }
    }

    /// The same nested group without a membership in the outer one.
    fn downgrade(&self) -> WeakGroup {
        let outer = self.outer.as_ref().map(Arc::downgrade).unwrap_or_default();
        WeakGroup { members: self.members.clone(), outer }
    }
}

impl WeakGroup {
    /// A ticket, as long as the group is there.
    fn ticket(&self) -> Option<Ticket> {
        let outer = self.outer.upgrade()?;
        Some(Ticket { held: None, member: Some(self.members.token()), outer: Some(outer) })
    }
}

impl Gone {
    /// Whether no ticket is out.
    pub(super) fn is_so(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns when no ticket is out, of a subtree whose members have all been asked to end.
    ///
    /// Bounded, since an actor that its own code has unlinked was not asked: it is left behind, with a warning.
    pub(super) async fn wait_within_limit(&self) {
        let limit = self.limits.subtree_end;
        if timeout(limit, self.wait()).await.is_err() {
            report(|| {
                tracing::warn!(?limit, "an actor outlives the supervisor that it was started under; was it unlinked?");
            });
        }
    }

    /// Returns when no ticket is out: at once if none ever was. A caller with a foreign waker contains it.
    pub(super) async fn wait(&self) {
        self.members.wait().await;
    }

    /// The limits of the supervisors in the group.
    pub(super) fn limits(&self) -> &SupervisorLimits {
        &self.limits
    }
}

/// An actor with what it holds until it is gone: a lease `L` (of its name, or nothing) and a ticket.
///
/// A meter `M` is called for each message, and measures its handling. Messages and arguments are those of the actor
/// itself.
///
/// 1. Nothing of the actor's leaves its own task. ractor sends the state of a killed actor, and the error of a failed
///    one, to the supervisor, whose task would run their destructors and formatting. So the state is kept here and not
///    in ractor, and only the text of an error is passed on.
/// 2. Each destructor is contained: a panic in one keeps no other from running.
/// 3. Fields drop in the order in which they are declared: the state, the actor, the lease, the ticket. So a name is
///    free only after the destructors of its holder have run, and a group is empty only after its names are free.
pub(super) struct Managed<A: Actor, L, M> {
    /// Never contended, as ractor does one thing with an actor after the other: a lock that may be held over an await,
    /// for two atomic operations a message. Boxed, or it would be copied with each of the futures in which ractor
    /// carries a handler to its task.
    being: Mutex<Box<Being<A>>>,
    meter: M,
    _lease: L,
    _ticket: Ticket,
}

/// What is foreign of an actor.
struct Being<A: Actor> {
    /// `None` before its `pre_start`, and once its `post_stop` has run.
    state: Option<Contained<A::State>>,
    actor: Contained<A>,
}

impl<A: Actor> Being<A> {
    fn both(&mut self) -> Option<(&A, &mut A::State)> {
        Some((self.actor.get()?, self.state.as_mut()?.get_mut()?))
    }
}

impl<A: Actor, L, M> Managed<A, L, M> {
    pub(super) fn new(actor: A, lease: L, meter: M, group: &Group) -> Self {
        Self::with(actor, lease, meter, group.ticket())
    }

    fn with(actor: A, lease: L, meter: M, ticket: Ticket) -> Self {
        let being = Being { state: None, actor: Contained::new("an actor", actor) };
        Self { being: Mutex::new(Box::new(being)), meter, _lease: lease, _ticket: ticket }
    }
}

/// The text of an actor's failure: it is formatted on the actor's own task, where the error is dropped too.
fn in_words(error: ActorProcessingErr) -> ActorProcessingErr {
    let text = error_text(&*error);
    drop_contained("an actor's error", error);
    text.into()
}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl<A, L, M> Actor for Managed<A, L, M>
where
    A: Actor,
    L: Send + Sync + 'static,
    M: Metering,
{
    type Msg = A::Msg;
    type State = ();
    type Arguments = A::Arguments;

    /// Its error is passed unchanged to the caller that requested the start.
    async fn pre_start(&self, myself: ActorRef<Self::Msg>, args: Self::Arguments) -> Result<(), ActorProcessingErr> {
        let Some(mut being) = self.being.try_lock() else { return Ok(()) };
        let Some(actor) = being.actor.get() else { return Ok(()) };
        let span = self.meter.span(Life::Start, myself.get_id());
        let state = actor.pre_start(myself, args).instrument(span).await?;
        being.state = Some(Contained::new("the state of an actor", state));
        Ok(())
    }

    async fn post_start(&self, myself: ActorRef<Self::Msg>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        let Some(mut being) = self.being.try_lock() else { return Ok(()) };
        let Some((actor, state)) = being.both() else { return Ok(()) };
        let span = self.meter.span(Life::Start, myself.get_id());
        actor.post_start(myself, state).instrument(span).await.map_err(in_words)
    }

    async fn post_stop(&self, myself: ActorRef<Self::Msg>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        let Some(mut being) = self.being.try_lock() else { return Ok(()) };
        if let Some((actor, state)) = being.both() {
            let span = self.meter.span(Life::Stop, myself.get_id());
            actor.post_stop(myself, state).instrument(span).await.map_err(in_words)?;
        }
        // Dropped now, not with the actor: its supervisor is notified of the end in between.
        being.state = None;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let Some(mut being) = self.being.try_lock() else { return Ok(()) };
        let Some((actor, state)) = being.both() else { return Ok(()) };
        let id = myself.get_id();
        self.meter.meter(id, actor.handle(myself, message, state)).await.map_err(in_words)
    }

    #[cfg(feature = "cluster")]
    async fn handle_serialized(
        &self,
        myself: ActorRef<Self::Msg>,
        message: SerializedMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let Some(mut being) = self.being.try_lock() else { return Ok(()) };
        let Some((actor, state)) = being.both() else { return Ok(()) };
        let id = myself.get_id();
        self.meter.meter(id, actor.handle_serialized(myself, message, state)).await.map_err(in_words)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let Some(mut being) = self.being.try_lock() else { return Ok(()) };
        let Some((actor, state)) = being.both() else { return Ok(()) };
        actor.handle_supervisor_evt(myself, event, state).await.map_err(in_words)
    }
}

/// The result of handling one message.
pub(crate) type Handled = Result<(), ActorProcessingErr>;

/// Called by a managed actor for each message; may wrap its handling.
pub(crate) trait Metering: Send + Sync + 'static {
    /// A wrapped handling.
    type Metered<'a, F: Future<Output = Handled> + Send>: Future<Output = Handled> + Send
    where
        Self: 'a;

    fn meter<F: Future<Output = Handled> + Send>(&self, actor: ActorId, handling: F) -> Self::Metered<'_, F>;

    /// The span of an actor's work before its first message and after its last one.
    fn span(&self, _: Life, _: ActorId) -> Span {
        Span::none()
    }
}

/// The phases that an actor passes once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Its `pre_start` or its `post_start`.
    Start,
    /// Its `post_stop`.
    Stop,
}

/// A meter that measures nothing, at no cost.
impl Metering for () {
    type Metered<'a, F: Future<Output = Handled> + Send> = F;

    fn meter<F: Future<Output = Handled> + Send>(&self, _: ActorId, handling: F) -> F {
        handling
    }
}

/// Starts children of a supervisor on the caller's side, past its mailbox: its cell with the means to give its children
/// tickets, for as long as it is there.
#[derive(Clone)]
pub(crate) struct DirectSpawner {
    supervisor: ActorCell,
    group: WeakGroup,
}

impl DirectSpawner {
    fn new(supervisor: ActorCell, group: WeakGroup) -> Self {
        Self { supervisor, group }
    }

    /// Spawns a temporary child that holds `lease` until it is gone, and is measured by `meter`.
    pub(crate) async fn spawn<A, L, M>(
        &self,
        actor: A,
        args: A::Arguments,
        lease: L,
        meter: M,
    ) -> Result<ActorRef<A::Msg>, SpawnErr>
    where
        A: Actor,
        L: Send + Sync + 'static,
        M: Metering,
    {
        let gone = || SpawnErr::StartupFailed("the supervisor has stopped".into());
        let managed = Managed::with(actor, lease, meter, self.group.ticket().ok_or_else(gone)?);
        let (actor, _task) = Actor::spawn_linked(None, managed, args, self.supervisor.clone()).await?;
        Ok(actor)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_group_is_gone_only_when_every_group_within_it_is() {
        let outer = Group::outermost(None);
        let inner = outer.nested();
        let leaf = inner.ticket();
        let (outer, gone) = (outer.gone(), inner.gone());
        drop(inner);
        assert!(outer.wait().now_or_never().is_none());
        assert!(gone.wait().now_or_never().is_none());
        drop(leaf);
        assert!(gone.wait().now_or_never().is_some());
        assert!(outer.wait().now_or_never().is_some());
    }
}
