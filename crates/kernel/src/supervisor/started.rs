//! The results of starts.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use ractor::concurrency::JoinHandle;
use ractor::{ActorCell, ActorId, ActorStatus};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::chain::{GiveUpCell, RestartLimitExceeded};
use super::group::Gone;
use crate::containment::Contained;

/// The result of a start function.
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
    pub(crate) actor: ActorCell,
    pub(crate) handle: AbortOnDropHandle<()>,
    pub(crate) subtree: Option<Gone>,
    /// Why it gave up, if it is a supervisor and did.
    pub(crate) give_up_cell: GiveUpCell,
    /// Boxed twice, as few have one and all pay for it.
    pub(crate) extra: Option<Box<Extra>>,
    /// Notified when the child is asked to stop, beside the actor: a task receives nothing else.
    pub(crate) asked: Option<CancellationToken>,
}

/// A value that a start function hands back besides the child. It may be ignored.
pub(crate) type Extra = Contained<Box<dyn Any + Send + Sync>>;

impl Started {
    /// An actor that was spawned by ractor itself, linked to [`StartContext::supervisor`](crate::StartContext::supervisor).
    ///
    /// Prefer [`StartContext::spawn`](crate::StartContext::spawn), which also lets a supervisor further up wait for
    /// this actor after the one in between was killed, and which keeps the actor's state on its own task. ractor passes
    /// the state of a killed actor, and the error of a failed one, to the supervisor. Panics of their destructors are
    /// contained there, but a slow one delays the supervisor.
    pub fn new(actor: impl Into<ActorCell>, handle: JoinHandle<()>) -> Self {
        let (actor, handle, give_up_cell) = (actor.into(), AbortOnDropHandle::new(handle), GiveUpCell::default());
        Self { actor, handle, subtree: None, give_up_cell, extra: None, asked: None }
    }

    /// The same, with a value for the caller that requested the start, which gets it unchanged in a [`StartedChild`].
    /// OTP's `{ok, Child, Info}`. An automatic restart drops it.
    ///
    /// ```
    /// use foundation_kernel::{ChildKind, ChildSpec, Strategy, Supervisor, SupervisorSpec};
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

    /// The started actor.
    pub fn actor(&self) -> &ActorCell {
        &self.actor
    }

    /// Whether its task has ended, its state and handler are dropped, and of a supervisor the whole subtree is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.handle.is_finished() && self.subtree.as_ref().is_none_or(Gone::is_so)
    }
}

/// A child that was started by request, with the value that its start function handed back besides.
pub struct StartedChild {
    pub(crate) actor: ActorCell,
    pub(crate) extra: Option<Box<Extra>>,
}

impl StartedChild {
    /// The started actor.
    pub fn actor(&self) -> &ActorCell {
        &self.actor
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
pub(crate) trait Incarnation {
    fn actor_id(&self) -> ActorId;

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

    fn is_over(&self) -> bool {
        self.actor.get_status() == ActorStatus::Stopped
    }

    fn give_up_reason(&self) -> Option<Arc<RestartLimitExceeded>> {
        self.give_up_cell.get()
    }
}
