//! What follows from the facts: the plans of a supervisor and their steps. The rules are OTP's.

use ractor::ActorId;
use tokio::time::Instant;

use super::children::{Child, Children, Slot, Step};
use super::plan::{Key, Plan, Work};
use super::restart::{Restart, Strategy};
use super::started::Incarnation;

impl<T: Incarnation> Children<T> {
    /// The next thing to do, if there is one that does not have to wait for another.
    pub(crate) fn next_step(&mut self, now: Instant) -> Option<Step<T>> {
        while !self.halted {
            self.change_strategy();
            if let Some(stop) = self.auto_shutdown() {
                return Some(stop);
            }
            let lane = self.ready.pop_front()?;
            if let Some(step) = self.advance(lane, now) {
                return Some(step);
            }
        }
        None
    }

    fn advance(&mut self, at: Key, now: Instant) -> Option<Step<T>> {
        loop {
            let lane = self.lanes.get_mut(&at)?;
            if lane.under_way {
                return None;
            }
            if lane.plan.is_some() {
                if let Some(step) = self.step_of_plan(at) {
                    return Some(step);
                }
                self.lanes.get_mut(&at)?.plan = None;
            } else if self.next_strategy.is_some() {
                // The new strategy may put what waits here into another lane.
                return None;
            } else if let Some(work) = lane.waiting.pop_front() {
                if let Some(give_up) = self.decide(at, work, now) {
                    return Some(give_up);
                }
            } else {
                self.lanes.remove(&at);
                return None;
            }
        }
    }

    fn step_of_plan(&mut self, at: Key) -> Option<Step<T>> {
        loop {
            let lane = self.lanes.get_mut(&at)?;
            let plan = lane.plan.as_mut()?;
            let ((_, key), stops) = match plan.stops.pop_last() {
                Some(turn) => (turn, true),
                None => (plan.starts.pop_first()?, false),
            };
            let retry = plan.retry == Some(key);
            let step = if stops { self.stop_step(key) } else { self.start_step(key, retry) };
            if step.is_some() {
                self.lanes.get_mut(&at)?.under_way = true;
                return step;
            }
        }
    }

    fn stop_step(&mut self, key: Key) -> Option<Step<T>> {
        let child = self.children.get_mut(&key)?;
        let rule = child.spec.shutdown_rule();
        match std::mem::replace(&mut child.slot, Slot::Stopping) {
            Slot::Running(incarnation) => {
                self.by_actor.remove(&incarnation.actor_id());
                Some(Step::Stop { key, child: incarnation, rule })
            }
            Slot::Exited(incarnation, _) => Some(Step::Bury { key, child: incarnation }),
            other => {
                child.slot = other;
                None
            }
        }
    }

    fn start_step(&mut self, key: Key, retry: bool) -> Option<Step<T>> {
        let child = self.children.get_mut(&key)?;
        if !matches!(child.slot, Slot::Queued) {
            return None;
        }
        child.slot = Slot::Starting;
        self.starting += 1;
        Some(Step::Start { key, spec: child.spec.clone(), retry })
    }

    // ---- decisions ----

    fn decide(&mut self, at: Key, work: Work, now: Instant) -> Option<Step<T>> {
        let plan = match work {
            Work::Exited(key, actor) => match self.after_exit(key, actor, now) {
                Err(give_up) => return Some(give_up),
                Ok(plan) => plan,
            },
            Work::Retry(key) if self.is_queued(key) => match self.restart(key, true, now) {
                Err(give_up) => return Some(give_up),
                Ok(plan) => Some(plan),
            },
            Work::Start(key) => self.after_request(key),
            Work::Terminate(key) => self.after_terminate(key),
            Work::Retry(_) => None,
        };
        if let Some(lane) = self.lanes.get_mut(&at) {
            lane.plan = plan;
        }
        None
    }

    fn after_exit(&mut self, key: Key, actor: ActorId, now: Instant) -> Result<Option<Plan>, Step<T>> {
        let Some(Child { spec, slot: Slot::Exited(incarnation, reason), .. }) = self.children.get(&key) else {
            return Ok(None);
        };
        if incarnation.actor_id() != actor {
            return Ok(None);
        }
        if !spec.restart_rule().wants(reason) {
            self.ended_for_good(key);
            return self.auto_shutdown().map_or_else(|| Ok(self.turn(key).map(Plan::stop)), Err);
        }
        self.restart(key, false, now).map(Some)
    }

    fn after_request(&mut self, key: Key) -> Option<Plan> {
        let child = self.children.get_mut(&key)?;
        let Slot::Requested(purpose) = child.slot else {
            return None;
        };
        child.slot = Slot::Queued;
        Some(Plan::start(purpose, (child.place, key)))
    }

    fn after_terminate(&mut self, key: Key) -> Option<Plan> {
        let child = self.children.get(&key)?;
        match child.slot {
            Slot::Running(_) | Slot::Exited(..) => Some(Plan::stop((child.place, key))),
            Slot::Queued | Slot::Requested(_) => {
                self.settle(key);
                None
            }
            _ => None,
        }
    }

    fn restart(&mut self, cause: Key, retry: bool, now: Instant) -> Result<Plan, Step<T>> {
        if self.window.admit(now) {
            return Ok(self.restart_plan(cause, retry));
        }
        self.halted = true;
        let id = self.children[&cause].spec.id().clone();
        Err(Step::GiveUp { id })
    }

    /// Erlang's `restart/2`: stop whoever still runs among those concerned, then start all of them that may restart.
    fn restart_plan(&mut self, cause: Key, retry: bool) -> Plan {
        let Child { place: at, spec, .. } = &self.children[&cause];
        let at = *at;
        // A child that has become temporary while it waited for its retry is not started again; nobody waits for it.
        let retry = retry && spec.restart_rule() != Restart::Temporary;
        let (among, from) = match self.rules.strategy {
            Strategy::OneForOne => (self.children.range_mut(cause..=cause), at),
            Strategy::OneForAll => (self.children.range_mut(..), 0),
            Strategy::RestForOne => (self.children.range_mut(..), at),
        };
        let mut plan = Plan::restart(retry.then_some(cause));
        let mut forgotten = Vec::new();
        for (key, child) in among.filter(|(_, child)| child.place >= from) {
            let turn = (child.place, *key);
            let waits = retry && child.place > at;
            let temporary = child.spec.restart_rule() == Restart::Temporary;
            match child.slot {
                // Its own turn comes later.
                Slot::Requested(_) => continue,
                Slot::Running(_) | Slot::Exited(..) => {
                    plan.stops.insert(turn);
                }
                _ if temporary => forgotten.push(*key),
                _ if waits => continue,
                _ => child.slot = Slot::Queued,
            }
            if !waits && !temporary {
                plan.starts.insert(turn);
            }
        }
        for key in forgotten {
            self.remove(key);
        }
        plan
    }

    /// The retry of this child's start has succeeded: those after it, which are down, have waited for that.
    pub(super) fn start_those_after(&mut self, key: Key) {
        let at = self.lane_key(key);
        let Some((place, _)) = self.turn(key) else { return };
        let plan = self.lanes.get_mut(&at).and_then(|lane| lane.plan.as_mut());
        let Some(plan) = plan.filter(|plan| plan.retry == Some(key)) else { return };
        if self.rules.strategy == Strategy::OneForOne {
            return;
        }
        for (later, child) in self.children.iter_mut().filter(|(_, child)| child.place > place) {
            // One that is queued waits for a retry of its own, from when it had a lane of its own.
            let down = matches!(child.slot, Slot::Down | Slot::Queued);
            if down && child.spec.restart_rule() != Restart::Temporary {
                child.slot = Slot::Queued;
                plan.starts.insert((child.place, *later));
            }
        }
    }
}
