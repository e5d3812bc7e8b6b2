//! What a supervisor's actor keeps: its children, the steps under way, and who waits for which answer.

use foldhash::HashMap;
use futures::future::BoxFuture;
use ractor::ActorRef;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::child_spec::ChildSpec;
use super::children::Children;
use super::error::ChildError;
use super::group::Gone;
use super::message::{Answer, Handle, ServerMsg, Which, answer};
use super::plan::Key;
use super::roster::ChildInfo;
use super::shutdown;
use super::spec::SupervisorSpec;
use super::started::{Started, StartedChild};
use super::step::{DelayTask, Outcome, StepKind, StepTask};

pub(super) struct ServerState {
    pub(super) spec: SupervisorSpec,
    pub(super) children: Children<Started>,
    pub(super) steps: HashMap<Key, StepTask>,
    pub(super) last_step: u64,
    pub(super) delays: HashMap<Key, DelayTask>,
    pub(super) starters: HashMap<Key, Answer<Option<StartedChild>>>,
    pub(super) stoppers: HashMap<Key, Vec<Answer<()>>>,
}

impl ServerState {
    pub(super) fn spawn_step(
        &mut self,
        myself: &ActorRef<ServerMsg>,
        key: Key,
        step: BoxFuture<'static, Outcome>,
        kind: StepKind,
        subtree: Option<Gone>,
    ) {
        let supervisor = myself.clone();
        self.last_step += 1;
        let number = self.last_step;
        let task = tokio::spawn(async move {
            let outcome = step.await;
            // A supervisor that is stopping refuses the nudge; it takes the outcome from the task.
            let _ = supervisor.send_message(ServerMsg::StepDone(key, number));
            outcome
        });
        self.steps.insert(key, StepTask { number, task: AbortOnDropHandle::new(task), kind, subtree });
    }

    /// Lets a delay pass. At most one of a child counts; this one takes the place of any other.
    pub(super) fn spawn_delay(&mut self, myself: &ActorRef<ServerMsg>, key: Key, number: u64, until: Instant) {
        let supervisor = myself.clone();
        #[expect(clippy::disallowed_methods, reason = "a backoff is a delay, and nothing else")]
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            let _ = supervisor.send_message(ServerMsg::DelayOver(key, number));
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
        if let Some(reply) = self.starters.remove(&key) {
            answer(reply, result);
        }
    }

    /// Answers whoever waits for a child to come to rest: that it is down, or that its start will not be.
    pub(super) fn answer_settled(&mut self) {
        for key in self.children.take_settled() {
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

    /// Ends every step under way: starts are aborted, or taken in if they have just finished; stops are let finish.
    pub(super) async fn end_steps(&mut self) {
        // A delay holds a reference to the supervisor, and nobody is interested in its end any more.
        self.delays.clear();
        let steps = std::mem::take(&mut self.steps);
        // All of them first: waiting for a slow stop would let a start go on that is no longer wanted.
        steps.values().filter(|step| step.kind == StepKind::Start).for_each(|step| step.task.abort());
        for (key, step) in steps {
            match step.task.await {
                Ok(Outcome::Started(started)) => self.children.adopt(key, started),
                Ok(_) => {}
                Err(_) => shutdown::subtree_gone(step.subtree).await,
            }
        }
    }
}
