//! The supervisor's actor: a thin shell that carries out what [`Children`] decides.
//!
//! A step (the start or the end of a child) is a future. It is polled once on the spot; if it is not ready, a start
//! becomes a task, so that the supervisor answers while a child starts slowly, and an end, which only waits, is polled
//! again when its waker has sent a message. The mailbox gets only that nudge and never the outcome, which would be lost
//! when a stop comes first, and with it a live child.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::task::yield_now;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::chain::GiveUpCell;
use super::checkup;
use super::child_spec::{ChildKind, ChildSpec, NameTaken, StartContext};
use super::children::{FailedStart, Leaving, Step};
use super::error::{ChildError, StartError};
use super::group::Group;
use super::message::{Answer, ServerMsg, Which};
use super::name_taken::Refused;
use super::plan::Key;
use super::replacement::Replacement;
use super::report::{ChildEvent, Reporting};
use super::requests::Terminate;
use super::shutdown;
use super::snapshot;
use super::spec::{StopOrder, SupervisorSpec};
use super::started::{Incarnation, Started, StartedChild};
use super::state::ServerState;
use super::step::{Outcome, StartUnderWay, StepUnderWay, StepWork, aborted, outcome_of};
use crate::ask::answer;
use crate::containment::{display_text, drop_contained};
use crate::exit::{Exit, SHUTDOWN};

/// After this many levels the first start of a supervisor goes on in a task of its own: each is polled within the one
/// above, for some 50 KB of the stack. No limit on the depth: a tree of any depth starts, in more tasks.
const MAX_LEVELS_PER_TASK: usize = 8;

/// How many exits in a row are acted upon before the waiting messages have a turn. Further ones are only noted. No
/// limit on anything: all are acted upon, in the same order, and only waiting times depend on the number.
const MAX_CONSECUTIVE_EXITS: u32 = 64;

/// How many steps are carried out before the messages that wait have a turn: as above, all are carried out.
const MAX_STEPS_AT_ONCE: u32 = 128;

pub(super) struct Server {
    // Here, and not where ractor keeps an actor's state: a killed actor's state travels in its exit event, which a
    // stopping supervisor never reads. With it would go the tasks of the steps under way and of the children that
    // ractor's kill does not reach. What is here ends with the actor's own task. The lock is never contended; a wait
    // takes the state out.
    // Boxed, or it would be copied with each of the futures in which ractor carries a handler to its task.
    state: Mutex<Option<Box<ServerState>>>,
    group: Group,
    reporting: Reporting,
    give_up_cell: GiveUpCell,
    /// Whether it, or a supervisor above it, has run before.
    restart: bool,
}

impl Server {
    /// `group` is the group of the supervisor itself; its children get one within.
    pub(super) fn new(
        group: &Group,
        reporting: Reporting,
        give_up_cell: GiveUpCell,
        restart: bool,
        spec: SupervisorSpec,
    ) -> Self {
        let group = group.nested().limited_to(spec.limits.as_ref());
        let reporting = reporting.of_children(spec.rules.child_set.is_on_demand());
        let state = Mutex::new(Some(Box::new(ServerState::new(spec, group.limits()))));
        Self { state, group, reporting, give_up_cell, restart }
    }

    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    fn state(&self) -> Option<MappedMutexGuard<'_, ServerState>> {
        MutexGuard::try_map(self.state.lock(), |state| state.as_deref_mut()).ok()
    }

    fn context(&self, myself: &ActorRef<ServerMsg>, spec: &ChildSpec, restart: bool) -> StartContext {
        let group = match spec.kind() {
            ChildKind::Worker => self.group.clone(),
            ChildKind::Supervisor => self.group.nested(),
        };
        let (id, reporting) = (spec.id().clone(), self.reporting.clone());
        StartContext { id, supervisor: myself.get_cell(), group, reporting, restart, replaces: None }
    }

    // ---- the first start: one after the other, all undone if one fails ----

    async fn start_all(&self, myself: &ActorRef<ServerMsg>, state: &mut ServerState) -> Result<(), StartError> {
        let mut specs = std::mem::take(&mut state.spec.children).into_iter();
        let within = |spec: ChildSpec| spec.within(self.group.limits());
        for spec in specs.by_ref().map(within) {
            match self.start_first(myself, state, &spec).await {
                // Those after it have to wait for it.
                Ok(Some(Refused::Waits(_))) if state.children.is_ordered() => break,
                Ok(_) => {}
                Err(source) => {
                    self.stop_children(state).await;
                    return Err(StartError::Child { id: spec.id().clone(), source: Box::new(source) });
                }
            }
        }
        for spec in specs.map(within) {
            // The specification has been checked as a whole before; nothing is left to refuse.
            let _ = state.children.add_stopped(spec);
        }
        Ok(())
    }

    async fn start_first(
        &self,
        myself: &ActorRef<ServerMsg>,
        state: &mut ServerState,
        spec: &ChildSpec,
    ) -> Result<Option<Refused>, StartError> {
        let Ok(key) = state.children.add_starting(spec.clone()) else {
            // The specification has been checked as a whole before; nothing is left to refuse.
            return Ok(None);
        };
        let start = StartUnderWay::begin(spec, self.context(myself, spec, self.restart)).finish();
        let outcome = match spec.kind() {
            ChildKind::Supervisor if self.reporting.depth() % MAX_LEVELS_PER_TASK == MAX_LEVELS_PER_TASK - 1 => {
                apart(start).await
            }
            _ => start.await,
        };
        if let Outcome::Failed(cause) = outcome {
            if let Some(refused) = self.name_taken(myself, state, key, &cause, self.restart) {
                drop_contained("the error of a start", cause);
                return Ok(Some(refused));
            }
            self.reporting.send(spec.id(), ChildEvent::StartFailed { cause: display_text(&cause) });
            state.children.start_failed(key, "");
            return Err(cause);
        }
        self.finish(myself, state, key, outcome);
        Ok(None)
    }

    /// The rule for the child if another actor has its name, and that is no failure.
    fn name_taken(
        &self,
        myself: &ActorRef<ServerMsg>,
        state: &mut ServerState,
        key: Key,
        cause: &StartError,
        again: bool,
    ) -> Option<Refused> {
        let StartError::NameTaken { free, .. } = cause else { return None };
        let (refused, rule) = match state.children.name_taken(key, again) {
            Refused::Fails => return None,
            Refused::Rests => (Refused::Rests, NameTaken::Rest),
            Refused::Waits(number) => {
                state.spawn_wait(myself, key, number, free);
                (Refused::Waits(number), NameTaken::Wait)
            }
        };
        if let Some(id) = state.children.id(key) {
            self.reporting.send(id, ChildEvent::NameTaken { cause: display_text(cause), rule });
        }
        Some(refused)
    }

    // ---- steps ----

    /// Carries out pending work, but only a limited amount: the rest has its turn after the messages that have come
    /// meanwhile.
    fn work(&self, myself: &ActorRef<ServerMsg>, state: &mut ServerState) {
        if state.children.is_ready() {
            let now = Instant::now();
            let mut steps = 0;
            while let Some(step) = state.children.next_step(now) {
                self.carry_out(myself, state, step);
                steps += 1;
                if steps == MAX_STEPS_AT_ONCE {
                    state.work_later(myself);
                    break;
                }
            }
        }
        state.answer_finished();
    }

    fn carry_out(&self, myself: &ActorRef<ServerMsg>, state: &mut ServerState, step: Step<Started>) {
        match step {
            Step::Stop { key, child, rule } => {
                let actor = child.actor_id();
                let stop = async move { Outcome::Gone { actor, how: Some(shutdown::stop(child, rule).await) } };
                // Through the mailbox, even if the child has ended already: its exit event, which may carry its state,
                // lies unread then, and is read before any message. So the state is dropped before anything follows.
                state.begin_end_in_turn(myself, key, stop.boxed());
            }
            Step::AwaitExit { key, child } if child.is_gone() => {
                let actor = child.actor_id();
                drop_contained("a child that is gone", child);
                self.finish(myself, state, key, Outcome::Gone { actor, how: None });
            }
            Step::AwaitExit { key, child } => {
                let actor = child.actor_id();
                let await_exit = async move {
                    shutdown::gone(child).await;
                    Outcome::Gone { actor, how: None }
                };
                self.end(myself, state, key, await_exit.boxed());
            }
            Step::Start { key, spec, retry } => self.launch_start(myself, state, key, spec, retry),
            Step::Delay { key, number, until } => state.spawn_delay(myself, key, number, until),
            Step::Report { id, what } => self.reporting.send(&id, what),
            Step::GiveUp { id, why } => {
                // The reason first, then the end: a reader that is notified of the end finds the reason.
                self.give_up_cell.set(Arc::clone(&why));
                self.reporting.send(&id, ChildEvent::GaveUp { cause: why });
                myself.stop(Some(SHUTDOWN.to_owned()));
            }
            Step::AutoShutdown { id } => {
                self.reporting.send(&id, ChildEvent::AutoShutdown { mode: state.children.auto_shutdown_mode() });
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
        let (restart, _) = state.children.restarted(key);
        let mut start = StartUnderWay::begin(&spec, self.context(myself, &spec, restart));
        // A retry goes through the mailbox, even if it fails at once.
        match (!retry).then(|| start.poll_once()).flatten() {
            Some(outcome) => self.finish(myself, state, key, outcome),
            None => state.spawn_start(myself, key, start),
        }
    }

    fn end(&self, myself: &ActorRef<ServerMsg>, state: &mut ServerState, key: Key, end: BoxFuture<'static, Outcome>) {
        if let Some(outcome) = state.begin_end(myself, key, end) {
            self.finish(myself, state, key, outcome);
        }
    }

    fn finish(&self, myself: &ActorRef<ServerMsg>, state: &mut ServerState, key: Key, outcome: Outcome) {
        if let Some(replacement) = state.replacements.remove(&key) {
            return replacement.go_on(myself, state, &self.reporting, key, outcome);
        }
        let Some(id) = state.children.id(key).cloned() else { return drop_contained("a step", outcome) };
        match outcome {
            Outcome::Gone { actor, how } => {
                state.children.stopped(key);
                if let Some(how) = how {
                    self.reporting.send(&id, ChildEvent::Stopped { actor, how });
                }
            }
            Outcome::Started(mut started) => {
                let actor = started.actor_id();
                let child = StartedChild { actor: started.actor.clone(), extra: started.extra.take() };
                let early_end = state.children.started(key, started, Instant::now());
                let (restarts, cause) = (state.children.restarts(key), state.children.cause(key));
                self.reporting.send(&id, ChildEvent::Started { actor, restarts, cause });
                state.answer_starter(key, Ok(Some(child)));
                if let Some(reason) = early_end {
                    let escalation = state.children.escalation(key);
                    self.reporting.send(&id, ChildEvent::Exited { actor, reason, escalation });
                }
            }
            Outcome::Ignored => {
                state.children.ignored(key);
                self.reporting.send(&id, ChildEvent::Ignored);
                state.answer_starter(key, Ok(None));
            }
            Outcome::Failed(source) if self.name_taken(myself, state, key, &source, false).is_some() => {
                drop_contained("the error of a start", source);
            }
            Outcome::Failed(source) => {
                let cause = display_text(&source);
                self.reporting.send(&id, ChildEvent::StartFailed { cause: cause.clone() });
                match state.children.start_failed(key, &cause) {
                    FailedStart::Finished => state.answer_starter(key, Err(ChildError::Start { id, source })),
                    FailedStart::Retried => drop_contained("the error of a start", source),
                }
            }
        }
    }

    // ---- requests ----

    fn start_child(&self, state: &mut ServerState, spec: ChildSpec, reply: Answer<Option<StartedChild>>) {
        let key = state.children.add(spec.within(self.group.limits()));
        state.await_start(key, reply);
    }

    fn restart_child(&self, state: &mut ServerState, id: &str, reply: Answer<Option<StartedChild>>) {
        let key = state.children.manual_start(id);
        state.await_start(key, reply);
    }

    fn replace_child(
        &self,
        myself: &ActorRef<ServerMsg>,
        state: &mut ServerState,
        which: Which,
        spec: ChildSpec,
        reply: Answer<Option<ActorCell>>,
    ) {
        let spec = spec.within(self.group.limits());
        let begun = state.which(which).and_then(|child| Ok((child, state.children.begin_replacing(child, &spec)?)));
        let (child, (step, predecessor)) = match begun {
            Ok(begun) => begun,
            Err(refusal) => return answer(reply, Err(refusal)),
        };
        let replaces = state.children.running(child).map(|child| child.actor.clone());
        let context = StartContext { replaces, ..self.context(myself, &spec, false) };
        let start = StartUnderWay::begin(&spec, context);
        state.replacements.insert(step, Replacement { child, predecessor, spec, successor: None, reply });
        state.spawn_start(myself, step, start);
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

    /// Aborts a start under way. It may have finished meanwhile: the result is then a live child all the same.
    fn abort_start(&self, myself: &ActorRef<ServerMsg>, state: &mut ServerState, key: Key) {
        match state.steps.remove(&key) {
            Some(StepUnderWay { work: StepWork::Start { task, subtree }, .. }) => {
                self.end(myself, state, key, aborted(task, subtree).boxed());
            }
            // It has finished, and only its task's end is waited for.
            Some(finished) => drop(state.steps.insert(key, finished)),
            None => {}
        }
    }

    // ---- the end: everything is still alive when post_stop runs ----

    async fn stop_children(&self, state: &mut ServerState) {
        let leaving = state.children.halt();
        match state.spec.order {
            StopOrder::AllAtOnce => self.stop_together(leaving).await,
            StopOrder::Reverse => {
                for child in leaving {
                    self.stop_child(child).await;
                }
            }
        }
        // A ticket that is still held belongs to an actor linked elsewhere or not at all; waiting for ever would not
        // end it.
        shutdown::subtree_gone(Some(self.group.gone())).await;
    }

    async fn stop_together(&self, leaving: Vec<Leaving<Started>>) {
        let (mut ids, mut running, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for child in leaving {
            match child {
                Leaving::Running(spec, child) => {
                    ids.push((spec.id().clone(), child.actor_id()));
                    running.push((child, spec.shutdown_rule()));
                }
                Leaving::Ended(child) => ended.push(child),
            }
        }
        for ((id, actor), how) in ids.into_iter().zip(shutdown::stop_together(running).await) {
            self.reporting.send(&id, ChildEvent::Stopped { actor, how });
        }
        for child in ended {
            shutdown::gone(child).await;
        }
    }

    async fn stop_child(&self, child: Leaving<Started>) {
        let (spec, child) = match child {
            Leaving::Running(spec, child) => (spec, child),
            Leaving::Ended(child) => return shutdown::gone(child).await,
        };
        let actor = child.actor_id();
        let how = shutdown::stop(child, spec.shutdown_rule()).await;
        self.reporting.send(spec.id(), ChildEvent::Stopped { actor, how });
    }

    /// Children that other code linked to this supervisor: temporary ones, which come first, as they were started last.
    async fn stop_unmanaged(&self, unmanaged: Vec<ActorCell>) {
        let ends = shutdown::stop_unmanaged(&unmanaged, self.group.limits().unmanaged_stop).await;
        for (actor, how) in unmanaged.iter().map(ActorCell::get_id).zip(ends) {
            self.reporting.send(&format!("actor {actor}").into(), ChildEvent::Stopped { actor, how });
        }
    }
}

/// A start on a stack of its own.
async fn apart(start: impl Future<Output = Outcome> + Send + 'static) -> Outcome {
    outcome_of(AbortOnDropHandle::new(tokio::spawn(start)).await)
}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Server {
    type Msg = ServerMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<ServerMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        let Some(mut state) = self.state.lock().take() else { return Ok(()) };
        state.spec.check().map_err(StartError::from)?;
        self.start_all(&myself, &mut state).await?;
        *self.state.lock() = Some(state);
        Ok(())
    }

    async fn post_start(&self, myself: ActorRef<ServerMsg>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        if let Some(mut state) = self.state() {
            self.work(&myself, &mut state);
        }
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<ServerMsg>,
        message: ServerMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let ServerMsg::Work = message {
            // Other tasks on this thread have a turn, too: the rest may have been put off for their requests.
            yield_now().await;
        }
        let Some(mut state) = self.state() else { return Ok(()) };
        let state = &mut *state;
        state.consecutive_exits = 0;
        match message {
            ServerMsg::StepDone(key, number) => {
                if let Some(outcome) = state.nudged(&myself, key, number) {
                    self.finish(&myself, state, key, outcome);
                }
            }
            ServerMsg::SupervisorSnapshot(after, reply) => {
                answer(
                    reply,
                    snapshot::supervisor_snapshot(&state.children, after, || myself.get_children(), Instant::now()),
                );
            }
            ServerMsg::Checkup(reply) => answer(reply, checkup::examinees(&state.children, Instant::now())),
            ServerMsg::Work => state.work_is_due = false,
            ServerMsg::DelayOver(key, number) => state.delay_over(key, number),
            ServerMsg::StartChild(spec, reply) => self.start_child(state, spec, reply),
            ServerMsg::RestartChild(id, reply) => self.restart_child(state, &id, reply),
            ServerMsg::TerminateChild(which, reply) => self.terminate_child(&myself, state, which, reply),
            ServerMsg::ReplaceChild(which, spec, reply) => self.replace_child(&myself, state, which, spec, reply),
            ServerMsg::DeleteChild(id, reply) => answer(reply, state.children.delete(&id)),
            ServerMsg::Child(id, reply) => answer(reply, state.child(&id)),
            ServerMsg::WhichChild(which, reply) => answer(reply, state.which_child(which)),
            ServerMsg::ChildSpec(which, reply) => answer(reply, state.child_spec(which)),
            ServerMsg::Reconfigure(spec, reply) => answer(reply, state.reconfigure(spec.within(self.group.limits()))),
            ServerMsg::WhichChildren(reply) => answer(reply, state.children.which(Instant::now())),
            ServerMsg::CountChildren(reply) => answer(reply, state.children.count()),
        }
        self.work(&myself, state);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<ServerMsg>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let Some(Exit { actor, reason }) = Exit::read(event) else { return Ok(()) };
        let Some(mut state) = self.state() else { return Ok(()) };
        let state = &mut *state;
        match state.children.exited(actor, reason.clone(), Instant::now()) {
            Some(key) => {
                if let Some(id) = state.children.id(key) {
                    let escalation = state.children.escalation(key);
                    self.reporting.send(id, ChildEvent::Exited { actor, reason, escalation });
                }
                state.consecutive_exits += 1;
                // ractor delivers exits before messages. Children that fail as fast as they are restarted would keep
                // all requests waiting.
                match state.consecutive_exits {
                    ..=MAX_CONSECUTIVE_EXITS => self.work(&myself, state),
                    _ => state.work_later(&myself),
                }
            }
            None => state.spec.report_unmanaged_exit(actor, &reason),
        }
        Ok(())
    }

    async fn post_stop(&self, myself: ActorRef<ServerMsg>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        let Some(mut state) = self.state.lock().take() else { return Ok(()) };
        let state = &mut *state;
        state.end_steps().await;
        // The links first, then the own children: one that ends in between is still known.
        let mut linked = myself.get_children();
        let ours = state.children.actors();
        linked.retain(|cell| !ours.contains(&cell.get_id()));
        self.stop_unmanaged(linked).await;
        self.stop_children(state).await;
        Ok(())
    }
}
