//! A started child, until it is gone.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ractor::concurrency::JoinHandle;
use ractor::{ActorCell, ActorId, ActorStatus};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::actor::Gone;
use super::child_rules::{Shutdown, Stopped};
use super::restart::{GiveUpCell, RestartLimitExceeded};
use crate::containment::{Contained, catch_panic, drop_contained, report};
use crate::exit::SHUTDOWN;

/// The result of a start function.
#[derive(Debug)]
#[non_exhaustive]
pub enum Start {
    /// The child runs.
    Running(Started),
    /// The child is not wanted now. A static supervisor keeps its spec unless it is temporary; a dynamic one drops it.
    Ignore,
}

impl From<Started> for Start {
    fn from(started: Started) -> Self {
        Self::Running(started)
    }
}

/// An actor that has just been started, with what its supervisor needs to confirm that it is gone.
///
/// Dropped, it stops the actor: a start function that fails after it has spawned leaves no actor behind.
pub struct Started {
    actor: ActorCell,
    handle: AbortOnDropHandle<()>,
    subtree: Option<Gone>,
    /// Why it gave up, if it did; only one of our supervisors has one.
    give_up_cell: Option<GiveUpCell>,
    /// Boxed twice, as few have one and all pay for it.
    extra: Option<Box<Extra>>,
    /// Notified when the child is asked to stop, beside the actor: a task receives nothing else.
    asked: Option<CancellationToken>,
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").field("actor", &self.actor.get_id()).finish_non_exhaustive()
    }
}

/// A value that a start function hands back besides the child. It may be ignored.
type Extra = Contained<Box<dyn Any + Send + Sync>>;

impl Started {
    /// An actor that was spawned by ractor itself, linked to [`StartContext::supervisor`](crate::supervision::StartContext::supervisor).
    ///
    /// Prefer [`StartContext::spawn`](crate::supervision::StartContext::spawn), which also lets a supervisor further up wait for
    /// this actor after the one in between was killed, and which keeps the actor's state on its own task. ractor passes
    /// the state of a killed actor, and the error of a failed one, to the supervisor. Panics of their destructors are
    /// contained there, but a slow one delays the supervisor.
    pub fn new(actor: impl Into<ActorCell>, handle: JoinHandle<()>) -> Self {
        let (actor, handle) = (actor.into(), AbortOnDropHandle::new(handle));
        Self { actor, handle, subtree: None, give_up_cell: None, extra: None, asked: None }
    }

    /// The same, with a value for the caller that requested the start, which gets it unchanged in a [`StartedChild`].
    /// OTP's `{ok, Child, Info}`. An automatic restart drops it.
    ///
    /// ```
    /// use foundation_kernel::supervision::{ChildKind, ChildSpec, Strategy, Supervisor, SupervisorSpec};
    /// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
    /// # struct Clerk;
    /// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
    /// # impl Actor for Clerk {
    /// #     type Msg = u64; type State = (); type Arguments = ();
    /// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let office = Supervisor::start("office", SupervisorSpec::new(Strategy::OneForOne)).await?;
    /// let clerk = ChildSpec::from_fn("clerk", ChildKind::Worker, |context| async move {
    ///     Ok(context.spawn(Clerk, ()).await?.with_extra("desk 7"))
    /// });
    /// let started = office.start_child_with_extra(clerk).await?.ok_or("it is wanted")?;
    /// assert_eq!(started.extra(), Some(&"desk 7"));
    /// # office.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_extra(self, extra: impl Any + Send + Sync) -> Self {
        let extra = Contained::new("what a start function handed back", Box::new(extra) as Box<dyn Any + Send + Sync>);
        Self { extra: Some(Box::new(extra)), ..self }
    }

    /// The same, with a signal for when it is asked to stop.
    pub(crate) fn asked_by(self, asked: CancellationToken) -> Self {
        Self { asked: Some(asked), ..self }
    }

    /// The same for one of our supervisors, which leaves the reason in this cell when it gives up.
    pub(super) fn giving_up_in(self, cell: GiveUpCell) -> Self {
        Self { give_up_cell: Some(cell), ..self }
    }

    /// The same for a child with a subtree, which is part of it.
    pub(super) fn with_subtree(self, subtree: Option<Gone>) -> Self {
        Self { subtree, ..self }
    }

    /// The started actor.
    pub fn actor(&self) -> &ActorCell {
        &self.actor
    }

    /// The subtree of a supervisor.
    pub(super) fn subtree(&self) -> Option<&Gone> {
        self.subtree.as_ref()
    }

    /// The answer to a request for the start.
    pub(super) fn answer(&mut self) -> StartedChild {
        StartedChild { actor: self.actor.clone(), extra: self.extra.take() }
    }

    /// Whether its task has ended, its state and handler are dropped, and of a supervisor the whole subtree is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.handle.is_finished() && self.subtree.as_ref().is_none_or(Gone::is_so)
    }

    /// Stops it by its rule and returns when it is gone: its task has ended, its state and handler are dropped, and the
    /// whole subtree of a supervisor is gone.
    pub(super) async fn stop(mut self, rule: Shutdown) -> Stopped {
        let begun = Instant::now();
        self.ask(rule);
        let how = self.end(rule, begun).await;
        self.gone().await;
        how
    }

    /// The same for children that do not depend on each other: all are asked first, and each has its own time from then
    /// on. The answers are in the order of the children.
    pub(super) async fn stop_together(mut children: Vec<(Self, Shutdown)>) -> Vec<Stopped> {
        let begun = Instant::now();
        children.iter().for_each(|(child, rule)| child.ask(*rule));
        // The earliest deadline is awaited first, so that a slow child takes no other's time. Among equals the last is
        // first: they mostly end in the order in which they were asked, and then one wake finds all of them gone.
        let mut waits: Vec<_> = children.iter_mut().enumerate().rev().collect();
        waits.sort_by_key(|(_, (_, rule))| limit(*rule));
        let mut how = vec![Stopped::InTime; waits.len()];
        for (at, (child, rule)) in waits {
            how[at] = child.end(*rule, begun).await;
        }
        for (child, _) in children {
            child.gone().await;
        }
        how
    }

    /// Asks it to stop, or kills it, by its rule.
    fn ask(&self, rule: Shutdown) {
        if rule == Shutdown::BrutalKill {
            return self.actor.kill();
        }
        if let Some(asked) = &self.asked {
            // Wakes the task from any wait.
            if let Err(panic) = catch_panic(|| asked.cancel()) {
                report(|| tracing::warn!(%panic, "a task panicked when it was woken"));
            }
        }
        match rule {
            // An actor that has ended has nothing to drain.
            Shutdown::Drain(_) => drop(self.actor.drain()),
            _ => self.actor.stop(Some(SHUTDOWN.to_owned())),
        }
    }

    /// Waits until it has ended after it was asked to stop, or kills it when its time is over.
    async fn end(&mut self, rule: Shutdown, begun: Instant) -> Stopped {
        match rule {
            Shutdown::BrutalKill => return Stopped::Brutally,
            Shutdown::Infinity => return Stopped::InTime,
            Shutdown::Timeout(_) | Shutdown::Drain(_) if self.handle.is_finished() => return Stopped::InTime,
            Shutdown::Timeout(_) | Shutdown::Drain(_) => {}
        }
        // The handle is awaited by reference: after a time-out it is awaited again.
        match timeout(limit(rule).saturating_sub(begun.elapsed()), &mut self.handle).await {
            Ok(end) => {
                drop_contained("the end of an actor", end);
                Stopped::InTime
            }
            Err(_) => {
                self.actor.kill();
                Stopped::Killed
            }
        }
    }

    /// Returns when it is gone; it ends by itself.
    pub(super) async fn gone(mut self) {
        // A handle that has given its result must not be awaited again.
        if !self.handle.is_finished()
            && let Err(error) = (&mut self.handle).await
        {
            // A task that was aborted, or panicked, is as gone as any other.
            drop_contained("the end of an actor", error);
        }
        if let Some(subtree) = self.subtree.take() {
            subtree.wait_within_limit().await;
        }
        // Messages that arrived as it ended are dropped with the last reference to it.
        drop_contained("a child that is gone", self);
    }
}

/// The time of a child that is asked to stop by this rule; it need not have ended when the others are awaited.
fn limit(rule: Shutdown) -> Duration {
    match rule {
        Shutdown::BrutalKill => Duration::ZERO,
        Shutdown::Timeout(limit) | Shutdown::Drain(limit) => limit,
        Shutdown::Infinity => Duration::MAX,
    }
}

/// A child that was started by request, with the value that its start function handed back besides.
pub struct StartedChild {
    actor: ActorCell,
    extra: Option<Box<Extra>>,
}

impl StartedChild {
    /// The started actor.
    pub fn actor(&self) -> &ActorCell {
        &self.actor
    }

    /// The started actor alone.
    pub(super) fn into_actor(self) -> ActorCell {
        self.actor
    }

    /// The value handed back, if it is of this type.
    pub fn extra<T: Any>(&self) -> Option<&T> {
        self.extra.as_ref()?.get()?.downcast_ref()
    }

    /// Both; the second is `None` if no value of this type was handed back.
    pub fn into_parts<T: Any>(self) -> (ActorCell, Option<T>) {
        let extra = self.extra.and_then(|extra| extra.into_inner()?.downcast().ok());
        (self.actor, extra.map(|extra| *extra))
    }
}

impl fmt::Debug for StartedChild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartedChild").field("actor", &self.actor.get_id()).finish_non_exhaustive()
    }
}

/// A life of a child, distinguished from its other lives.
pub(super) trait Incarnation {
    fn actor_id(&self) -> ActorId;

    /// The actor itself; there is none in a specification of the rules.
    fn cell(&self) -> Option<&ActorCell> {
        None
    }

    /// Whether it is one of our supervisors.
    fn is_supervisor(&self) -> bool {
        false
    }

    /// Whether it has certainly ended, so that its end has been reported.
    fn is_over(&self) -> bool {
        false
    }

    /// Why it gave up, if it is a supervisor and did.
    fn give_up_reason(&self) -> Option<Arc<RestartLimitExceeded>> {
        None
    }
}

impl Incarnation for Started {
    fn actor_id(&self) -> ActorId {
        self.actor.get_id()
    }

    fn cell(&self) -> Option<&ActorCell> {
        Some(&self.actor)
    }

    fn is_supervisor(&self) -> bool {
        self.give_up_cell.is_some()
    }

    fn is_over(&self) -> bool {
        self.actor.get_status() == ActorStatus::Stopped
    }

    fn give_up_reason(&self) -> Option<Arc<RestartLimitExceeded>> {
        self.give_up_cell.as_ref()?.get().cloned()
    }
}
