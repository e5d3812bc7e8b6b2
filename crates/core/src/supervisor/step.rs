//! One step of a supervisor under way: the start or the end of a child.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake};

use futures::future::{BoxFuture, FutureExt};
use futures::poll;
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

/// What a start under this context leaves to be waited for, beside the child itself: of a supervisor, its subtree.
pub(super) fn subtree(spec: &ChildSpec, context: &StartContext) -> Option<Gone> {
    (spec.kind() == ChildKind::Supervisor).then(|| context.group.gone())
}

/// The start of one child: limited in time, panics contained; of a supervisor that did not start, all that it had
/// started is gone on return.
pub(super) async fn start(spec: ChildSpec, context: StartContext) -> Outcome {
    let subtree = subtree(&spec, &context);
    let limit = spec.start_limit();
    let mut running = pin!(AssertUnwindSafe(async move { spec.start(context).await }).catch_unwind());
    // Most starts are over at the first look, and need no timer.
    let result = match (poll!(&mut running), limit) {
        (Poll::Ready(result), _) => Ok(result),
        (Poll::Pending, Some(limit)) => timeout(limit, running).await.map_err(|_| StartError::TimedOut(limit)),
        (Poll::Pending, None) => Ok(running.await),
    };
    let result =
        result.and_then(|caught| caught.unwrap_or_else(|panic| Err(StartError::Panicked(panic_text(&*panic)))));
    match result {
        Ok(Start::Running(started)) => Outcome::Started(Started { subtree, ..started }),
        Ok(Start::Ignore) => Outcome::Ignored,
        Err(error) => {
            shutdown::subtree_gone(subtree).await;
            Outcome::Failed(error)
        }
    }
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

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}
