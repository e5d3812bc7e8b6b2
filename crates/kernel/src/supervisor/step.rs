//! One step of a supervisor under way: the start or the end of a child.

use std::future::ready;
use std::sync::Arc;
use std::task::Wake;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use ractor::ActorRef;
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::child_spec::{ChildKind, ChildSpec, StartContext};
use super::error::StartError;
use super::group::Gone;
use super::message::ServerMsg;
use super::plan::Key;
use super::report::Stopped;
use super::shutdown;
use super::started::{Start, Started};
use crate::containment::{CaughtPanic, ContainedFuture, catch_panic, drop_contained};

/// The outcome of a step.
pub(super) enum Outcome {
    Gone { actor: ractor::ActorId, how: Option<Stopped> },
    Started(Started),
    Ignored,
    Failed(StartError),
}

/// A step under way.
pub(super) struct StepUnderWay {
    /// Distinguishes its nudge from that of an earlier step.
    pub(super) number: u64,
    pub(super) work: StepWork,
}

/// How a step is carried out.
pub(super) enum StepWork {
    /// As a task of its own, for a start: the child's own code runs in it, and it may be aborted.
    Start { task: AbortOnDropHandle<Outcome>, subtree: Option<Gone> },
    /// Polled by the supervisor, which lets it finish: an end only waits for others.
    End(BoxFuture<'static, Outcome>),
}

/// The waker of an end under way: it sends the supervisor a message, behind the exit events that came before.
pub(super) struct Nudge {
    pub(super) supervisor: ActorRef<ServerMsg>,
    pub(super) key: Key,
    pub(super) number: u64,
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        // A stopping supervisor refuses it; it awaits the step by itself.
        let _ = self.supervisor.send_message(ServerMsg::StepDone(self.key, self.number));
    }
}

/// Nudges when it is dropped: the end of a start is announced whatever its outcome.
pub(super) struct NudgeAtEnd(pub(super) Arc<Nudge>);

impl Drop for NudgeAtEnd {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

/// A delay under way; its end is not reported if this is dropped.
pub(super) struct DelayTask {
    pub(super) number: u64,
    pub(super) _task: AbortOnDropHandle<()>,
}

/// The start of one child: limited in time, with panics contained, also those of its destructors. If a supervisor did
/// not start, all that it had started is gone when this is over.
pub(super) struct StartUnderWay {
    start: ContainedFuture<StartResult>,
    limit: Option<Duration>,
    /// The wait beside the child itself: for a supervisor, its subtree.
    subtree: Option<Gone>,
}

type StartResult = Result<Start, StartError>;

impl StartUnderWay {
    pub(super) fn begin(spec: &ChildSpec, context: StartContext) -> Self {
        let subtree = (spec.kind() == ChildKind::Supervisor).then(|| context.group.gone());
        let start = catch_panic(|| spec.start(context));
        let start = contained(start.unwrap_or_else(|panic| ready(Err(panicked(panic))).boxed()));
        Self { start, limit: spec.start_limit(), subtree }
    }

    pub(super) fn subtree(&self) -> Option<&Gone> {
        self.subtree.as_ref()
    }

    /// Polls once: the outcome, if it is over. Most starts are, and need neither a task nor a timer.
    pub(super) fn poll_once(&mut self) -> Option<Outcome> {
        match flat((&mut self.start).now_or_never()?) {
            Ok(start) => Some(self.outcome(start)),
            Err(error) if self.subtree.is_none() => Some(Outcome::Failed(error)),
            Err(error) => {
                self.start = contained(ready(Err(error)).boxed());
                None
            }
        }
    }

    /// Waits until it is over.
    pub(super) async fn finish(mut self) -> Outcome {
        if let Some(outcome) = self.poll_once() {
            return outcome;
        }
        let result = match self.limit {
            Some(limit) => timeout(limit, &mut self.start).await.map_or(Err(StartError::TimedOut(limit)), flat),
            None => flat((&mut self.start).await),
        };
        match result {
            Ok(start) => self.outcome(start),
            Err(error) => {
                drop(self.start);
                shutdown::subtree_gone(self.subtree).await;
                Outcome::Failed(error)
            }
        }
    }

    fn outcome(&mut self, start: Start) -> Outcome {
        match start {
            Start::Running(started) => Outcome::Started(Started { subtree: self.subtree.take(), ..started }),
            Start::Ignore => Outcome::Ignored,
        }
    }
}

fn contained(start: BoxFuture<'static, StartResult>) -> ContainedFuture<StartResult> {
    ContainedFuture::new("a start", start)
}

fn flat(caught: Result<StartResult, CaughtPanic>) -> StartResult {
    caught.unwrap_or_else(|panic| Err(panicked(panic)))
}

fn panicked(panic: CaughtPanic) -> StartError {
    StartError::Panicked(panic.into_text())
}

/// The outcome of a start that is no longer wanted: mostly nothing, but it may have finished before.
pub(super) async fn aborted(task: AbortOnDropHandle<Outcome>, subtree: Option<Gone>) -> Outcome {
    task.abort();
    let outcome = outcome_of(task.await);
    if let Outcome::Failed(_) = outcome {
        shutdown::subtree_gone(subtree).await;
    }
    outcome
}

/// The outcome of a start that had a task of its own.
pub(super) fn outcome_of(task: Result<Outcome, JoinError>) -> Outcome {
    task.unwrap_or_else(|error| {
        drop_contained("the end of a start", error);
        Outcome::Failed(StartError::Terminated)
    })
}
