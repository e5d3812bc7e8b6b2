//! The steps of a supervisor under way: the starts and the ends of children.

use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foldhash::HashMap;
use futures::future::{BoxFuture, FutureExt};
use ractor::{ActorId, ActorRef};
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::Gone;
use crate::containment::{CaughtPanic, ContainedFuture, catch_panic, drop_contained};
use crate::supervisor::child_rules::{ChildKind, Stopped};
use crate::supervisor::client::ServerMsg;
use crate::supervisor::error::StartError;
use crate::supervisor::key::Key;
use crate::supervisor::spec::{ChildSpec, StartContext};
use crate::supervisor::started::{Start, Started};

/// The outcome of a step.
pub(super) enum Outcome {
    Gone { actor: ActorId, how: Option<Stopped> },
    Started(Started),
    Ignored,
    Failed(StartError),
}

/// A step under way.
struct StepUnderWay {
    /// Distinguishes its nudge from that of an earlier step.
    number: u64,
    work: StepWork,
}

/// How a step is carried out.
enum StepWork {
    /// As a task of its own, for a start: the child's own code runs in it, and it may be aborted.
    Start { task: AbortOnDropHandle<Outcome>, subtree: Option<Gone> },
    /// Polled by the supervisor, which lets it finish: an end only waits for others.
    End(BoxFuture<'static, Outcome>),
}

/// The waker of an end under way: it sends the supervisor a message, behind the exit events that came before.
struct Nudge {
    supervisor: ActorRef<ServerMsg>,
    key: Key,
    number: u64,
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        // A stopping supervisor refuses it; it awaits the step by itself.
        let _ = self.supervisor.send_message(ServerMsg::StepDone(self.key, self.number));
    }
}

/// Nudges when it is dropped: the end of a start is announced whatever its outcome.
struct NudgeAtEnd(Arc<Nudge>);

impl Drop for NudgeAtEnd {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

/// The steps under way, one of a child at most.
#[derive(Default)]
pub(super) struct Steps {
    under_way: HashMap<Key, StepUnderWay>,
    last_number: u64,
}

impl Steps {
    fn next_nudge(&mut self, myself: &ActorRef<ServerMsg>, key: Key) -> Nudge {
        self.last_number += 1;
        Nudge { supervisor: myself.clone(), key, number: self.last_number }
    }

    pub(super) fn spawn_start(&mut self, myself: &ActorRef<ServerMsg>, key: Key, start: StartUnderWay) {
        let nudge = self.next_nudge(myself, key);
        let (number, subtree) = (nudge.number, start.subtree.clone());
        let nudge = NudgeAtEnd(Arc::new(nudge));
        let task = tokio::spawn(async move {
            // Dropped after the start, even if that panics.
            let _nudge = nudge;
            start.finish().await
        });
        let work = StepWork::Start { task: AbortOnDropHandle::new(task), subtree };
        self.under_way.insert(key, StepUnderWay { number, work });
    }

    /// Begins to wait for an end, and returns its outcome if it is over at once.
    pub(super) fn begin_end(
        &mut self,
        myself: &ActorRef<ServerMsg>,
        key: Key,
        mut end: BoxFuture<'static, Outcome>,
    ) -> Option<Outcome> {
        let nudge = self.next_nudge(myself, key);
        let number = nudge.number;
        let waker = Waker::from(Arc::new(nudge));
        match end.poll_unpin(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => {
                self.under_way.insert(key, StepUnderWay { number, work: StepWork::End(end) });
                None
            }
        }
    }

    /// The same, but an outcome always comes with a message.
    pub(super) fn begin_end_in_turn(
        &mut self,
        myself: &ActorRef<ServerMsg>,
        key: Key,
        end: BoxFuture<'static, Outcome>,
    ) {
        if let Some(outcome) = self.begin_end(myself, key, end) {
            let nudge = self.next_nudge(myself, key);
            let work = StepWork::End(ready(outcome).boxed());
            self.under_way.insert(key, StepUnderWay { number: nudge.number, work });
            Arc::new(nudge).wake();
        }
    }

    /// The outcome of the step of a nudge, if it is over. A nudge of no step, or of another, is ignored.
    pub(super) fn nudged(&mut self, myself: &ActorRef<ServerMsg>, key: Key, number: u64) -> Option<Outcome> {
        let step = self.under_way.remove(&key)?;
        if step.number != number {
            self.under_way.insert(key, step);
            return None;
        }
        let end = match step.work {
            // The nudge is the last thing that the task does: it has ended, or is about to by itself.
            StepWork::Start { task, .. } => task.map(outcome_of).boxed(),
            StepWork::End(end) => end,
        };
        self.begin_end(myself, key, end)
    }

    /// Aborts a start under way, and returns its outcome if that is over at once. It may have finished meanwhile: the
    /// result is then a live child all the same.
    pub(super) fn abort_start(&mut self, myself: &ActorRef<ServerMsg>, key: Key) -> Option<Outcome> {
        let step = self.under_way.remove(&key)?;
        match step.work {
            StepWork::Start { task, subtree } => self.begin_end(myself, key, aborted(task, subtree).boxed()),
            // It has finished, and only its task's end is waited for.
            StepWork::End(_) => {
                self.under_way.insert(key, step);
                None
            }
        }
    }

    /// Ends all steps: starts are aborted, stops are allowed to finish.
    pub(super) fn end_all(&mut self) -> Vec<(Key, BoxFuture<'static, Outcome>)> {
        let steps = std::mem::take(&mut self.under_way);
        // All of them first: waiting for a slow stop would let an unwanted start go on.
        for step in steps.values() {
            if let StepWork::Start { task, .. } = &step.work {
                task.abort();
            }
        }
        let end = |step: StepUnderWay| match step.work {
            StepWork::Start { task, subtree } => aborted(task, subtree).boxed(),
            StepWork::End(end) => end,
        };
        steps.into_iter().map(|(key, step)| (key, end(step))).collect()
    }
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
                if let Some(subtree) = self.subtree {
                    subtree.wait_within_limit().await;
                }
                Outcome::Failed(error)
            }
        }
    }

    fn outcome(&mut self, start: Start) -> Outcome {
        match start {
            Start::Running(started) => Outcome::Started(started.with_subtree(self.subtree.take())),
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
async fn aborted(task: AbortOnDropHandle<Outcome>, subtree: Option<Gone>) -> Outcome {
    task.abort();
    let outcome = outcome_of(task.await);
    if let (Outcome::Failed(_), Some(subtree)) = (&outcome, subtree) {
        subtree.wait_within_limit().await;
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
