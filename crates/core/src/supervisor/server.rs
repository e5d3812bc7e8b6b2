//! The supervisor's actor: a thin shell that carries out what [`Children`] decides.
//!
//! A step (the start or the stop of a child) is a future. It is polled once on the spot and becomes a task if it is not
//! ready, so that the supervisor answers while a child starts slowly. The task's output is the result; the mailbox gets
//! only a nudge, because a message would be lost when a stop comes first, and with it a live child.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::child_spec::{ChildKind, ChildSpec, Incarnation, Start, StartContext, Started};
use super::children::{Children, FailedStart, Leaving, Step};
use super::error::{ChildError, StartError};
use super::group::{Gone, Group};
use super::plan::Key;
use super::report::{Happened, Reporting, Stopped};
use super::roster::{ChildCount, ChildInfo, Terminate};
use super::shutdown;
use super::spec::{StopOrder, SupervisorSpec};
use crate::exit::{Exit, SHUTDOWN};

/// How long children that nobody holds a task of are given to stop, and a group to empty after its last member was told.
const STRAY_LIMIT: Duration = Duration::from_secs(5);

/// A request's answer.
pub(crate) type Answer<T> = RpcReplyPort<Result<T, ChildError>>;

/// What a supervisor is asked.
pub(super) enum ServerMsg {
    StartChild(ChildSpec, Answer<Option<ActorCell>>),
    RestartChild(String, Answer<Option<ActorCell>>),
    TerminateChild(Which, Answer<()>),
    DeleteChild(String, Answer<()>),
    Child(String, Answer<Option<Handle>>),
    WhichChildren(RpcReplyPort<Vec<ChildInfo>>),
    CountChildren(RpcReplyPort<ChildCount>),
    StepDone(Key, u64),
}
crate::local_message!(ServerMsg);

/// Which child is meant.
pub(super) enum Which {
    Id(String),
    Actor(ractor::ActorId),
}

/// A running child, with the word of when its subtree is gone.
pub(super) struct Handle {
    pub(crate) actor: ActorCell,
    pub(crate) subtree: Option<Gone>,
}

/// What came of a step.
enum Outcome {
    Gone { actor: ractor::ActorId, how: Option<Stopped> },
    Started(Started),
    Ignored,
    Failed(StartError),
}

/// A step under way.
struct StepTask {
    /// By which its nudge is known from that of a step before it.
    number: u64,
    task: AbortOnDropHandle<Outcome>,
    kind: StepKind,
    subtree: Option<Gone>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StepKind {
    /// It may be aborted when it is no longer wanted.
    Start,
    /// It is let finish.
    End,
}

pub(super) struct Server {
    group: Group,
    reporting: Reporting,
}

pub(super) struct ServerState {
    spec: SupervisorSpec,
    children: Children<Started>,
    steps: HashMap<Key, StepTask>,
    last_step: u64,
    starters: HashMap<Key, Answer<Option<ActorCell>>>,
    stoppers: HashMap<Key, Vec<Answer<()>>>,
}

impl Server {
    /// `group` is the one that the supervisor itself belongs to; its children get one within.
    pub(super) fn new(group: &Group, reporting: Reporting) -> Self {
        Self { group: group.nested(), reporting }
    }

    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    fn context(&self, myself: &ActorRef<ServerMsg>, spec: &ChildSpec) -> StartContext {
        let group = match spec.kind() {
            ChildKind::Worker => self.group.clone(),
            ChildKind::Supervisor => self.group.nested(),
        };
        StartContext { id: spec.id().clone(), supervisor: myself.get_cell(), group, reporting: self.reporting.clone() }
    }

    // ---- the first start: one after the other, and all undone if one fails ----

    async fn start_all(&self, myself: &ActorRef<ServerMsg>, state: &mut ServerState) -> Result<(), StartError> {
        for spec in std::mem::take(&mut state.spec.children) {
            if let Err(source) = self.start_first(myself, state, &spec).await {
                self.stop_children(state).await;
                return Err(StartError::Child { id: spec.id().clone(), source: Box::new(source) });
            }
        }
        Ok(())
    }

    async fn start_first(
        &self,
        myself: &ActorRef<ServerMsg>,
        state: &mut ServerState,
        spec: &ChildSpec,
    ) -> Result<(), StartError> {
        let Ok(key) = state.children.add_starting(spec.clone()) else {
            // The specification has been checked as a whole before; there is nothing left to refuse.
            return Ok(());
        };
        let outcome = start(spec.clone(), self.context(myself, spec)).await;
        if let Outcome::Failed(cause) = outcome {
            self.reporting.tell(spec.id(), Happened::StartFailed { cause: cause.to_string() });
            state.children.start_failed(key);
            return Err(cause);
        }
        self.finish(state, key, outcome);
        Ok(())
    }

    // ---- steps ----

    fn work(&self, myself: &ActorRef<ServerMsg>, state: &mut ServerState) {
        while let Some(step) = state.children.next_step(Instant::now()) {
            self.carry_out(myself, state, step);
        }
        state.answer_settled();
    }

    fn carry_out(&self, myself: &ActorRef<ServerMsg>, state: &mut ServerState, step: Step<Started>) {
        match step {
            Step::Stop { key, child, rule } => {
                let actor = child.actor_id();
                let stop = async move { Outcome::Gone { actor, how: Some(shutdown::stop(child, rule).await) } };
                self.launch(myself, state, key, stop.boxed(), StepKind::End, None);
            }
            Step::Bury { key, child } => {
                let actor = child.actor_id();
                let bury = async move {
                    shutdown::gone(child).await;
                    Outcome::Gone { actor, how: None }
                };
                self.launch(myself, state, key, bury.boxed(), StepKind::End, None);
            }
            Step::Start { key, spec, retry } => self.launch_start(myself, state, key, spec, retry),
            Step::GiveUp { id } => {
                self.reporting.tell(&id, Happened::GaveUp { intensity: state.children.intensity() });
                myself.stop(Some(SHUTDOWN.to_owned()));
            }
        }
    }

    fn launch_start(
        &self,
        myself: &ActorRef<ServerMsg>,
        state: &mut ServerState,
        key: Key,
        spec: ChildSpec,
        retry: bool,
    ) {
        let context = self.context(myself, &spec);
        let subtree = (spec.kind() == ChildKind::Supervisor).then(|| context.group.gone());
        let start = start(spec, context).boxed();
        if retry {
            state.spawn_step(myself, key, start, StepKind::Start, subtree);
        } else {
            self.launch(myself, state, key, start, StepKind::Start, subtree);
        }
    }

    fn launch(
        &self,
        myself: &ActorRef<ServerMsg>,
        state: &mut ServerState,
        key: Key,
        mut step: BoxFuture<'static, Outcome>,
        kind: StepKind,
        subtree: Option<Gone>,
    ) {
        match (&mut step).now_or_never() {
            Some(outcome) => self.finish(state, key, outcome),
            None => state.spawn_step(myself, key, step, kind, subtree),
        }
    }

    async fn step_done(&self, state: &mut ServerState, key: Key, number: u64) {
        // No task, or another: an abort has taken it over, and nudges for itself.
        let Entry::Occupied(step) = state.steps.entry(key) else { return };
        if step.get().number != number {
            return;
        }
        let step = step.remove();
        // The nudge is the last thing that the task does, so this does not wait for anything else.
        let outcome = step.task.await.unwrap_or(Outcome::Failed(StartError::Terminated));
        self.finish(state, key, outcome);
    }

    fn finish(&self, state: &mut ServerState, key: Key, outcome: Outcome) {
        let Some(id) = state.children.id(key).cloned() else { return };
        match outcome {
            Outcome::Gone { actor, how } => {
                state.children.stopped(key);
                if let Some(how) = how {
                    self.reporting.tell(&id, Happened::Stopped { actor, how });
                }
            }
            Outcome::Started(started) => {
                let (actor, cell) = (started.actor_id(), started.actor.clone());
                let early_end = state.children.started(key, started);
                self.reporting.tell(&id, Happened::Started { actor, restarts: state.children.restarts(key) });
                state.answer_starter(key, Ok(Some(cell)));
                if let Some(reason) = early_end {
                    self.reporting.tell(&id, Happened::Exited { actor, reason });
                }
            }
            Outcome::Ignored => {
                state.children.ignored(key);
                self.reporting.tell(&id, Happened::Ignored);
                state.answer_starter(key, Ok(None));
            }
            Outcome::Failed(source) => {
                self.reporting.tell(&id, Happened::StartFailed { cause: source.to_string() });
                if state.children.start_failed(key) == FailedStart::Settled {
                    state.answer_starter(key, Err(ChildError::Start { id, source }));
                }
            }
        }
    }

    // ---- requests ----

    fn start_child(&self, state: &mut ServerState, spec: ChildSpec, reply: Answer<Option<ActorCell>>) {
        let key = state.children.add(spec);
        state.await_start(key, reply);
    }

    fn restart_child(&self, state: &mut ServerState, id: &str, reply: Answer<Option<ActorCell>>) {
        let key = state.children.revive(id);
        state.await_start(key, reply);
    }

    fn terminate_child(&self, myself: &ActorRef<ServerMsg>, state: &mut ServerState, which: Which, reply: Answer<()>) {
        let key = match state.which(which) {
            Ok(key) => key,
            Err(refusal) => return answer(reply, Err(refusal)),
        };
        match state.children.terminate(key) {
            Terminate::Done => return answer(reply, Ok(())),
            Terminate::Pending => {}
            Terminate::Abort => self.abort_start(myself, state, key),
        }
        state.stoppers.entry(key).or_default().push(reply);
    }

    /// Aborts a start under way. It may have finished meanwhile: then a live child comes of it all the same.
    fn abort_start(&self, myself: &ActorRef<ServerMsg>, state: &mut ServerState, key: Key) {
        let Some(StepTask { task, subtree, .. }) = state.steps.remove(&key) else { return };
        let abort = async move {
            task.abort();
            match task.await {
                Ok(outcome) => outcome,
                Err(_) => {
                    shutdown::subtree_gone(subtree).await;
                    Outcome::Failed(StartError::Terminated)
                }
            }
        };
        self.launch(myself, state, key, abort.boxed(), StepKind::End, None);
    }

    // ---- the end: everything is still alive when post_stop runs ----

    async fn stop_children(&self, state: &mut ServerState) {
        let order = state.spec.order;
        let leaving = state.children.halt().into_iter().map(|child| self.stop_child(child));
        if order == StopOrder::AllAtOnce {
            join_all(leaving).await;
        } else {
            for stop in leaving {
                stop.await;
            }
        }
        // Whoever still holds a ticket was linked elsewhere or not at all; waiting for ever would not bring it down.
        shutdown::subtree_gone(Some(self.group.gone())).await;
    }

    async fn stop_child(&self, child: Leaving<Started>) {
        let (spec, child) = match child {
            Leaving::Running(spec, child) => (spec, child),
            Leaving::Ended(child) => return shutdown::gone(child).await,
        };
        let actor = child.actor_id();
        let how = shutdown::stop(child, spec.shutdown_rule()).await;
        self.reporting.tell(spec.id(), Happened::Stopped { actor, how });
    }

    /// Children that were linked to us by somebody else: temporary ones, which come first, as they were started last.
    async fn stop_strays(&self, myself: &ActorRef<ServerMsg>, state: &ServerState) {
        // The links first, then our own: one of ours that ends in between is still known.
        let linked = myself.get_children();
        let ours = state.children.actors();
        let strays = linked.into_iter().filter(|cell| !ours.contains(&cell.get_id()));
        join_all(strays.map(|cell| async {
            let actor = cell.get_id();
            let how = shutdown::stop_stray(cell, STRAY_LIMIT).await;
            self.reporting.tell(&format!("actor {actor}").into(), Happened::Stopped { actor, how });
        }))
        .await;
    }
}

impl ServerState {
    fn spawn_step(
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

    fn which(&self, which: Which) -> Result<Key, ChildError> {
        match which {
            Which::Id(id) => self.children.find(&id),
            Which::Actor(actor) => self.children.find_actor(actor),
        }
    }

    fn await_start(&mut self, key: Result<Key, ChildError>, reply: Answer<Option<ActorCell>>) {
        match key {
            Ok(key) => {
                self.starters.insert(key, reply);
            }
            Err(refusal) => answer(reply, Err(refusal)),
        }
    }

    fn answer_starter(&mut self, key: Key, result: Result<Option<ActorCell>, ChildError>) {
        if let Some(reply) = self.starters.remove(&key) {
            answer(reply, result);
        }
    }

    /// Answers whoever waits for a child to come to rest: that it is down, or that its start will not be.
    fn answer_settled(&mut self) {
        for key in self.children.take_settled() {
            for reply in self.stoppers.remove(&key).into_iter().flatten() {
                answer(reply, Ok(()));
            }
            if let Some(reply) = self.starters.remove(&key) {
                answer(reply, Err(ChildError::Terminated));
            }
        }
    }

    fn child(&self, id: &str) -> Result<Option<Handle>, ChildError> {
        let key = self.children.find(id)?;
        let handle = |child: &Started| Handle { actor: child.actor.clone(), subtree: child.subtree.clone() };
        Ok(self.children.running(key).map(handle))
    }

    /// Ends every step under way: starts are aborted, or taken in if they have just finished; stops are let finish.
    async fn end_steps(&mut self) {
        for (key, step) in std::mem::take(&mut self.steps) {
            if step.kind == StepKind::Start {
                step.task.abort();
            }
            match step.task.await {
                Ok(Outcome::Started(started)) => self.children.adopt(key, started),
                Ok(_) => {}
                Err(_) => shutdown::subtree_gone(step.subtree).await,
            }
        }
    }
}

fn answer<T>(reply: RpcReplyPort<T>, value: T) {
    // Whoever asked may have stopped waiting; that is no concern of ours.
    let _ = reply.send(value);
}

/// The start of one child: limited in time, panics contained; of a supervisor that did not start, all that it had
/// started is gone on return.
async fn start(spec: ChildSpec, context: StartContext) -> Outcome {
    let subtree = (spec.kind() == ChildKind::Supervisor).then(|| context.group.gone());
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

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Server {
    type Msg = ServerMsg;
    type State = ServerState;
    type Arguments = SupervisorSpec;

    async fn pre_start(
        &self,
        myself: ActorRef<ServerMsg>,
        spec: SupervisorSpec,
    ) -> Result<ServerState, ActorProcessingErr> {
        spec.check().map_err(StartError::from)?;
        let children = Children::new(spec.rules);
        let mut state = ServerState {
            spec,
            children,
            steps: HashMap::new(),
            last_step: 0,
            starters: HashMap::new(),
            stoppers: HashMap::new(),
        };
        self.start_all(&myself, &mut state).await?;
        Ok(state)
    }

    async fn post_start(&self, myself: ActorRef<ServerMsg>, state: &mut ServerState) -> Result<(), ActorProcessingErr> {
        self.work(&myself, state);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<ServerMsg>,
        message: ServerMsg,
        state: &mut ServerState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ServerMsg::StepDone(key, number) => self.step_done(state, key, number).await,
            ServerMsg::StartChild(spec, reply) => self.start_child(state, spec, reply),
            ServerMsg::RestartChild(id, reply) => self.restart_child(state, &id, reply),
            ServerMsg::TerminateChild(which, reply) => self.terminate_child(&myself, state, which, reply),
            ServerMsg::DeleteChild(id, reply) => answer(reply, state.children.delete(&id)),
            ServerMsg::Child(id, reply) => answer(reply, state.child(&id)),
            ServerMsg::WhichChildren(reply) => answer(reply, state.children.which()),
            ServerMsg::CountChildren(reply) => answer(reply, state.children.count()),
        }
        self.work(&myself, state);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<ServerMsg>,
        event: SupervisionEvent,
        state: &mut ServerState,
    ) -> Result<(), ActorProcessingErr> {
        let Some(Exit { actor, reason }) = Exit::read(event) else { return Ok(()) };
        match state.children.exited(actor, reason.clone()) {
            Some(key) => {
                if let Some(id) = state.children.id(key) {
                    self.reporting.tell(id, Happened::Exited { actor, reason });
                }
                self.work(&myself, state);
            }
            None => state.spec.tell_stray(actor, &reason),
        }
        Ok(())
    }

    async fn post_stop(&self, myself: ActorRef<ServerMsg>, state: &mut ServerState) -> Result<(), ActorProcessingErr> {
        state.end_steps().await;
        self.stop_strays(&myself, state).await;
        self.stop_children(state).await;
        Ok(())
    }
}
