//! The state of a supervisor's actor: its children, the steps under way, and the requests that wait for answers.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use foldhash::HashMap;
use futures::future::{BoxFuture, FutureExt, ready};
use ractor::ActorRef;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::backoff::JitterRng;
use super::child_spec::ChildSpec;
use super::children::Children;
use super::error::{ChildError, NameFree};
use super::message::{Answer, Handle, ServerMsg, Which};
use super::plan::Key;
use super::replacement::Replacement;
use super::requests::ChildInfo;
use super::shutdown;
use super::spec::SupervisorSpec;
use super::started::{Started, StartedChild};
use super::step::{DelayTask, Nudge, NudgeAtEnd, Outcome, StartUnderWay, StepUnderWay, StepWork, aborted, outcome_of};
use crate::ask::answer;
use crate::containment::{ContainedFuture, drop_contained, report};
use crate::limits::SupervisorLimits;

pub(super) struct ServerState {
    pub(super) spec: SupervisorSpec,
    pub(super) children: Children<Started>,
    pub(super) steps: HashMap<Key, StepUnderWay>,
    pub(super) last_step: u64,
    pub(super) delays: HashMap<Key, DelayTask>,
    /// The successors that are being started, or whose predecessors are being stopped, by the keys of their steps.
    pub(super) replacements: HashMap<Key, Replacement>,
    pub(super) starters: HashMap<Key, Answer<Option<StartedChild>>>,
    pub(super) stoppers: HashMap<Key, Vec<Answer<()>>>,
    /// The number of exits since the last message.
    pub(super) consecutive_exits: u32,
    /// Whether a message is on its way that continues the work.
    pub(super) work_is_due: bool,
}

impl ServerState {
    /// Before the first start.
    pub(super) fn new(spec: SupervisorSpec, limits: &SupervisorLimits) -> Self {
        let children = Children::new(spec.rules, JitterRng::seeded(spec.seed())).noting_early_ends(limits.early_ends);
        let (steps, delays, replacements, starters, stoppers) = Default::default();
        let (last_step, consecutive_exits, work_is_due) = Default::default();
        Self {
            spec,
            children,
            steps,
            last_step,
            delays,
            replacements,
            starters,
            stoppers,
            consecutive_exits,
            work_is_due,
        }
    }

    /// Continues the work after the messages that wait now.
    pub(super) fn work_later(&mut self, myself: &ActorRef<ServerMsg>) {
        if !self.work_is_due {
            // A stopping supervisor takes no message.
            self.work_is_due = myself.send_message(ServerMsg::Work).is_ok();
        }
    }

    fn next_nudge(&mut self, myself: &ActorRef<ServerMsg>, key: Key) -> Nudge {
        self.last_step += 1;
        Nudge { supervisor: myself.clone(), key, number: self.last_step }
    }

    pub(super) fn spawn_start(&mut self, myself: &ActorRef<ServerMsg>, key: Key, start: StartUnderWay) {
        let nudge = self.next_nudge(myself, key);
        let (number, subtree) = (nudge.number, start.subtree().cloned());
        let nudge = NudgeAtEnd(Arc::new(nudge));
        let task = tokio::spawn(async move {
            // Dropped after the start, even if that panics.
            let _nudge = nudge;
            start.finish().await
        });
        let work = StepWork::Start { task: AbortOnDropHandle::new(task), subtree };
        self.steps.insert(key, StepUnderWay { number, work });
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
                self.steps.insert(key, StepUnderWay { number, work: StepWork::End(end) });
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
            self.steps.insert(key, StepUnderWay { number: nudge.number, work });
            Arc::new(nudge).wake();
        }
    }

    /// The outcome of the step of a nudge, if it is over. A nudge of no step, or of another, is ignored.
    pub(super) fn nudged(&mut self, myself: &ActorRef<ServerMsg>, key: Key, number: u64) -> Option<Outcome> {
        let step = self.steps.remove(&key)?;
        if step.number != number {
            self.steps.insert(key, step);
            return None;
        }
        let end = match step.work {
            // The nudge is the last thing that the task does: it has ended, or is about to by itself.
            StepWork::Start { task, .. } => task.map(outcome_of).boxed(),
            StepWork::End(end) => end,
        };
        self.begin_end(myself, key, end)
    }

    /// Starts a delay. At most one of a child counts; this one replaces any other.
    pub(super) fn spawn_delay(&mut self, myself: &ActorRef<ServerMsg>, key: Key, number: u64, until: Instant) {
        let supervisor = myself.clone();
        #[expect(clippy::disallowed_methods, reason = "a backoff is a delay, and nothing else")]
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            let _ = supervisor.send_message(ServerMsg::DelayOver(key, number));
        });
        self.delays.insert(key, DelayTask { number, _task: AbortOnDropHandle::new(task) });
    }

    /// Waits for a child's name, as for the end of a delay.
    pub(super) fn spawn_wait(&mut self, myself: &ActorRef<ServerMsg>, key: Key, number: u64, free: &NameFree) {
        let (supervisor, free) = (myself.clone(), free.clone());
        let free = ContainedFuture::new("the wait for a name", async move { free.wait().await }.boxed());
        let task = tokio::spawn(async move {
            match free.await {
                Ok(()) => drop(supervisor.send_message(ServerMsg::DelayOver(key, number))),
                Err(panic) => report(|| tracing::warn!(%panic, "the wait for a name panicked: its child stays away")),
            }
        });
        self.delays.insert(key, DelayTask { number, _task: AbortOnDropHandle::new(task) });
    }

    pub(super) fn delay_over(&mut self, key: Key, number: u64) {
        if self.delays.get(&key).is_some_and(|delay| delay.number == number) {
            self.delays.remove(&key);
        }
        self.children.delay_over(key, number);
    }

    pub(super) fn which(&self, which: Which) -> Result<Key, ChildError> {
        match which {
            Which::Id(id) => self.children.find(&id),
            Which::Actor(actor) => self.children.find_actor(actor),
        }
    }

    pub(super) fn await_start(&mut self, key: Result<Key, ChildError>, reply: Answer<Option<StartedChild>>) {
        match key {
            Ok(key) => {
                self.starters.insert(key, reply);
            }
            Err(refusal) => answer(reply, Err(refusal)),
        }
    }

    pub(super) fn answer_starter(&mut self, key: Key, result: Result<Option<StartedChild>, ChildError>) {
        match self.starters.remove(&key) {
            Some(reply) => answer(reply, result),
            None => drop_contained("the outcome of a start that was not requested", result),
        }
    }

    /// Answers the requests that wait for a child to stop: it is down, or its start was cancelled.
    pub(super) fn answer_finished(&mut self) {
        for key in self.children.take_finished() {
            if self.children.waits(key).is_none() {
                self.delays.remove(&key);
            }
            for reply in self.stoppers.remove(&key).into_iter().flatten() {
                answer(reply, Ok(()));
            }
            if let Some(reply) = self.starters.remove(&key) {
                answer(reply, Err(ChildError::Terminated));
            }
        }
    }

    pub(super) fn child(&self, id: &str) -> Result<Option<Handle>, ChildError> {
        let key = self.children.find(id)?;
        let handle = |child: &Started| Handle { actor: child.actor.clone(), subtree: child.subtree.clone() };
        Ok(self.children.running(key).map(handle))
    }

    pub(super) fn which_child(&self, which: Which) -> Result<ChildInfo, ChildError> {
        let key = self.which(which)?;
        self.children.which_child(key, Instant::now()).ok_or(ChildError::Terminated)
    }

    pub(super) fn child_spec(&self, which: Which) -> Result<ChildSpec, ChildError> {
        let key = self.which(which)?;
        self.children.spec(key).cloned().ok_or(ChildError::Terminated)
    }

    /// New rules and specifications; reporter, stop order and place in the tree stay.
    pub(super) fn reconfigure(&mut self, spec: SupervisorSpec) -> Result<(), ChildError> {
        spec.check()?;
        Ok(self.children.reconfigure(spec.rules, spec.children)?)
    }

    /// Ends every step under way: starts are aborted, or taken in if they have just finished; stops are allowed to
    /// finish.
    pub(super) async fn end_steps(&mut self) {
        // A delay holds a reference to the supervisor, and its end no longer matters.
        self.delays.clear();
        let steps = std::mem::take(&mut self.steps);
        // All of them first: waiting for a slow stop would let an unwanted start go on.
        for step in steps.values() {
            if let StepWork::Start { task, .. } = &step.work {
                task.abort();
            }
        }
        for (key, step) in steps {
            let outcome = match step.work {
                StepWork::Start { task, subtree } => aborted(task, subtree).await,
                StepWork::End(end) => end.await,
            };
            match (outcome, self.replacements.remove(&key)) {
                // A successor that is no longer wanted; its predecessor is stopped with the other children.
                (Outcome::Started(successor), Some(replacement)) => {
                    shutdown::stop(successor, replacement.spec.shutdown_rule()).await;
                }
                (Outcome::Started(started), None) => self.children.adopt(key, started),
                (other, replacement) => {
                    drop_contained("a step", other);
                    drop_contained("a replacement", replacement);
                }
            }
        }
    }
}
