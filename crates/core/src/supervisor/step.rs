//! One step of a supervisor under way: the start or the end of a child.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Wake;
use std::time::Duration;

use futures::future::{BoxFuture, CatchUnwind, FutureExt, ready};
use ractor::ActorRef;
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
use crate::containment::CaughtPanic;

/// What came of a step.
pub(super) enum Outcome {
    Gone { actor: ractor::ActorId, how: Option<Stopped> },
    Started(Started),
    Ignored,
    Failed(StartError),
}

/// A step under way.
pub(super) struct StepUnderWay {
    /// By which its nudge is known from that of a step before it.
    pub(super) number: u64,
    pub(super) work: StepWork,
}

/// Who does what a step has to do.
pub(super) enum StepWork {
    /// A start has a task of its own, as the child's own code runs in it, and may be aborted.
    Start { task: AbortOnDropHandle<Outcome>, subtree: Option<Gone> },
    /// An end only waits for others. The supervisor polls it, and lets it finish.
    End(BoxFuture<'static, Outcome>),
}

/// What an end under way wakes its supervisor with: a message, behind the exit events that have come before.
pub(super) struct Nudge {
    pub(super) supervisor: ActorRef<ServerMsg>,
    pub(super) key: Key,
    pub(super) number: u64,
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        // A supervisor that is stopping refuses it; it awaits the step by itself.
        let _ = self.supervisor.send_message(ServerMsg::StepDone(self.key, self.number));
    }
}

/// A delay under way: the word of its end, which does not come when this is dropped.
pub(super) struct DelayTask {
    pub(super) number: u64,
    pub(super) _task: AbortOnDropHandle<()>,
}

/// The start of one child: limited in time, panics contained; of a supervisor that did not start, all that it had
/// started is gone when it is over.
pub(super) struct StartUnderWay {
    start: CatchUnwind<AssertUnwindSafe<BoxFuture<'static, StartResult>>>,
    limit: Option<Duration>,
    /// What is to be waited for beside the child itself: of a supervisor, its subtree.
    subtree: Option<Gone>,
}

type StartResult = Result<Start, StartError>;

impl StartUnderWay {
    pub(super) fn begin(spec: &ChildSpec, context: StartContext) -> Self {
        let subtree = (spec.kind() == ChildKind::Supervisor).then(|| context.group.gone());
        let start = catch_unwind(AssertUnwindSafe(|| spec.start(context)));
        let start = start.unwrap_or_else(|panic| ready(Err(panicked(panic))).boxed());
        Self { start: AssertUnwindSafe(start).catch_unwind(), limit: spec.start_limit(), subtree }
    }

    pub(super) fn subtree(&self) -> Option<&Gone> {
        self.subtree.as_ref()
    }

    /// One look: what came of it, if it is over. Most starts are, and need neither a task nor a timer.
    pub(super) fn look(&mut self) -> Option<Outcome> {
        match flat((&mut self.start).now_or_never()?) {
            Ok(start) => Some(self.outcome(start)),
            Err(error) if self.subtree.is_none() => Some(Outcome::Failed(error)),
            Err(error) => {
                self.start = AssertUnwindSafe(ready(Err(error)).boxed()).catch_unwind();
                None
            }
        }
    }

    /// Waits until it is over.
    pub(super) async fn finish(mut self) -> Outcome {
        if let Some(outcome) = self.look() {
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

fn flat(caught: Result<StartResult, Box<dyn Any + Send>>) -> StartResult {
    caught.unwrap_or_else(|panic| Err(panicked(panic)))
}

fn panicked(panic: Box<dyn Any + Send>) -> StartError {
    StartError::Panicked(CaughtPanic::of(panic).into_text())
}

/// What comes of a start that is no longer wanted: mostly nothing, but it may have finished before.
pub(super) async fn aborted(task: AbortOnDropHandle<Outcome>, subtree: Option<Gone>) -> Outcome {
    task.abort();
    match task.await {
        Ok(outcome) => outcome,
        Err(_) => {
            shutdown::subtree_gone(subtree).await;
            Outcome::Failed(StartError::Terminated)
        }
    }
}
