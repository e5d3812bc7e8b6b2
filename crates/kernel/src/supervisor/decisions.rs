//! What follows from the facts: the plans of a supervisor and their steps. The rules are OTP's.

use std::sync::Arc;

use ractor::ActorId;
use tokio::time::Instant;

use super::chain::{Failure, Fault, RestartCause, RestartLimitExceeded};
use super::child::{Child, Slot};
use super::child_id::ChildId;
use super::children::{Children, Step};
use super::plan::{Key, Plan, Wait, Work};
use super::report::ChildEvent;
use super::restart::{Restart, Strategy};
use super::started::Incarnation;

/// The result of one piece of work: what to do, and what to report.
struct Decision<T> {
    plan: Option<Plan>,
    step: Option<Step<T>>,
}

impl<T> Decision<T> {
    fn silent(plan: Option<Plan>) -> Self {
        Self { plan, step: None }
    }
}

impl<T: Incarnation> Children<T> {
    /// Whether there may be something to do, whatever the time.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty() || self.last_ended.is_some() || self.next_strategy.is_some()
    }

    /// The next thing to do, unless it has to wait for another.
    pub(crate) fn next_step(&mut self, now: Instant) -> Option<Step<T>> {
        while !self.halted {
            self.change_strategy();
            if let Some(stop) = self.auto_shutdown() {
                return Some(stop);
            }
            let queue = self.ready.pop_front()?;
            if let Some(step) = self.advance(queue, now) {
                return Some(step);
            }
        }
        None
    }

    fn advance(&mut self, at: Key, now: Instant) -> Option<Step<T>> {
        loop {
            let queue = self.queues.get_mut(&at)?;
            if queue.under_way {
                return None;
            }
            if queue.plan.is_some() {
                if let Some(step) = self.step_of_plan(at, now) {
                    return Some(step);
                }
                self.queues.get_mut(&at)?.plan = None;
            } else if self.next_strategy.is_some() {
                // The new strategy may move the work that waits here to another plan queue.
                return None;
            } else if let Some(work) = queue.waiting.pop_front() {
                if let Some(step) = self.decide(at, work, now) {
                    // This step is not answered: the queue goes on by itself.
                    self.ready.push_front(at);
                    return Some(step);
                }
            } else {
                self.queues.remove(&at);
                return None;
            }
        }
    }

    fn step_of_plan(&mut self, at: Key, now: Instant) -> Option<Step<T>> {
        loop {
            let queue = self.queues.get_mut(&at)?;
            let plan = queue.plan.as_mut()?;
            let ((_, key), stops) = match plan.stops.pop_last() {
                Some(order_key) => (order_key, true),
                None if plan.wait.is_some() => return self.schedule_restart(at, now),
                None => (plan.starts.pop_first()?, false),
            };
            let retry = plan.retry == Some(key);
            let step = if stops { self.stop_step(key, now) } else { self.start_step(key, retry, now) };
            if step.is_some() {
                self.queues.get_mut(&at)?.under_way = true;
                return step;
            }
        }
    }

    fn stop_step(&mut self, key: Key, now: Instant) -> Option<Step<T>> {
        let child = self.children.get_mut(&key)?;
        child.is_down_from(now);
        let rule = child.spec.shutdown_rule();
        match std::mem::replace(&mut child.slot, Slot::Stopping) {
            Slot::Running(incarnation) => Some(Step::Stop { key, child: incarnation, rule }),
            Slot::Exited(incarnation, _) => Some(Step::AwaitExit { key, child: incarnation }),
            other => {
                child.slot = other;
                None
            }
        }
    }

    fn start_step(&mut self, key: Key, retry: bool, now: Instant) -> Option<Step<T>> {
        let child = self.children.get_mut(&key)?;
        if !matches!(child.slot, Slot::Queued) {
            return None;
        }
        child.is_down_from(now);
        child.slot = Slot::Starting;
        self.starting += 1;
        Some(Step::Start { key, spec: child.spec.clone(), retry })
    }

    // ---- decisions ----

    fn decide(&mut self, at: Key, work: Work, now: Instant) -> Option<Step<T>> {
        let decision = match work {
            Work::Exited(key, actor) => self.after_exit(key, actor, now),
            Work::Retry(key, said) => self.after_failed_start(key, said, now),
            Work::Resume(key, number) => Decision::silent(self.after_delay(key, number, now)),
            Work::Start(key) => Decision::silent(self.after_request(key)),
            Work::Terminate(key) => Decision::silent(self.after_terminate(key)),
        };
        if let Some(queue) = self.queues.get_mut(&at) {
            queue.plan = decision.plan;
        }
        decision.step
    }

    fn after_exit(&mut self, key: Key, actor: ActorId, now: Instant) -> Decision<T> {
        let Some(Child { spec, slot: Slot::Exited(incarnation, reason), .. }) = self.child(key) else {
            return Decision::silent(None);
        };
        if incarnation.actor_id() != actor {
            return Decision::silent(None);
        }
        let rule = spec.restart_rule();
        if !rule.wants(reason) {
            let (id, what) = (spec.id().clone(), ChildEvent::NotRestarted { reason: reason.clone(), rule });
            // The supervisor may have to stop; that is checked before the next step.
            self.ended_for_good(key);
            return Decision { plan: self.order_key(key).map(Plan::stop), step: Some(Step::Report { id, what }) };
        }
        let fault = Fault::Exited(reason.clone());
        let failure = Failure::new(spec.id().clone(), fault, incarnation.give_up_reason());
        self.restart(key, failure, false, now)
    }

    fn after_failed_start(&mut self, key: Key, said: Arc<str>, now: Instant) -> Decision<T> {
        let Some(Child { spec, slot: Slot::Queued, .. }) = self.child(key) else {
            return Decision::silent(None);
        };
        let failure = Failure::new(spec.id().clone(), Fault::StartFailed(said), None);
        self.restart(key, failure, true, now)
    }

    fn after_request(&mut self, key: Key) -> Option<Plan> {
        let child = self.children.get_mut(&key)?;
        let Slot::Requested(purpose) = child.slot else {
            return None;
        };
        child.slot = Slot::Queued;
        Some(Plan::start(purpose, (child.start_index, key)))
    }

    fn after_terminate(&mut self, key: Key) -> Option<Plan> {
        let child = self.children.get(&key)?;
        match child.slot {
            Slot::Running(_) | Slot::Exited(..) => Some(Plan::stop((child.start_index, key))),
            Slot::Queued | Slot::Requested(_) | Slot::Waiting(_) => {
                self.finish(key);
                None
            }
            _ => None,
        }
    }

    fn restart(&mut self, key: Key, failure: Failure, retry: bool, now: Instant) -> Decision<T> {
        let id = failure.child.clone();
        self.failures.push(failure.clone());
        let window = self.children.get_mut(&key).and_then(|child| child.own_window()).unwrap_or(&mut self.window);
        let admitted = window.admit(now);
        let (strategy, intensity, used) = (self.rules.strategy, window.intensity(), window.used(now));
        if !admitted {
            self.halted = true;
            let (count, own) = (used.saturating_add(1), self.counts_alone(&id));
            let in_window =
                |failure: &Failure| if own { failure.child == id } else { !self.counts_alone(&failure.child) };
            let why =
                RestartLimitExceeded { failures: self.failures.latest(count, in_window), count, strategy, intensity };
            return Decision { plan: None, step: Some(Step::GiveUp { id, why: Arc::new(why) }) };
        }
        let cause = Arc::new(RestartCause { failure, strategy, used, intensity });
        let delay = self.next_delay(key);
        let wait = self.wait(key, delay, now);
        let plan = Plan { cause: Some(Arc::clone(&cause)), ..self.restart_plan(key, retry, wait) };
        let what = ChildEvent::Restarting { cause, delay };
        Decision { plan: Some(plan), step: Some(Step::Report { id, what }) }
    }

    /// Whether the failures of this child count in a window of its own.
    fn counts_alone(&self, id: &ChildId) -> bool {
        self.children.values().any(|child| child.spec.id() == id && child.spec.intensity_rule().is_some())
    }

    /// Erlang's `restart/2`: stops the affected children that still run, then starts all of them that may restart.
    pub(super) fn restart_plan(&mut self, cause: Key, retry: bool, wait: Option<Wait>) -> Plan {
        let Child { start_index: at, spec, .. } = &*self.children[&cause];
        let at = *at;
        // A child that became temporary while it waited for its restart is not started again, and no other waits for
        // it.
        let stays = spec.restart_rule() != Restart::Temporary;
        let (retry, wait) = (retry && stays, wait.filter(|_| stays));
        let (among, from) = match self.rules.strategy {
            Strategy::OneForOne => (self.children.range_mut(cause..=cause), at),
            Strategy::OneForAll => (self.children.range_mut(..), 0),
            Strategy::RestForOne => (self.children.range_mut(..), at),
        };
        let mut plan = Plan { wait, ..Plan::restart(retry.then_some(cause)) };
        let (mut forgotten, mut joined) = (Vec::new(), Vec::new());
        for (key, child) in among.filter(|(_, child)| child.start_index >= from) {
            let order_key = (child.start_index, *key);
            let waits = retry && child.start_index > at;
            let temporary = child.spec.restart_rule() == Restart::Temporary;
            match child.slot {
                // Its own turn comes later.
                Slot::Requested(_) => continue,
                Slot::Running(_) | Slot::Exited(..) => {
                    plan.stops.insert(order_key);
                }
                _ if temporary => forgotten.push(*key),
                // Its delay has become part of this one.
                Slot::Waiting(_) if waits => joined.push(*key),
                _ if waits => continue,
                _ => child.slot = Slot::Queued,
            }
            if !waits && !temporary {
                plan.starts.insert(order_key);
            }
        }
        for key in forgotten {
            self.remove(key);
        }
        for key in joined {
            self.finish(key);
        }
        plan
    }

    /// Starts the children after this one, which are down, when the retry of its start has succeeded.
    pub(super) fn start_those_after(&mut self, key: Key) {
        if self.rules.strategy == Strategy::OneForOne {
            return;
        }
        let at = self.queue_key(key);
        let Some((start_index, _)) = self.order_key(key) else { return };
        let plan = self.queues.get_mut(&at).and_then(|queue| queue.plan.as_mut());
        let Some(plan) = plan.filter(|plan| plan.retry == Some(key)) else { return };
        for (later, child) in self.children.iter_mut().filter(|(_, child)| child.start_index > start_index) {
            // A queued child waits for a retry of its own, from when it had its own plan queue.
            let down = matches!(child.slot, Slot::Down | Slot::Queued);
            if down && child.spec.restart_rule() != Restart::Temporary {
                child.slot = Slot::Queued;
                plan.starts.insert((child.start_index, *later));
            }
        }
    }
}
