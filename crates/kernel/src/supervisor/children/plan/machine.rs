//! The children of a supervisor and the rules of supervision, as a pure state machine: no clock, no actor, no log.
//!
//! Facts go in ([`exited`](Children::exited), [`started`](Children::started), [`stopped`](Children::stopped) …), steps
//! come out ([`next_step`](Children::next_step)); the actor around it carries them out.
//!
//! 1. A child has at most one incarnation: it is started only from `Queued`, and `Queued` follows `Stopping`, `Down`,
//!    `Requested`, `Waiting` or a start that failed; or a successor takes the place of a running one.
//! 2. An exit counts only if it names the current incarnation of a running child; any other is stale.
//! 3. Every restart, and every retry of a failed one, is admitted by the restart window first.
//! 4. A child that waits for the end of its delay occupies no plan queue; the end of a delay counts only if it names
//!    the current one.
//! 5. After giving up, after an auto-shutdown, and after `halt`, no step comes out.
//! 6. A successor is no child until it has taken the place of its predecessor. One that does not start, or whose
//!    predecessor is no longer the current incarnation by then, changes nothing.

mod decisions;
#[cfg(test)]
mod histories;

use std::collections::VecDeque;
use std::sync::Arc;

use ractor::ActorId;
use tokio::time::Instant;

use super::{PlanQueues, Purpose, Work};
use crate::exit::ExitReason;
use crate::supervisor::child_id::ChildId;
use crate::supervisor::child_rules::{AutoShutdown, Restart, Shutdown};
use crate::supervisor::children::rules::{ChildSet, Rules};
use crate::supervisor::children::window::RestartWindow;
use crate::supervisor::children::{Child, Leaving, Slot, Table};
use crate::supervisor::error::ChildError;
use crate::supervisor::key::Key;
use crate::supervisor::report::ChildEvent;
use crate::supervisor::restart::{RestartCause, RestartLimitExceeded, RestartTrigger, Strategy};
use crate::supervisor::spec::ChildSpec;
use crate::supervisor::started::Incarnation;
use crate::supervisor::tree::Supervision;

/// The most failures kept to explain why a supervisor gave up. Fixed, since it bounds only a text: all are counted
/// ([`RestartLimitExceeded::count`]), and the restart intensity uses all of them.
const MAX_FAILURES: usize = 16;

/// One thing to do. A plan queue goes on when its step has been answered.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// Stop this incarnation, then say `stopped`.
    Stop { key: Key, child: T, rule: Shutdown },
    /// Wait until this incarnation, which has ended, is gone, then say `stopped`.
    AwaitExit { key: Key, child: T },
    /// Start the child, then say `started`, `ignored` or `start_failed`.
    Start { key: Key, spec: ChildSpec, restart: bool, retry: bool },
    /// Report `delay_over` with this number at this time. No plan queue waits for that.
    Delay { key: Key, number: u64, until: Instant },
    /// Report what has been decided.
    Report { id: ChildId, what: ChildEvent },
    /// Stop the supervisor: this child's failure exceeded the restart intensity.
    GiveUp { id: ChildId, why: Arc<RestartLimitExceeded> },
    /// Stop the supervisor: this significant child has ended.
    AutoShutdown { id: ChildId, mode: AutoShutdown },
}

/// The outcome of a failed start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailedStart {
    Retried,
    Finished,
}

/// What happens to a child whose start was refused because another actor has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It waits until its name is free; then report `delay_over` with this number.
    Waits(u64),
    /// It is stopped, as its rule says.
    Rests,
    /// The start failed like any other; report `start_failed`.
    Fails,
}

/// The result of a request to terminate a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminate {
    /// It does not run.
    Done,
    /// It is on its way out; a later fact reports that it is down.
    Pending,
    /// Its start is under way and has to be aborted.
    Abort,
}

/// Whether a successor has taken the place of its predecessor.
#[derive(Debug)]
pub(crate) enum Replaced<T> {
    /// It has. The predecessor is to be stopped now, by its rule. `ended` if the successor has already ended.
    Taken { predecessor: T, rule: Shutdown, ended: Option<ExitReason> },
    /// It has not, and is to be stopped.
    Unwanted(T),
}

pub(crate) struct Children<T> {
    rules: Rules,
    table: Table<T>,
    queues: PlanQueues,
    window: RestartWindow,
    failures: Failures,
    jitter_rng: fastrand::Rng,
    last_delay: u64,
    /// How many starts are under way.
    starting: usize,
    early: EarlyEnds,
    halted: bool,
    /// The strategy to change to as soon as no plan is under way.
    next_strategy: Option<Strategy>,
    /// The latest significant child that has ended for good, until the consequence is decided.
    last_ended: Option<(Key, ChildId)>,
}

impl<T: Incarnation> Children<T> {
    /// `jitter_rng` is the source of the jitter of delays. At most `early_ends` ends of unknown actors are kept, while a
    /// start is under way.
    pub(crate) fn new(rules: Rules, jitter_rng: fastrand::Rng, early_ends: usize) -> Self {
        Self {
            rules,
            table: Table::new(),
            queues: PlanQueues::new(rules.strategy),
            window: RestartWindow::new(rules.intensity),
            failures: Failures::default(),
            jitter_rng,
            last_delay: 0,
            starting: 0,
            early: EarlyEnds::at_most(early_ends),
            halted: false,
            next_strategy: None,
            last_ended: None,
        }
    }

    /// The children themselves.
    pub(crate) fn table(&self) -> &Table<T> {
        &self.table
    }

    /// The children that may have changed since the last call, each once; with its id if it was removed.
    pub(crate) fn take_changed(&mut self) -> Vec<(Key, Option<ChildId>)> {
        self.table.take_changed()
    }

    pub(crate) fn forget_changed(&mut self) {
        self.table.forget_changed();
    }

    /// The rules by which it supervises, and how much of its restart intensity is used.
    pub(crate) fn supervision(&self, now: Instant) -> Supervision {
        let Rules { strategy, auto_shutdown, .. } = self.rules;
        Supervision { strategy, auto_shutdown, intensity: self.window.intensity(), used: self.window.used(now) }
    }

    // ---- requests: which children may be added, started, stopped and removed, and the answers that OTP gives ----

    /// Adds a child and queues its start.
    pub(crate) fn add(&mut self, spec: ChildSpec) -> Result<Key, ChildError> {
        let key = self.admit(spec, Slot::Requested(Purpose::Add))?;
        self.queues.enqueue(Work::Start(key));
        Ok(key)
    }

    /// Adds a child whose start is under way: the first start of a supervisor goes through its list by itself.
    pub(crate) fn add_starting(&mut self, spec: ChildSpec) -> Result<Key, ChildError> {
        let key = self.admit(spec, Slot::Starting)?;
        self.starting += 1;
        Ok(key)
    }

    /// Adds a child that is started when an earlier one has been started.
    pub(crate) fn add_stopped(&mut self, spec: ChildSpec) -> Result<Key, ChildError> {
        self.admit(spec, Slot::Down)
    }

    fn admit(&mut self, spec: ChildSpec, slot: Slot<T>) -> Result<Key, ChildError> {
        spec.check(&self.rules)?;
        match self.rules.child_set {
            ChildSet::Static => self.table.refuse_present(spec.id())?,
            ChildSet::Dynamic { max_children } if self.table.children.len() >= max_children => {
                return Err(ChildError::TooManyChildren { max_children });
            }
            ChildSet::Dynamic { .. } => {}
        }
        Ok(self.table.enter(spec, slot, self.rules.child_set == ChildSet::Static))
    }

    /// Queues the start of a child that is down.
    pub(crate) fn manual_start(&mut self, id: &str) -> Result<Key, ChildError> {
        let key = self.down(id)?;
        if let Some(child) = self.table.children.get_mut(&key) {
            child.slot = Slot::Requested(Purpose::ManualStart);
            child.reset_backoff();
        }
        self.queues.enqueue(Work::Start(key));
        Ok(key)
    }

    /// Removes a child that is down.
    pub(crate) fn delete(&mut self, id: &str) -> Result<(), ChildError> {
        let key = self.down(id)?;
        self.table.remove(key);
        Ok(())
    }

    fn down(&self, id: &str) -> Result<Key, ChildError> {
        let key = self.table.find(id)?;
        let child = &self.table.children[&key];
        let id = child.spec.id().clone();
        match &child.slot {
            Slot::Down => Ok(key),
            Slot::Running(incarnation) => Err(ChildError::Running { id, actor: incarnation.actor_id() }),
            _ => Err(ChildError::Restarting { id }),
        }
    }

    /// Ensures that a child stops and is not started again by itself.
    pub(crate) fn terminate(&mut self, key: Key) -> Terminate {
        let Some(child) = self.table.children.get_mut(&key) else {
            return Terminate::Done;
        };
        match child.slot {
            Slot::Down => {
                self.finish(key);
                Terminate::Done
            }
            Slot::Running(_) | Slot::Exited(..) => {
                self.queues.enqueue(Work::Terminate(key));
                Terminate::Pending
            }
            Slot::Starting => {
                child.slot = Slot::Aborting;
                Terminate::Abort
            }
            Slot::Aborting => Terminate::Pending,
            // Never started: it is removed, as after a start that failed.
            Slot::Requested(Purpose::Add) => {
                self.table.remove(key);
                Terminate::Done
            }
            Slot::Stopping | Slot::Queued | Slot::Waiting { .. } | Slot::Requested(_) => self.start_no_more(key),
        }
    }

    fn start_no_more(&mut self, key: Key) -> Terminate {
        if let Some(order_key) = self.table.order_key(key) {
            self.queues.forget(order_key);
        }
        if matches!(self.child(key), Some(Child { slot: Slot::Stopping, .. })) {
            return Terminate::Pending;
        }
        self.finish(key);
        Terminate::Done
    }

    // ---- facts ----

    /// Notes that an actor has ended. Returns the child that it was, if it was one.
    pub(crate) fn exited(&mut self, actor: ActorId, reason: ExitReason, now: Instant) -> Option<Key> {
        let Some(key) = self.table.by_actor.remove(&actor) else {
            if self.starting > 0 {
                self.early.note(actor, reason);
            }
            return None;
        };
        let child = self.table.children.get_mut(&key)?;
        if matches!(child.slot, Slot::Stopping) {
            return None;
        }
        let enough = child.spec.intensity_rule().unwrap_or_else(|| self.window.intensity()).within;
        child.ended(&reason, now, enough);
        if let Slot::Running(incarnation) = std::mem::replace(&mut child.slot, Slot::Down) {
            child.slot = Slot::Exited(incarnation, reason);
        }
        self.queues.enqueue(Work::Exited(key, actor));
        Some(key)
    }

    /// Notes that a start has succeeded. Returns the reason if that child has already ended.
    pub(crate) fn started(&mut self, key: Key, incarnation: T, now: Instant) -> Option<ExitReason> {
        let actor = incarnation.actor_id();
        let (purpose, cause) = self.queues.purpose(key).unzip();
        let restarted = purpose == Some(Purpose::Restart);
        let cause = cause.flatten().filter(|_| restarted);
        let aborting = self.start_is_over(key);
        let early = self.early.take(actor, || incarnation.is_over());
        self.table.began(key, incarnation, restarted, cause, now)?;
        if aborting {
            self.stop_instead(key);
        } else {
            self.start_those_after(key);
        }
        self.step_is_over(key);
        if let Some(reason) = early.clone() {
            self.exited(actor, reason, now);
        }
        early
    }

    /// Notes that a start was ignored, because the child is not wanted now.
    pub(crate) fn ignored(&mut self, key: Key) {
        let wanted = self.child(key).is_some() && !self.start_is_over(key);
        if wanted {
            self.start_those_after(key);
        }
        match self.purpose(key) {
            Some(Purpose::ManualStart) if wanted => self.table.mark_stopped(key),
            _ => self.finish(key),
        }
        self.step_is_over(key);
    }

    /// Notes that a start failed, for this cause.
    pub(crate) fn start_failed(&mut self, key: Key, said: &str) -> FailedStart {
        let aborting = self.start_is_over(key);
        let purpose = self.purpose(key).unwrap_or(Purpose::Add);
        let retried = purpose == Purpose::Restart && !aborting;
        match purpose {
            _ if retried => self.retry(key, said.into()),
            Purpose::Add => self.table.remove(key),
            Purpose::ManualStart if !aborting => self.table.mark_stopped(key),
            _ => self.finish(key),
        }
        self.step_is_over(key);
        if retried { FailedStart::Retried } else { FailedStart::Finished }
    }

    /// Notes that a child that was being stopped or awaited is gone.
    pub(crate) fn stopped(&mut self, key: Key) {
        let wanted = self.is_to_be_started(key);
        self.table.is_gone(key);
        match self.table.children.get_mut(&key) {
            Some(child) if wanted => child.slot = Slot::Queued,
            Some(_) => self.finish(key),
            None => {}
        }
        self.step_is_over(key);
    }

    /// Notes that a delay has passed. Whether the restart is still wanted is decided when its turn comes.
    pub(crate) fn delay_over(&mut self, key: Key, number: u64) {
        if self.waits(key) == Some(number) {
            self.queues.enqueue(Work::Resume(key, number));
        }
    }

    /// The number of the delay before a child's restart.
    pub(crate) fn waits(&self, key: Key) -> Option<u64> {
        match self.child(key)?.slot {
            Slot::Waiting { number, .. } => Some(number),
            _ => None,
        }
    }

    /// The children that have stopped since the last call: down, or removed.
    pub(crate) fn take_finished(&mut self) -> Vec<Key> {
        self.table.take_finished()
    }

    // ---- replacing a child that runs by a successor, which is started first and takes its place when it runs ----

    /// Prepares the start of a successor of this child, by this specification. Returns a key for its start, and the
    /// child that it is to replace.
    pub(crate) fn begin_replacing(&mut self, key: Key, spec: &ChildSpec) -> Result<(Key, ActorId), ChildError> {
        spec.check(&self.rules)?;
        let Some(child) = self.child(key) else { return Err(ChildError::Terminated) };
        let predecessor = match &child.slot {
            Slot::Running(incarnation) => incarnation.actor_id(),
            Slot::Down => return Err(ChildError::Stopped { id: child.spec.id().clone() }),
            _ => return Err(ChildError::Restarting { id: child.spec.id().clone() }),
        };
        self.starting += 1;
        Ok((self.table.next_key(), predecessor))
    }

    /// Notes that a successor runs. It takes the place if `predecessor` still has it.
    pub(crate) fn replaced(
        &mut self,
        key: Key,
        predecessor: ActorId,
        successor: T,
        spec: ChildSpec,
        now: Instant,
    ) -> Replaced<T> {
        let actor = successor.actor_id();
        let ended = self.early.take(actor, || successor.is_over());
        self.replacing_is_over();
        let current = self.table.children.get_mut(&key).filter(|child| child.is_current(predecessor));
        let Some(child) = current else { return Replaced::Unwanted(successor) };
        let rule = child.spec.shutdown_rule();
        child.is_spared(now);
        let (Slot::Running(before) | Slot::Exited(before, _)) = std::mem::replace(&mut child.slot, Slot::Down) else {
            unreachable!("a current incarnation is in one of these slots")
        };
        child.respecify(spec);
        self.table.by_actor.remove(&predecessor);
        self.table.began(key, successor, false, None, now);
        if let Some(reason) = ended.clone() {
            self.exited(actor, reason, now);
        }
        Replaced::Taken { predecessor: before, rule, ended }
    }

    /// Notes that a successor did not start.
    pub(crate) fn replacing_is_over(&mut self) {
        self.starting -= 1;
        self.forget_early_ends();
    }

    // ---- the end ----

    /// Ends all steps. Returns the children that are not gone yet, in reverse start order.
    pub(crate) fn halt(&mut self) -> Vec<Leaving<T>> {
        self.halted = true;
        self.table.by_actor.clear();
        let mut leaving = Vec::new();
        for key in self.table.in_order().into_iter().rev() {
            let Some(child) = self.table.children.get_mut(&key) else { continue };
            match std::mem::replace(&mut child.slot, Slot::Down) {
                Slot::Running(incarnation) => leaving.push(Leaving::Running(child.spec.clone(), incarnation)),
                Slot::Exited(incarnation, _) => leaving.push(Leaving::Ended(incarnation)),
                _ => {}
            }
        }
        leaving
    }

    /// Takes in a start that had just finished when the supervisor began to stop.
    pub(crate) fn adopt(&mut self, key: Key, incarnation: T) {
        if let Some(child) = self.table.children.get_mut(&key) {
            self.table.by_actor.insert(incarnation.actor_id(), key);
            child.slot = Slot::Running(incarnation);
        }
    }

    // ---- helpers ----

    fn child(&self, key: Key) -> Option<&Child<T>> {
        self.table.children.get(&key).map(Box::as_ref)
    }

    fn purpose(&mut self, key: Key) -> Option<Purpose> {
        self.queues.purpose(key).map(|(purpose, _)| purpose)
    }

    /// Whether the plan under way starts it again.
    fn is_to_be_started(&self, key: Key) -> bool {
        self.table.order_key(key).is_some_and(|order_key| self.queues.starts(order_key))
    }

    /// Notes that a start is no longer under way; true if it was to be aborted.
    fn start_is_over(&mut self, key: Key) -> bool {
        let aborting = match self.child(key).map(|child| &child.slot) {
            Some(Slot::Aborting) => true,
            Some(Slot::Starting) => false,
            _ => return false,
        };
        self.starting -= 1;
        aborting
    }

    /// Notes that a start that is no longer wanted has succeeded.
    fn stop_instead(&mut self, key: Key) {
        let planned = self.table.order_key(key).is_some_and(|order_key| self.queues.stop_also(order_key));
        if !planned {
            self.queues.enqueue(Work::Terminate(key));
        }
    }

    /// Starts the children after this one, which are down, when the retry of its start has succeeded.
    fn start_those_after(&mut self, key: Key) {
        if self.rules.strategy == Strategy::OneForOne {
            return;
        }
        let Some((start_index, _)) = self.table.order_key(key) else { return };
        if !self.queues.is_retry(key) {
            return;
        }
        for (later, child) in self.table.children.range_mut(..).filter(|(_, child)| child.start_index > start_index) {
            // A queued child waits for a retry of its own, from when it had its own plan queue.
            let down = matches!(child.slot, Slot::Down | Slot::Queued);
            if down && child.spec.restart_rule() != Restart::Temporary {
                child.slot = Slot::Queued;
                self.queues.start_also((child.start_index, *later));
            }
        }
    }

    fn forget_early_ends(&mut self) {
        if self.starting == 0 {
            self.early.clear();
        }
    }

    fn step_is_over(&mut self, key: Key) {
        self.forget_early_ends();
        self.queues.step_is_over(key);
    }

    /// The children that were to be started after it are down until the retry succeeds, as in OTP.
    fn retry(&mut self, key: Key, said: Arc<str>) {
        self.give_up_plan(key);
        if let Some(child) = self.table.children.get_mut(&key) {
            child.slot = Slot::Queued;
        }
        self.queues.enqueue_retry(key, said);
    }

    /// Removes the remaining starts of the plan that this child belongs to; returns why the plan was made.
    fn give_up_plan(&mut self, key: Key) -> Option<Arc<RestartCause>> {
        let (starts, cause) = self.queues.give_up(key)?;
        for later in starts {
            self.finish(later);
        }
        cause
    }

    /// Notes that a child does not run and has no start pending: it keeps its place, or is removed.
    fn finish(&mut self, key: Key) {
        let Some(child) = self.child(key) else { return };
        let keeps = self.rules.child_set == ChildSet::Static && child.spec.restart_rule() != Restart::Temporary;
        if keeps { self.table.mark_stopped(key) } else { self.table.remove(key) }
    }
}

/// Ends of unknown actors, kept while a start is under way: a child may end before the result of its start reaches the
/// supervisor.
///
/// Most of them belong to other actors, which were spawned directly or are only monitored, and a start may hang for
/// ever. So only the latest are kept. A child that has ended, and whose end is no longer among them, has an unknown
/// exit reason.
#[derive(Debug)]
struct EarlyEnds {
    most: usize,
    latest: VecDeque<(ActorId, ExitReason)>,
    forgotten: bool,
}

impl EarlyEnds {
    fn at_most(most: usize) -> Self {
        Self { most, latest: VecDeque::new(), forgotten: false }
    }

    fn note(&mut self, actor: ActorId, reason: ExitReason) {
        self.latest.push_back((actor, reason));
        if self.latest.len() > self.most {
            self.latest.pop_front();
            self.forgotten = true;
        }
    }

    /// The exit reason of an actor whose start has just finished, if it has already ended: `is_over` says whether.
    fn take(&mut self, actor: ActorId, is_over: impl FnOnce() -> bool) -> Option<ExitReason> {
        if let Some(at) = self.latest.iter().rposition(|(ended, _)| *ended == actor) {
            return self.latest.remove(at).map(|(_, reason)| reason);
        }
        let unknown = "it ended while it was starting, and why is no longer known";
        (self.forgotten && is_over()).then(|| ExitReason::Failed(unknown.into()))
    }

    /// Drops all ends: no start is under way.
    fn clear(&mut self) {
        if !self.latest.is_empty() || self.forgotten {
            *self = Self::at_most(self.most);
        }
    }
}

/// The latest failures of a supervisor's children after which it restarted them, or gave up.
#[derive(Debug, Default)]
struct Failures(VecDeque<RestartTrigger>);

impl Failures {
    fn push(&mut self, failure: RestartTrigger) {
        if let Some(earlier) = self.0.back_mut() {
            // Only the last failure keeps the chain below it; chains of chains would grow without bound.
            earlier.escalation = None;
        }
        if self.0.len() == MAX_FAILURES {
            self.0.pop_front();
        }
        self.0.push_back(failure);
    }

    /// The latest `count` matching failures, or as many of them as are kept; the oldest first.
    fn latest(&self, count: u32, is_meant: impl Fn(&RestartTrigger) -> bool) -> Vec<RestartTrigger> {
        let mut latest: Vec<_> =
            self.0.iter().rev().filter(|failure| is_meant(failure)).take(count as usize).cloned().collect();
        latest.reverse();
        latest
    }
}

#[cfg(test)]
mod tests {
    use super::histories::MAX_EARLY_ENDS;
    use super::*;
    use crate::supervisor::restart::tests::{failure, gave_up};

    #[test]
    fn the_latest_ends_are_known_with_their_reasons_and_the_others_without() {
        let mut ends = EarlyEnds::at_most(MAX_EARLY_ENDS);
        assert_eq!(ends.take(ActorId::Local(0), || true), None);
        for actor in 0..=MAX_EARLY_ENDS as u64 {
            ends.note(ActorId::Local(actor), ExitReason::Killed);
        }
        assert_eq!(ends.latest.len(), MAX_EARLY_ENDS);
        assert_eq!(ends.take(ActorId::Local(1), || true), Some(ExitReason::Killed));
        assert_eq!(ends.take(ActorId::Local(0), || false), None, "it runs");
        assert!(matches!(ends.take(ActorId::Local(0), || true), Some(ExitReason::Failed(_))));
        ends.clear();
        assert_eq!(ends.take(ActorId::Local(0), || true), None);
    }

    #[test]
    fn the_latest_failures_are_remembered_and_only_the_last_leads_to_the_level_below() {
        let mut failures = Failures::default();
        for n in 0..40 {
            failures.push(failure(&n.to_string(), Some(gave_up(vec![failure("below", None)], 0))));
        }
        let ids =
            |latest: &[RestartTrigger]| latest.iter().map(|failure| failure.child.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&failures.latest(2, |_| true)), ["38", "39"]);
        let latest = failures.latest(u32::MAX, |_| true);
        assert_eq!(latest.len(), MAX_FAILURES);
        assert_eq!(latest.iter().filter(|failure| failure.escalation.is_some()).count(), 1);
        assert!(latest.last().unwrap().escalation.is_some());
    }
}
