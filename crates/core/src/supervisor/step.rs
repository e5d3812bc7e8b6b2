//! One step of a supervisor under way: the start or the end of a child.

use std::panic::AssertUnwindSafe;

use futures::future::FutureExt;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::child_spec::{ChildKind, ChildSpec, StartContext};
use super::error::StartError;
use super::group::Gone;
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
pub(super) struct StepTask {
    /// By which its nudge is known from that of a step before it.
    pub(super) number: u64,
    pub(super) task: AbortOnDropHandle<Outcome>,
    pub(super) kind: StepKind,
    pub(super) subtree: Option<Gone>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StepKind {
    /// It may be aborted when it is no longer wanted.
    Start,
    /// It is let finish.
    End,
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
    let running = AssertUnwindSafe(async move { spec.start(context).await }).catch_unwind();
    let result = match limit {
        Some(limit) => timeout(limit, running).await.map_err(|_| StartError::TimedOut(limit)),
        None => Ok(running.await),
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

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}
