//! Runs a task's future until it ends, is asked to stop, or has lost its owner.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::FutureExt;
use ractor::{ActorCell, ActorId, ActorRef};
use tokio_util::sync::CancellationToken;

use super::error::TaskError;
use super::stop::TaskStop;
use crate::containment::{CaughtPanic, catch_panic, discard_pinned};
use crate::supervisor::message::{ServerMsg, Which};

/// The context of a task.
#[derive(Clone)]
pub(super) struct TaskRunner {
    /// Cancelled by the supervisor when it asks the task to stop.
    pub(super) asked: CancellationToken,
    pub(super) supervisor: ActorCell,
}

/// Whether a task is still wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Wanted,
    /// Its owner is gone, and the supervisor knows.
    Orphaned,
    /// It has been asked to stop.
    Asked,
}

fn panicked(panic: CaughtPanic) -> TaskError {
    TaskError::Panicked(panic.into_text())
}

impl TaskRunner {
    /// Calls `work` and polls its future to the end.
    ///
    /// It ends early when it is asked to stop and its [`TaskStop`] is not held. When `owner_gone` returns, the
    /// supervisor is asked to stop this task, which it does by the task's rule.
    pub(super) async fn run<W, F>(
        &self,
        task: ActorId,
        work: W,
        owner_gone: impl Future<Output = ()>,
    ) -> Result<F::Output, TaskError>
    where
        W: FnOnce(TaskStop) -> F,
        F: Future,
    {
        let held = Arc::new(());
        let is_held = || Arc::strong_count(&held) > 1;
        let stop = TaskStop::new(self.asked.clone(), Some(Arc::clone(&held)));
        // Before the first check whether the task is still wanted: only the future shows whether it holds its
        // `TaskStop`. One that does ends in order, even if it is asked before it has begun; any other does not begin
        // then.
        let body = catch_panic(|| work(stop)).map_err(panicked)?;
        let mut body = pin!(Some(AssertUnwindSafe(body).catch_unwind()));
        let mut owner_gone = pin!(owner_gone);
        let mut standing = Standing::Wanted;
        let outcome = loop {
            tokio::select! {
                biased;
                () = self.asked.cancelled(), if standing != Standing::Asked => {
                    if !is_held() {
                        break Err(TaskError::Shutdown);
                    }
                    standing = Standing::Asked;
                }
                () = &mut owner_gone, if standing == Standing::Wanted => {
                    standing = Standing::Orphaned;
                    self.ask_to_be_stopped(task);
                    if !is_held() {
                        self.asked.cancelled().await;
                        break Err(TaskError::Shutdown);
                    }
                }
                outcome = poll_fn(|context| poll_body(body.as_mut(), context)) => {
                    break outcome.map_err(CaughtPanic::of).map_err(panicked);
                }
            }
        };
        // Before the outcome is published, and whatever its destructors do.
        discard_pinned("a task", body);
        outcome
    }

    fn ask_to_be_stopped(&self, task: ActorId) {
        let (reply, _receiver) = tokio::sync::oneshot::channel();
        let supervisor = ActorRef::<ServerMsg>::from(self.supervisor.clone());
        // A stopping supervisor takes no message, and stops its tasks anyway.
        let _ = supervisor.send_message(ServerMsg::TerminateChild(Which::Actor(task), reply.into()));
    }
}

fn poll_body<F: Future>(body: Pin<&mut Option<F>>, context: &mut Context<'_>) -> Poll<F::Output> {
    body.as_pin_mut().map_or(Poll::Pending, |body| body.poll(context))
}
