//! The supervisor's actor: a thin shell that carries out what [`Children`] decides.
//!
//! A step (the start or the end of a child) is a future. It is polled once on the spot; if it is not ready, a start
//! becomes a task, so that the supervisor answers while a child starts slowly, and an end, which only waits, is polled
//! again when its waker has sent a message. The mailbox gets only that nudge and never the outcome, which would be lost
//! when a stop comes first, and with it a live child.

use std::sync::Arc;

use foldhash::HashMap;
use futures::future::{BoxFuture, FutureExt};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, ActorStatus, SupervisionEvent};
use tokio::task::yield_now;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::delays::Delays;
use super::ending::{stop_children, stop_linked};
use super::replacement::Replacement;
use super::requests::Requests;
use super::step::{Outcome, StartUnderWay, Steps, outcome_of};
use super::{Gone, Group};
use crate::ask::answer;
use crate::containment::{display_text, drop_contained, error_text};
use crate::exit::{ExitReason, SHUTDOWN};
use crate::limits::SupervisorLimits;
use crate::supervisor::child_id::ChildId;
use crate::supervisor::child_rules::{ChildKind, NameTaken, Shutdown};
use crate::supervisor::children::plan::machine::{Children, FailedStart, Refused, Replaced, Step, Terminate};
use crate::supervisor::children::rules::ChildSet;
use crate::supervisor::client::{Answer, ServerMsg, Which};
use crate::supervisor::error::{ChildError, StartError};
use crate::supervisor::info::ChildInfo;
use crate::supervisor::key::Key;
use crate::supervisor::report::{ChildEvent, Reporting};
use crate::supervisor::restart::{GivingUp, Strategy};
use crate::supervisor::spec::{ChildSpec, StartContext, SupervisorSpec};
use crate::supervisor::started::{Incarnation, Started, StartedChild};
use crate::supervisor::tree::snapshot::{ChildSnapshot, SupervisorSnapshot};
use crate::supervisor::tree::watch::TreeFeed;

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
    state: Mutex<Option<Box<State>>>,
    group: Group,
    reporting: Reporting,
    feed: TreeFeed,
    giving_up: Arc<GivingUp>,
    /// Whether it, or a supervisor above it, has run before.
    restart: bool,
}

/// Its children, the steps under way, and the requests that wait for answers.
struct State {
    spec: SupervisorSpec,
    children: Children<Started>,
    steps: Steps,
    delays: Delays,
    /// The successors that are being started, or whose predecessors are being stopped, by the keys of their steps.
    replacements: HashMap<Key, Replacement>,
    requests: Requests,
    /// The number of exits since the last message.
    consecutive_exits: u32,
    /// Whether a message is on its way that continues the work.
    work_is_due: bool,
}

impl State {
    /// Before the first start.
    fn new(spec: SupervisorSpec, limits: &SupervisorLimits) -> Self {
        let children = Children::new(spec.rules, fastrand::Rng::with_seed(spec.seed()), limits.early_ends);
        let (steps, delays, replacements, requests) = Default::default();
        Self { spec, children, steps, delays, replacements, requests, consecutive_exits: 0, work_is_due: false }
    }

    /// Continues the work after the messages that wait now.
    fn work_later(&mut self, myself: &ActorRef<ServerMsg>) {
        if !self.work_is_due {
            // A stopping supervisor takes no message.
            self.work_is_due = myself.send_message(ServerMsg::Work).is_ok();
        }
    }

    fn find(&self, which: Which) -> Result<Key, ChildError> {
        match which {
            Which::Id(id) => self.children.table().find(&id),
            Which::Actor(actor) => self.children.table().find_actor(actor),
        }
    }

    fn child(&self, id: &str) -> Result<Option<(ActorCell, Option<Gone>)>, ChildError> {
        let key = self.children.table().find(id)?;
        let child = self.children.table().running(key);
        Ok(child.map(|child| (child.actor().clone(), child.subtree().cloned())))
    }

    fn which_child(&self, which: Which) -> Result<ChildInfo, ChildError> {
        let key = self.find(which)?;
        self.children.table().which_child(key, Instant::now()).ok_or(ChildError::Terminated)
    }

    fn child_spec(&self, which: Which) -> Result<ChildSpec, ChildError> {
        let key = self.find(which)?;
        self.children.table().spec(key).cloned().ok_or(ChildError::Terminated)
    }

    fn delay_over(&mut self, key: Key, number: u64) {
        self.delays.over(key, number);
        self.children.delay_over(key, number);
    }

    fn answer_finished(&mut self) {
        for key in self.children.take_finished() {
            if self.children.waits(key).is_none() {
                self.delays.forget(key);
            }
            self.requests.answer_finished(key);
        }
    }

    /// New rules and specifications; reporter, stop order and place in the tree stay.
    fn reconfigure(&mut self, spec: SupervisorSpec) -> Result<(), ChildError> {
        spec.check()?;
        Ok(self.children.reconfigure(spec.rules, spec.children)?)
    }

    /// Its own part of a snapshot: the children after this one, and with the last part the other actors that are linked
    /// to it.
    fn snapshot(&self, after: Option<Key>, myself: &ActorCell) -> SupervisorSnapshot {
        let (children, now) = (self.children.table(), Instant::now());
        let is_unmanaged =
            |cell: &ActorCell| !children.is_actor(cell.get_id()) && cell.get_status() < ActorStatus::Draining;
        let unmanaged = || myself.get_children().into_iter().filter(is_unmanaged).map(|cell| cell.get_id()).collect();
        SupervisorSnapshot::of(self.children.supervision(now), children.snapshots(after, now), unmanaged)
    }

    /// Ends every step under way: starts are aborted, or taken in if they have just finished; stops are allowed to
    /// finish.
    async fn end_steps(&mut self) {
        // A delay holds a reference to the supervisor, and its end no longer matters.
        self.delays = Delays::default();
        for (key, end) in self.steps.end_all() {
            match (end.await, self.replacements.remove(&key)) {
                // A successor that is no longer wanted; its predecessor is stopped with the other children.
                (Outcome::Started(successor), Some(replacement)) => {
                    let (_, _, spec) = replacement.parts();
                    successor.stop(spec.shutdown_rule()).await;
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

impl Server {
    /// `group` is the group of the supervisor itself; its children get one within.
    pub(super) fn new(
        group: &Group,
        reporting: Reporting,
        giving_up: Arc<GivingUp>,
        restart: bool,
        spec: SupervisorSpec,
    ) -> Self {
        let group = group.nested().limited_to(spec.limits.as_ref());
        let reporting = reporting.of_children(spec.rules.child_set != ChildSet::Static);
        let state = Mutex::new(Some(Box::new(State::new(spec, group.limits()))));
        let feed = TreeFeed::of(reporting.place());
        Self { state, group, reporting, feed, giving_up, restart }
    }

    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    fn state(&self) -> Option<MappedMutexGuard<'_, State>> {
        MutexGuard::try_map(self.state.lock(), |state| state.as_deref_mut()).ok()
    }

    fn context(&self, myself: &ActorRef<ServerMsg>, spec: &ChildSpec, restart: bool) -> StartContext {
        let group = match spec.kind() {
            ChildKind::Worker => self.group.clone(),
            ChildKind::Supervisor => self.group.nested(),
        };
        StartContext::new(spec.id().clone(), myself.get_cell(), group, self.reporting.clone(), restart)
            .below(Arc::clone(&self.giving_up))
    }

    // ---- the first start: one after the other, all undone if one fails ----

    async fn start_all(&self, myself: &ActorRef<ServerMsg>, state: &mut State) -> Result<(), StartError> {
        let mut specs = std::mem::take(&mut state.spec.children).into_iter();
        let within = |spec: ChildSpec| spec.within(self.group.limits());
        for spec in specs.by_ref().map(within) {
            match self.start_first(myself, state, &spec).await {
                // Those after it have to wait for it.
                Ok(Some(Refused::Waits(_))) if state.spec.rules.strategy != Strategy::OneForOne => break,
                Ok(_) => {}
                Err(error) => {
                    stop_children(state.children.halt(), state.spec.order, &self.reporting, &self.group).await;
                    return Err(StartError::Child { id: spec.id().clone(), error: Box::new(error) });
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
        state: &mut State,
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
        state: &mut State,
        key: Key,
        cause: &StartError,
        again: bool,
    ) -> Option<Refused> {
        let StartError::NameTaken { free, .. } = cause else { return None };
        let (refused, rule) = match state.children.name_taken(key, again) {
            Refused::Fails => return None,
            Refused::Rests => (Refused::Rests, NameTaken::Rest),
            Refused::Waits(number) => {
                state.delays.await_name(myself, key, number, free);
                (Refused::Waits(number), NameTaken::Wait)
            }
        };
        if let Some(id) = state.children.table().spec(key).map(ChildSpec::id) {
            self.reporting.send(id, ChildEvent::NameTaken { cause: display_text(cause), rule });
        }
        Some(refused)
    }

    // ---- steps ----

    /// Carries out pending work, but only a limited amount: the rest has its turn after the messages that have come
    /// meanwhile.
    fn work(&self, myself: &ActorRef<ServerMsg>, state: &mut State) {
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

    fn carry_out(&self, myself: &ActorRef<ServerMsg>, state: &mut State, step: Step<Started>) {
        match step {
            Step::Stop { key, child, rule } => {
                // Through the mailbox, even if the child has ended already: its exit event, which may carry its state,
                // lies unread then, and is read before any message. So the state is dropped before anything follows.
                state.steps.begin_end_in_turn(myself, key, stop(child, rule));
            }
            Step::AwaitExit { key, child } if child.is_gone() => {
                let actor = child.actor_id();
                drop_contained("a child that is gone", child);
                self.finish(myself, state, key, Outcome::Gone { actor, how: None });
            }
            Step::AwaitExit { key, child } => {
                let actor = child.actor_id();
                let await_exit = async move {
                    child.gone().await;
                    Outcome::Gone { actor, how: None }
                };
                self.end(myself, state, key, await_exit.boxed());
            }
            Step::Start { key, spec, restart, retry } => {
                let start = StartUnderWay::begin(&spec, self.context(myself, &spec, restart));
                self.launch(myself, state, key, start, retry);
            }
            Step::Delay { key, number, until } => state.delays.start(myself, key, number, until),
            Step::Report { id, what } => self.reporting.send(&id, what),
            Step::GiveUp { id, why } => {
                // The reason first, then the end: a reader that is notified of the end finds the reason. A supervisor
                // gives up once, so the cell is empty.
                let _ = self.giving_up.own.set(Arc::clone(&why));
                self.reporting.send(&id, ChildEvent::GaveUp { cause: why });
                myself.stop(Some(SHUTDOWN.to_owned()));
            }
            Step::AutoShutdown { id, mode } => {
                self.reporting.send(&id, ChildEvent::AutoShutdown { mode });
                myself.stop(Some(SHUTDOWN.to_owned()));
            }
        }
    }

    fn launch(&self, myself: &ActorRef<ServerMsg>, state: &mut State, key: Key, mut start: StartUnderWay, retry: bool) {
        // A retry goes through the mailbox, even if it fails at once.
        match (!retry).then(|| start.poll_once()).flatten() {
            Some(outcome) => self.finish(myself, state, key, outcome),
            None => state.steps.spawn_start(myself, key, start),
        }
    }

    fn end(&self, myself: &ActorRef<ServerMsg>, state: &mut State, key: Key, end: BoxFuture<'static, Outcome>) {
        if let Some(outcome) = state.steps.begin_end(myself, key, end) {
            self.finish(myself, state, key, outcome);
        }
    }

    fn finish(&self, myself: &ActorRef<ServerMsg>, state: &mut State, key: Key, outcome: Outcome) {
        if let Some(replacement) = state.replacements.remove(&key) {
            return self.replace(myself, state, key, replacement, outcome);
        }
        let Some(id) = state.children.table().spec(key).map(|spec| spec.id().clone()) else {
            return drop_contained("a step", outcome);
        };
        match outcome {
            Outcome::Gone { actor, how } => {
                state.children.stopped(key);
                if let Some(how) = how {
                    self.reporting.send(&id, ChildEvent::Stopped { actor, how });
                }
            }
            Outcome::Started(started) => self.started(state, key, &id, started),
            Outcome::Ignored => {
                state.children.ignored(key);
                self.reporting.send(&id, ChildEvent::Ignored);
                state.requests.answer_start(key, Ok(None));
            }
            Outcome::Failed(error) if self.name_taken(myself, state, key, &error, false).is_some() => {
                drop_contained("the error of a start", error);
            }
            Outcome::Failed(error) => {
                let cause = display_text(&error);
                self.reporting.send(&id, ChildEvent::StartFailed { cause: cause.clone() });
                match state.children.start_failed(key, &cause) {
                    FailedStart::Finished => state.requests.answer_start(key, Err(ChildError::Start { id, error })),
                    FailedStart::Retried => drop_contained("the error of a start", error),
                }
            }
        }
    }

    fn started(&self, state: &mut State, key: Key, id: &ChildId, mut started: Started) {
        let actor = started.actor_id();
        let child = started.answer();
        let early_end = state.children.started(key, started, Instant::now());
        let (restarts, cause) = (state.children.table().restarts(key), state.children.table().cause(key));
        self.reporting.send(id, ChildEvent::Started { actor, restarts, cause });
        state.requests.answer_start(key, Ok(Some(child)));
        if let Some(reason) = early_end {
            let escalation = state.children.table().escalation(key);
            self.reporting.send(id, ChildEvent::Exited { actor, reason, escalation });
        }
    }

    /// Goes on with a replacement: the start of the successor, or the end of its predecessor, is over.
    fn replace(
        &self,
        myself: &ActorRef<ServerMsg>,
        state: &mut State,
        step: Key,
        replacement: Replacement,
        outcome: Outcome,
    ) {
        let successor = match outcome {
            Outcome::Started(successor) => successor,
            Outcome::Ignored => {
                state.children.replacing_is_over();
                return replacement.ignored(&self.reporting);
            }
            Outcome::Failed(source) => {
                state.children.replacing_is_over();
                return replacement.failed(&self.reporting, source);
            }
            Outcome::Gone { actor, how } => return replacement.finished(&self.reporting, actor, how),
        };
        let (replacement, unwanted, rule) = self.take_over(state, replacement, successor);
        state.replacements.insert(step, replacement);
        state.steps.begin_end_in_turn(myself, step, stop(unwanted, rule));
    }

    /// Lets the successor take the place of its predecessor. Returns which of them is to be stopped, and how.
    fn take_over(
        &self,
        state: &mut State,
        replacement: Replacement,
        successor: Started,
    ) -> (Replacement, Started, Shutdown) {
        let ((child, predecessor, spec), cell) = (replacement.parts(), successor.actor().clone());
        let (id, actor) = (spec.id(), cell.get_id());
        match state.children.replaced(child, predecessor, successor, spec.clone(), Instant::now()) {
            Replaced::Taken { predecessor, rule, ended } => {
                let restarts = state.children.table().restarts(child);
                self.reporting.send(id, ChildEvent::Started { actor, restarts, cause: None });
                if let Some(reason) = ended {
                    let escalation = state.children.table().escalation(child);
                    self.reporting.send(id, ChildEvent::Exited { actor, reason, escalation });
                }
                (replacement.taken_by(cell), predecessor, rule)
            }
            // The child has been stopped meanwhile: its successor is no longer wanted.
            Replaced::Unwanted(successor) => {
                let rule = spec.shutdown_rule();
                (replacement, successor, rule)
            }
        }
    }

    // ---- the followers of the tree ----

    /// Shows them the children that may have changed. At the end of each message, so that a snapshot and the changes
    /// after it fit together.
    fn show_changes(&self, myself: &ActorCell, state: &mut State) {
        if !self.feed.is_read() {
            return state.children.forget_changed();
        }
        let (here, myself, now) = (self.reporting.place(), myself.get_id(), Instant::now());
        for (key, removed) in state.children.take_changed() {
            if let Some(id) = removed {
                self.feed.show_removed(here, myself, key, &id);
            }
            let Some(child) = state.children.table().child_snapshot(key, now) else { continue };
            let supervisor = child.supervisor().cloned();
            self.feed.show_child(here, myself, child.into_tree());
            // Its own children only now: before this they would be of an incarnation that is not known yet.
            supervisor.iter().for_each(ask_to_show);
        }
    }

    /// Shows them all children, and has those below shown.
    fn show(&self, myself: &ActorCell, state: &State) {
        if !self.feed.is_read() {
            return;
        }
        let now = Instant::now();
        let mut children: Vec<_> = state.children.table().snapshots(None, now).collect();
        children.sort_by_key(ChildSnapshot::order_key);
        let supervisors: Vec<_> = children.iter().filter_map(|child| child.supervisor().cloned()).collect();
        let children = children.into_iter().map(ChildSnapshot::into_tree).collect();
        self.feed.show_children(self.reporting.place(), myself.get_id(), state.children.supervision(now), children);
        supervisors.iter().for_each(ask_to_show);
    }

    // ---- requests ----

    fn start_child(&self, state: &mut State, spec: ChildSpec, reply: Answer<Option<StartedChild>>) {
        let key = state.children.add(spec.within(self.group.limits()));
        state.requests.await_start(key, reply);
    }

    fn restart_child(&self, state: &mut State, id: &str, reply: Answer<Option<StartedChild>>) {
        let key = state.children.manual_start(id);
        state.requests.await_start(key, reply);
    }

    fn replace_child(
        &self,
        myself: &ActorRef<ServerMsg>,
        state: &mut State,
        which: Which,
        spec: ChildSpec,
        reply: Answer<Option<ActorCell>>,
    ) {
        let spec = spec.within(self.group.limits());
        let begun = state.find(which).and_then(|child| Ok((child, state.children.begin_replacing(child, &spec)?)));
        let (child, (step, predecessor)) = match begun {
            Ok(begun) => begun,
            Err(refusal) => return answer(reply, Err(refusal)),
        };
        let replaces = state.children.table().running(child).map(|child| child.actor().clone());
        let context = self.context(myself, &spec, false).replacing(replaces);
        let start = StartUnderWay::begin(&spec, context);
        state.replacements.insert(step, Replacement::new(child, predecessor, spec, reply));
        state.steps.spawn_start(myself, step, start);
    }

    fn terminate_child(&self, myself: &ActorRef<ServerMsg>, state: &mut State, which: Which, reply: Answer<()>) {
        let key = match state.find(which) {
            Ok(key) => key,
            Err(refusal) => return answer(reply, Err(refusal)),
        };
        match state.children.terminate(key) {
            Terminate::Done => return answer(reply, Ok(())),
            Terminate::Pending => {}
            Terminate::Abort => {
                if let Some(outcome) = state.steps.abort_start(myself, key) {
                    self.finish(myself, state, key, outcome);
                }
            }
        }
        state.requests.await_stop(key, reply);
    }
}

fn ask_to_show(supervisor: &ActorCell) {
    // A stopping supervisor takes no message; its own end is shown next.
    let _ = supervisor.send_message(ServerMsg::Show);
}

/// The end of a child that is stopped by its rule.
fn stop(child: Started, rule: Shutdown) -> BoxFuture<'static, Outcome> {
    let actor = child.actor_id();
    async move { Outcome::Gone { actor, how: Some(child.stop(rule).await) } }.boxed()
}

/// Reads an event if it reports an end. The event is consumed on purpose: it may carry values that its reader does not
/// use.
///
/// Actors that this library starts leave no values of theirs in it. An actor that was spawned by ractor alone leaves its
/// state, its error, and unread messages of the moment in which it ended: their destructors run here, contained.
fn read_exit(event: SupervisionEvent) -> Option<(ActorId, ExitReason)> {
    let exit = match &event {
        SupervisionEvent::ActorTerminated(cell, _state, text) => {
            Some((cell.get_id(), ExitReason::from_text(text.as_deref())))
        }
        SupervisionEvent::ActorFailed(cell, error) => {
            Some((cell.get_id(), ExitReason::Failed(error_text(&**error).into())))
        }
        _ => None,
    };
    drop_contained("what an actor left behind", event);
    exit
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
            // The supervisor above asks for all children when it knows of this incarnation.
            state.children.forget_changed();
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
                if let Some(outcome) = state.steps.nudged(&myself, key, number) {
                    self.finish(&myself, state, key, outcome);
                }
            }
            // It took too long to get here, and is silent in a snapshot that may be followed.
            ServerMsg::SupervisorSnapshot(_, reply) if reply.is_closed() => self.show(&myself, state),
            ServerMsg::SupervisorSnapshot(after, reply) => answer(reply, state.snapshot(after, &myself)),
            ServerMsg::Checkup(grace, reply) => answer(reply, state.children.table().examinees(grace, Instant::now())),
            ServerMsg::Work => state.work_is_due = false,
            ServerMsg::Show => self.show(&myself, state),
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
            ServerMsg::ReconfigureChild(spec, reply) => {
                answer(reply, state.children.reconfigure_child(spec.within(self.group.limits())));
            }
            ServerMsg::WhichChildren(reply) => answer(reply, state.children.table().which(Instant::now())),
            ServerMsg::CountChildren(reply) => answer(reply, state.children.table().count()),
        }
        self.work(&myself, state);
        self.show_changes(&myself, state);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<ServerMsg>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let Some((actor, reason)) = read_exit(event) else { return Ok(()) };
        let Some(mut state) = self.state() else { return Ok(()) };
        let state = &mut *state;
        match state.children.exited(actor, reason.clone(), Instant::now()) {
            Some(key) => {
                if let Some(id) = state.children.table().spec(key).map(ChildSpec::id) {
                    let escalation = state.children.table().escalation(key);
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
        self.show_changes(&myself, state);
        Ok(())
    }

    async fn post_stop(&self, myself: ActorRef<ServerMsg>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        let Some(mut state) = self.state.lock().take() else { return Ok(()) };
        let state = &mut *state;
        state.end_steps().await;
        // The links first, then the own children: one that ends in between is still known.
        let linked = myself.get_children();
        let leaving = state.children.halt();
        stop_linked(linked, &leaving, &self.reporting, &self.group).await;
        stop_children(leaving, state.spec.order, &self.reporting, &self.group).await;
        Ok(())
    }
}
