//! The children of a supervisor and the rules of supervision, as a pure state machine: no clock, no actor, no log.
//!
//! Facts go in ([`exited`](Children::exited), [`started`](Children::started), [`stopped`](Children::stopped) …), steps
//! come out ([`next_step`](Children::next_step)); the actor around it carries them out.
//!
//! 1. A key is given once and never again. Start indices are given in start order; their order is the start order, and
//!    a reconfiguration gives new ones.
//! 2. `by_actor` holds exactly the incarnations of the slots that are `Running`, and of those that are `Stopping` until
//!    their end has been reported: that end is not one of an unknown actor.
//! 3. A child has at most one incarnation: it is started only from `Queued`, and `Queued` follows `Stopping`, `Down`,
//!    `Requested`, `Waiting` or a start that failed; or a successor takes the place of a running one.
//! 4. An exit counts only if it names the current incarnation of a running child; any other is stale.
//! 5. Every restart, and every retry of a failed one, is admitted by the restart window first.
//! 6. A child that waits for the end of its delay occupies no plan queue; the end of a delay counts only if it names
//!    the current one.
//! 7. After giving up, after an auto-shutdown, and after `halt`, no step comes out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt, HashSet};
use ractor::ActorId;
use tokio::time::Instant;

use super::backoff::JitterRng;
use super::chain::{Failures, RestartLimitExceeded};
use super::child::{Child, Slot};
use super::child_id::ChildId;
use super::child_spec::{ChildSpec, Shutdown};
use super::early_ends::EarlyEnds;
use super::plan::{Key, PlanQueue, Purpose, StartIndex, Work};
use super::report::ChildEvent;
use super::restart::{Restart, RestartWindow, Strategy};
use super::rules::{ChildSet, Rules};
use super::significant::AutoShutdown;
use super::started::Incarnation;
use crate::exit::ExitReason;

/// One thing to do. A plan queue goes on when its step has been answered.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// Stop this incarnation, then say `stopped`.
    Stop { key: Key, child: T, rule: Shutdown },
    /// Wait until this incarnation, which has ended, is gone, then say `stopped`.
    AwaitExit { key: Key, child: T },
    /// Start the child, then say `started`, `ignored` or `start_failed`.
    Start { key: Key, spec: ChildSpec, retry: bool },
    /// Report `delay_over` with this number at this time. No plan queue waits for that.
    Delay { key: Key, number: u64, until: Instant },
    /// Report what has been decided.
    Report { id: ChildId, what: ChildEvent },
    /// Stop the supervisor: this child's failure exceeded the restart intensity.
    GiveUp { id: ChildId, why: Arc<RestartLimitExceeded> },
    /// Stop the supervisor: this significant child has ended.
    AutoShutdown { id: ChildId },
}

/// A child at the moment when its supervisor begins to stop.
#[derive(Debug)]
pub(crate) enum Leaving<T> {
    /// It runs, and has to be stopped by its rule.
    Running(ChildSpec, T),
    /// It has ended by itself, and only has to be waited for.
    Ended(T),
}

/// The outcome of a failed start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailedStart {
    Retried,
    Finished,
}

pub(crate) struct Children<T> {
    pub(super) rules: Rules,
    /// Boxed: keys come in ascending order, which leaves the nodes of the tree half empty.
    pub(super) children: BTreeMap<Key, Box<Child<T>>>,
    pub(super) by_id: HashMap<ChildId, Key>,
    pub(super) by_actor: HashMap<ActorId, Key>,
    pub(super) window: RestartWindow,
    pub(super) failures: Failures,
    pub(super) jitter_rng: JitterRng,
    pub(super) last_delay: u64,
    next_key: Key,
    pub(super) last_start_index: StartIndex,
    pub(super) queues: HashMap<Key, PlanQueue>,
    pub(super) ready: VecDeque<Key>,
    pub(super) starting: usize,
    pub(super) early: EarlyEnds,
    finished: Vec<Key>,
    pub(super) halted: bool,
    /// The strategy to change to as soon as no plan is under way.
    pub(super) next_strategy: Option<Strategy>,
    /// The latest significant child that has ended for good, until the consequence is decided.
    pub(super) last_ended: Option<(Key, ChildId)>,
}

impl<T: Incarnation> Children<T> {
    /// `jitter_rng` is the source of the jitter of delays.
    pub(crate) fn new(rules: Rules, jitter_rng: JitterRng) -> Self {
        Self {
            rules,
            children: BTreeMap::new(),
            by_id: HashMap::new(),
            by_actor: HashMap::new(),
            window: RestartWindow::new(rules.intensity),
            failures: Failures::default(),
            jitter_rng,
            last_delay: 0,
            next_key: 1,
            last_start_index: 0,
            queues: HashMap::new(),
            ready: VecDeque::new(),
            starting: 0,
            early: EarlyEnds::default(),
            finished: Vec::new(),
            halted: false,
            next_strategy: None,
            last_ended: None,
        }
    }

    /// Keeps at most this many ends of unknown actors, while a start is under way.
    pub(crate) fn noting_early_ends(mut self, most: usize) -> Self {
        self.early = EarlyEnds::at_most(most);
        self
    }

    pub(crate) fn auto_shutdown_mode(&self) -> AutoShutdown {
        self.rules.auto_shutdown
    }

    /// A key that has never been given.
    pub(super) fn next_key(&mut self) -> Key {
        self.next_key += 1;
        self.next_key - 1
    }

    /// Adds a child at the end of the start order.
    pub(super) fn enter(&mut self, spec: ChildSpec, slot: Slot<T>) -> Key {
        let key = self.next_key();
        if self.rules.child_set == ChildSet::Static {
            self.by_id.insert(spec.id().clone(), key);
        }
        self.starting += usize::from(matches!(slot, Slot::Starting));
        let start_index = self.next_start_index();
        self.children.insert(key, Box::new(Child::new(spec, start_index, slot)));
        key
    }

    // ---- facts ----

    /// Notes that an actor has ended. Returns the child that it was, if it was one.
    pub(crate) fn exited(&mut self, actor: ActorId, reason: ExitReason, now: Instant) -> Option<Key> {
        let Some(key) = self.by_actor.remove(&actor) else {
            if self.starting > 0 {
                self.early.note(actor, reason);
            }
            return None;
        };
        let child = self.children.get_mut(&key)?;
        if matches!(child.slot, Slot::Stopping) {
            return None;
        }
        let enough = child.spec.intensity_rule().unwrap_or_else(|| self.window.intensity()).within;
        child.ended(&reason, now, enough);
        if let Slot::Running(incarnation) = std::mem::replace(&mut child.slot, Slot::Down) {
            child.slot = Slot::Exited(incarnation, reason);
        }
        self.enqueue(key, Work::Exited(key, actor));
        Some(key)
    }

    /// Notes that a start has succeeded. Returns the reason if that child has already ended.
    pub(crate) fn started(&mut self, key: Key, incarnation: T, now: Instant) -> Option<ExitReason> {
        let actor = incarnation.actor_id();
        let (restarted, cause) = self.restarted(key);
        let aborting = self.start_is_over(key) == Some(true);
        let early = self.early.take(actor, || incarnation.is_over());
        let child = self.children.get_mut(&key)?;
        child.restarts += u32::from(restarted);
        child.began(incarnation, cause, now);
        self.by_actor.insert(actor, key);
        if child.spec.restart_rule() == Restart::Temporary {
            child.spec.forget_start();
        }
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
        let wanted = self.start_is_over(key) == Some(false);
        if wanted {
            self.start_those_after(key);
        }
        match self.purpose(key) {
            Some(Purpose::ManualStart) if wanted => self.mark_stopped(key),
            _ => self.finish(key),
        };
        self.step_is_over(key);
    }

    /// Notes that a start failed, for this cause.
    pub(crate) fn start_failed(&mut self, key: Key, said: &str) -> FailedStart {
        let aborting = self.start_is_over(key) == Some(true);
        let purpose = self.purpose(key).unwrap_or(Purpose::Add);
        let outcome = match purpose {
            Purpose::Restart if !aborting => self.retry(key, said.into()),
            Purpose::Add => self.remove(key),
            Purpose::ManualStart if !aborting => self.mark_stopped(key),
            _ => self.finish(key),
        };
        self.step_is_over(key);
        outcome
    }

    /// Notes that a child that was being stopped or awaited is gone.
    pub(crate) fn stopped(&mut self, key: Key) {
        let wanted = self.is_to_be_started(key);
        if let Some(actor) = self.children.get(&key).and_then(|child| child.latest) {
            self.by_actor.remove(&actor);
        }
        match self.children.get_mut(&key) {
            Some(child) if wanted => child.slot = Slot::Queued,
            Some(_) => {
                self.finish(key);
            }
            None => {}
        }
        self.step_is_over(key);
    }

    // ---- helpers ----

    /// Whether the plan under way starts it again.
    pub(super) fn is_to_be_started(&self, key: Key) -> bool {
        let plan = self.queues.get(&self.queue_key(key)).and_then(|queue| queue.plan.as_ref());
        plan.zip(self.order_key(key)).is_some_and(|(plan, order_key)| plan.starts.contains(&order_key))
    }

    pub(super) fn child(&self, key: Key) -> Option<&Child<T>> {
        self.children.get(&key).map(Box::as_ref)
    }

    pub(super) fn queue_key(&self, key: Key) -> Key {
        if self.rules.strategy == Strategy::OneForOne { key } else { 0 }
    }

    pub(super) fn queue_of(&mut self, key: Key) -> Option<&mut PlanQueue> {
        let at = self.queue_key(key);
        self.queues.get_mut(&at)
    }

    pub(super) fn purpose(&mut self, key: Key) -> Option<Purpose> {
        self.queue_of(key)?.plan.as_ref().map(|plan| plan.purpose)
    }

    pub(super) fn enqueue(&mut self, key: Key, work: Work) {
        let at = self.queue_key(key);
        self.queues.entry(at).or_default().waiting.push_back(work);
        self.ready.push_back(at);
    }

    /// Notes that a start is no longer under way; true if it was to be aborted.
    pub(super) fn start_is_over(&mut self, key: Key) -> Option<bool> {
        let slot = &self.children.get(&key)?.slot;
        let aborting = matches!(slot, Slot::Aborting);
        if aborting || matches!(slot, Slot::Starting) {
            self.starting -= 1;
        }
        Some(aborting)
    }

    /// Notes that a start that is no longer wanted has succeeded.
    fn stop_instead(&mut self, key: Key) {
        let order_key = self.order_key(key);
        match (self.queue_of(key).and_then(|queue| queue.plan.as_mut()), order_key) {
            (Some(plan), Some(order_key)) => {
                plan.stops.insert(order_key);
            }
            _ => self.enqueue(key, Work::Terminate(key)),
        }
    }

    pub(super) fn forget_early_ends(&mut self) {
        if self.starting == 0 {
            self.early.clear();
        }
    }

    pub(super) fn step_is_over(&mut self, key: Key) {
        self.forget_early_ends();
        let at = self.queue_key(key);
        if let Some(queue) = self.queues.get_mut(&at) {
            queue.under_way = false;
            self.ready.push_back(at);
        }
    }

    /// The children that were to be started after it are down until the retry succeeds, as in OTP.
    fn retry(&mut self, key: Key, said: Arc<str>) -> FailedStart {
        self.give_up_plan(key);
        if let Some(child) = self.children.get_mut(&key) {
            child.slot = Slot::Queued;
        }
        if let Some(queue) = self.queue_of(key) {
            // At the end, as OTP's message to itself: a child that never starts again must not keep others from being
            // stopped. A waiting retry is replaced, or each restart in between would add one more.
            queue.waiting.retain(|work| !matches!(work, Work::Retry(other, _) if *other == key));
            queue.waiting.push_back(Work::Retry(key, said));
        }
        FailedStart::Retried
    }

    /// Notes that a child does not run and has no start pending: it keeps its place, or is removed.
    pub(super) fn finish(&mut self, key: Key) -> FailedStart {
        let Some(child) = self.children.get(&key) else {
            return FailedStart::Finished;
        };
        let keeps = self.rules.child_set == ChildSet::Static && child.spec.restart_rule() != Restart::Temporary;
        if keeps { self.mark_stopped(key) } else { self.remove(key) }
    }

    /// Notes that a child is down and keeps its place.
    pub(super) fn mark_stopped(&mut self, key: Key) -> FailedStart {
        if let Some(child) = self.children.get_mut(&key) {
            child.slot = Slot::Down;
        }
        self.finished.push(key);
        FailedStart::Finished
    }

    pub(super) fn remove(&mut self, key: Key) -> FailedStart {
        self.finished.push(key);
        if let Some(child) = self.children.remove(&key)
            && self.rules.child_set == ChildSet::Static
        {
            self.by_id.remove(child.spec.id());
        }
        FailedStart::Finished
    }

    /// The children that have stopped since the last call: down, or removed.
    pub(crate) fn take_finished(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.finished)
    }

    /// Ends all steps. Returns the children that are not gone yet, in reverse start order.
    pub(crate) fn halt(&mut self) -> Vec<Leaving<T>> {
        self.halted = true;
        self.by_actor.clear();
        let mut leaving = Vec::new();
        for key in self.in_order().into_iter().rev() {
            let Some(child) = self.children.get_mut(&key) else { continue };
            match std::mem::replace(&mut child.slot, Slot::Down) {
                Slot::Running(incarnation) => leaving.push(Leaving::Running(child.spec.clone(), incarnation)),
                Slot::Exited(incarnation, _) => leaving.push(Leaving::Ended(incarnation)),
                _ => {}
            }
        }
        leaving
    }

    /// The actors that [`halt`](Children::halt) would return.
    pub(crate) fn actors(&self) -> HashSet<ActorId> {
        let actor = |child: &Child<T>| match &child.slot {
            Slot::Running(incarnation) | Slot::Exited(incarnation, _) => Some(incarnation.actor_id()),
            _ => None,
        };
        self.children.values().map(Box::as_ref).filter_map(actor).collect()
    }

    /// Takes in a start that had just finished when the supervisor began to stop.
    pub(crate) fn adopt(&mut self, key: Key, incarnation: T) {
        if let Some(child) = self.children.get_mut(&key) {
            self.by_actor.insert(incarnation.actor_id(), key);
            child.slot = Slot::Running(incarnation);
        }
    }
}
