//! What follows from the facts: the plans of a supervisor and their steps. The rules are OTP's.
//!
//! This second part of [`Children`] has a file of its own since the rules are read against OTP's, apart from the facts.
//!
//! A delay between the stops and the starts of a restart is like the message that OTP's supervisor sends to itself to
//! retry a restart, only later. Meanwhile the failed child waits, its stopped siblings are down, and the plan queue is
//! free for other work.
//!
//! A new configuration has the consequences of OTP's `code_change`:
//!
//! 1. All or nothing: the caller has checked the specifications, and the rest is checked before anything is changed.
//! 2. A child that runs goes on. Its new specification applies to all later decisions; the plan under way is carried
//!    out as it was decided.
//! 3. A new child is known and stopped. A child that is no longer named stays as it is, after those named.
//! 4. Keys stay, start indices are given anew.
//! 5. The strategy determines what a plan queue is, so it changes when no plan is under way. Until then no plan is
//!    begun; the work that waits in a queue moves to its new one.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorId;
use tokio::time::Instant;

use super::{Children, Refused, Step};
use crate::supervisor::child_id::ChildId;
use crate::supervisor::child_rules::{AutoShutdown, NameTaken, Restart};
use crate::supervisor::children::plan::{Plan, Purpose, Turn, Wait, Work};
use crate::supervisor::children::rules::{ChildSet, Rules};
use crate::supervisor::children::{Child, Slot};
use crate::supervisor::error::{ChildError, SpecError};
use crate::supervisor::key::{Key, StartIndex};
use crate::supervisor::report::ChildEvent;
use crate::supervisor::restart::{RestartCause, RestartLimitExceeded, RestartReason, RestartTrigger, Strategy};
use crate::supervisor::spec::ChildSpec;
use crate::supervisor::started::Incarnation;

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

/// The state of a significant child, for those that ended before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Presence {
    /// Not running, with no start pending.
    Absent,
    /// Decided by the step under way.
    Open,
    /// Running, or ended with its own turn still to come, or to be restarted after a failed restart or a delay.
    Present,
}

/// The rule that applies to a name that is taken: the child's for a restart that is still wanted, and for any other
/// start none.
fn rule(purpose: Purpose, aborting: bool, rule: NameTaken) -> NameTaken {
    if purpose == Purpose::Restart && !aborting { rule } else { NameTaken::Fail }
}

/// The name of a supervisor with such a set of children.
const fn kind(child_set: ChildSet) -> &'static str {
    match child_set {
        ChildSet::Static => "static",
        ChildSet::Dynamic { .. } => "dynamic",
    }
}

impl<T: Incarnation> Children<T> {
    // ---- the next step ----

    /// Whether there may be something to do, whatever the time.
    pub(crate) fn is_ready(&self) -> bool {
        self.queues.is_ready() || self.last_ended.is_some() || self.next_strategy.is_some()
    }

    /// The next thing to do, unless it has to wait for another.
    pub(crate) fn next_step(&mut self, now: Instant) -> Option<Step<T>> {
        while !self.halted {
            self.change_strategy();
            if let Some(stop) = self.auto_shutdown() {
                return Some(stop);
            }
            let queue = self.queues.next_ready()?;
            if let Some(step) = self.advance(queue, now) {
                return Some(step);
            }
        }
        None
    }

    fn advance(&mut self, at: Key, now: Instant) -> Option<Step<T>> {
        // A new strategy may move the work that waits here to another plan queue.
        while let Some(turn) = self.queues.turn(at, self.next_strategy.is_none()) {
            let step = match turn {
                Turn::Stop(key) => self.stop_step(key, now),
                Turn::Start { key, restart, retry } => self.start_step(key, restart, retry, now),
                Turn::Delay { key, starts, delay, not_before, cause } => {
                    let until = not_before.unwrap_or(now).max(now + delay);
                    self.schedule_restart(key, starts, until, cause)
                }
                Turn::Decide(work) => self.decide(at, work, now),
            };
            match &step {
                None => continue,
                Some(Step::Stop { .. } | Step::AwaitExit { .. } | Step::Start { .. }) => self.queues.step_begins(at),
                Some(_) => self.queues.goes_on(at),
            }
            return step;
        }
        None
    }

    fn stop_step(&mut self, key: Key, now: Instant) -> Option<Step<T>> {
        let child = self.table.children.get_mut(&key)?;
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

    fn start_step(&mut self, key: Key, restart: bool, retry: bool, now: Instant) -> Option<Step<T>> {
        let child = self.table.children.get_mut(&key)?;
        if !matches!(child.slot, Slot::Queued) {
            return None;
        }
        child.is_down_from(now);
        child.slot = Slot::Starting;
        self.starting += 1;
        Some(Step::Start { key, spec: child.spec.clone(), restart, retry })
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
        self.queues.set_plan(at, decision.plan);
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
            return Decision { plan: self.table.order_key(key).map(Plan::stop), step: Some(Step::Report { id, what }) };
        }
        let fault = RestartReason::Exited(reason.clone());
        let failure = RestartTrigger::new(spec.id().clone(), fault, incarnation.give_up_reason());
        self.restart(key, failure, false, now)
    }

    fn after_failed_start(&mut self, key: Key, said: Arc<str>, now: Instant) -> Decision<T> {
        let Some(Child { spec, slot: Slot::Queued, .. }) = self.child(key) else {
            return Decision::silent(None);
        };
        let failure = RestartTrigger::new(spec.id().clone(), RestartReason::StartFailed(said), None);
        self.restart(key, failure, true, now)
    }

    fn after_delay(&mut self, key: Key, number: u64, now: Instant) -> Option<Plan> {
        let Slot::Waiting { number: current, cause, .. } = &self.child(key)?.slot else { return None };
        if *current != number {
            return None;
        }
        let cause = cause.clone();
        let wait = self.wait(key, Duration::ZERO, now);
        Some(self.restart_plan(key, true, cause, wait))
    }

    fn after_request(&mut self, key: Key) -> Option<Plan> {
        let child = self.table.children.get_mut(&key)?;
        let Slot::Requested(purpose) = child.slot else {
            return None;
        };
        child.slot = Slot::Queued;
        Some(Plan::start(purpose, (child.start_index, key)))
    }

    fn after_terminate(&mut self, key: Key) -> Option<Plan> {
        let child = self.table.children.get(&key)?;
        match child.slot {
            Slot::Running(_) | Slot::Exited(..) => Some(Plan::stop((child.start_index, key))),
            Slot::Queued | Slot::Requested(_) | Slot::Waiting { .. } => {
                self.finish(key);
                None
            }
            _ => None,
        }
    }

    // ---- restarts ----

    fn restart(&mut self, key: Key, failure: RestartTrigger, retry: bool, now: Instant) -> Decision<T> {
        let id = failure.child.clone();
        self.failures.push(failure.clone());
        let window = self.table.children.get_mut(&key).and_then(|child| child.own_window()).unwrap_or(&mut self.window);
        let admitted = window.admit(now);
        let (strategy, intensity, used) = (self.rules.strategy, window.intensity(), window.used(now));
        if !admitted {
            self.halted = true;
            let (count, own) = (used.saturating_add(1), self.counts_alone(&id));
            let in_window =
                |failure: &RestartTrigger| if own { failure.child == id } else { !self.counts_alone(&failure.child) };
            let why =
                RestartLimitExceeded { triggers: self.failures.latest(count, in_window), count, strategy, intensity };
            return Decision { plan: None, step: Some(Step::GiveUp { id, why: Arc::new(why) }) };
        }
        let cause = Arc::new(RestartCause { trigger: failure, strategy, used, intensity });
        let delay = self.next_delay(key);
        let wait = self.wait(key, delay, now);
        let plan = self.restart_plan(key, retry, Some(Arc::clone(&cause)), wait);
        let what = ChildEvent::Restarting { cause, delay };
        Decision { plan: Some(plan), step: Some(Step::Report { id, what }) }
    }

    /// Whether the failures of this child count in a window of its own.
    fn counts_alone(&self, id: &ChildId) -> bool {
        self.table.children.values().any(|child| child.spec.id() == id && child.spec.intensity_rule().is_some())
    }

    /// Erlang's `restart/2`: stops the affected children that still run, then starts all of them that may restart.
    fn restart_plan(&mut self, failed: Key, retry: bool, cause: Option<Arc<RestartCause>>, wait: Option<Wait>) -> Plan {
        let children = &mut self.table.children;
        let Child { start_index: at, spec, .. } = &*children[&failed];
        let at = *at;
        // A child that became temporary while it waited for its restart is not started again, and no other waits for
        // it.
        let stays = spec.restart_rule() != Restart::Temporary;
        let (retry, wait) = (retry && stays, wait.filter(|_| stays));
        let (among, from) = match self.rules.strategy {
            Strategy::OneForOne => (children.range_mut(failed..=failed), at),
            Strategy::OneForAll => (children.range_mut(..), 0),
            Strategy::RestForOne => (children.range_mut(..), at),
        };
        let mut plan = Plan::restart(retry.then_some(failed), cause, wait);
        let (mut forgotten, mut joined) = (Vec::new(), Vec::new());
        for (key, child) in among.filter(|(_, child)| child.start_index >= from) {
            let order_key = (child.start_index, *key);
            let waits = retry && child.start_index > at;
            let temporary = child.spec.restart_rule() == Restart::Temporary;
            match child.slot {
                // Its own turn comes later.
                Slot::Requested(_) => continue,
                Slot::Running(_) | Slot::Exited(..) => plan.stops_also(order_key),
                _ if temporary => forgotten.push(*key),
                // Its delay has become part of this one.
                Slot::Waiting { .. } if waits => joined.push(*key),
                _ if waits => continue,
                _ => child.slot = Slot::Queued,
            }
            if !waits && !temporary {
                plan.starts_also(order_key);
            }
        }
        for key in forgotten {
            self.table.remove(key);
        }
        for key in joined {
            self.finish(key);
        }
        plan
    }

    // ---- delays ----

    /// The delay of the restart after this failure of a child.
    fn next_delay(&mut self, key: Key) -> Duration {
        let Some(child) = self.table.children.get_mut(&key) else { return Duration::ZERO };
        let backoff = child.spec.backoff_rule().unwrap_or(self.rules.backoff);
        child.fail(backoff, &mut self.jitter_rng)
    }

    /// What the restart of this child has to wait for. Children that restart together wait for the last of them.
    fn wait(&self, key: Key, delay: Duration, now: Instant) -> Option<Wait> {
        let not_before = match self.rules.strategy {
            Strategy::OneForOne => None,
            Strategy::OneForAll => self.latest_delay_of_others(key, 0, now),
            Strategy::RestForOne => self.latest_delay_of_others(key, self.table.order_key(key)?.0, now),
        };
        Wait::of(key, delay, not_before)
    }

    fn latest_delay_of_others(&self, key: Key, from: StartIndex, now: Instant) -> Option<Instant> {
        let others = self.table.children.iter().filter(|(other, child)| **other != key && child.start_index >= from);
        let until = others.filter_map(|(_, child)| match child.slot {
            Slot::Waiting { until, .. } => until,
            _ => None,
        });
        until.filter(|until| *until > now).max()
    }

    /// Begins the delay once all affected children are stopped: the failed one waits, the others are down, the queue is
    /// free.
    fn schedule_restart(
        &mut self,
        key: Key,
        starts: Vec<Key>,
        until: Instant,
        cause: Option<Arc<RestartCause>>,
    ) -> Option<Step<T>> {
        let wanted = starts.contains(&key);
        for other in starts.into_iter().filter(|other| *other != key) {
            self.finish(other);
        }
        if !wanted {
            // It was terminated meanwhile; its stopped siblings stay down, as later in the delay.
            return None;
        }
        let number = self.begin_waiting(key, Some(until), cause)?;
        Some(Step::Delay { key, number, until })
    }

    fn begin_waiting(&mut self, key: Key, until: Option<Instant>, cause: Option<Arc<RestartCause>>) -> Option<u64> {
        self.last_delay += 1;
        let number = self.last_delay;
        self.table.children.get_mut(&key)?.slot = Slot::Waiting { number, until, cause };
        Some(number)
    }

    /// Notes that another actor has the name of a child whose start is under way: no failure, but a wait or a stop.
    /// `again` if its supervisor itself is being restarted, and starts its first children.
    ///
    /// In a wait its queue is free for other work, and the children that were to start after it are down meanwhile, as
    /// in a delay.
    pub(crate) fn name_taken(&mut self, key: Key, again: bool) -> Refused {
        let purpose = if again { Purpose::Restart } else { self.purpose(key).unwrap_or(Purpose::Add) };
        let Some(child) = self.child(key) else { return Refused::Fails };
        match rule(purpose, matches!(child.slot, Slot::Aborting), child.spec.name_taken_rule()) {
            NameTaken::Wait => {
                self.start_is_over(key);
                let cause = self.give_up_plan(key);
                let number = self.begin_waiting(key, None, cause);
                self.step_is_over(key);
                number.map_or(Refused::Fails, Refused::Waits)
            }
            NameTaken::Rest => {
                self.ignored(key);
                Refused::Rests
            }
            NameTaken::Fail => Refused::Fails,
        }
    }

    // ---- auto-shutdown ----
    //
    // OTP handles one event after the other. Here, one-for-one may have several children in transition, and one of them
    // may decide whether another was the last significant one. The supervisor then waits for the outcome of that child's
    // step.

    /// Notes that a child has ended by itself and is not restarted: if it was significant, the supervisor may have to
    /// stop.
    fn ended_for_good(&mut self, key: Key) {
        let Some(child) = self.table.children.get(&key).filter(|child| child.spec.is_significant()) else { return };
        if self.rules.auto_shutdown != AutoShutdown::Never {
            self.last_ended = Some((key, child.spec.id().clone()));
        }
    }

    /// The stop of the supervisor, if the end of a significant child requires it.
    fn auto_shutdown(&mut self) -> Option<Step<T>> {
        let (key, _) = self.last_ended.as_ref()?;
        let mode = self.rules.auto_shutdown;
        let presence = match mode {
            AutoShutdown::Never => Presence::Present,
            AutoShutdown::AnySignificant => Presence::Absent,
            AutoShutdown::AllSignificant => self.others_than(*key),
        };
        if presence == Presence::Open {
            return None;
        }
        let (_, id) = self.last_ended.take()?;
        self.halted = presence == Presence::Absent;
        self.halted.then_some(Step::AutoShutdown { id, mode })
    }

    fn others_than(&self, ended: Key) -> Presence {
        // It may run again meanwhile, by request.
        let is_it = |key: Key, child: &Child<T>| key == ended && matches!(child.slot, Slot::Exited(..));
        let significant = self.table.children.iter().filter(|(_, child)| child.spec.is_significant());
        let others = significant.filter(|(key, child)| !is_it(**key, child));
        others.map(|(key, child)| self.presence(*key, child)).max().unwrap_or(Presence::Absent)
    }

    fn presence(&self, key: Key, child: &Child<T>) -> Presence {
        match child.slot {
            Slot::Starting | Slot::Stopping | Slot::Aborting => Presence::Open,
            Slot::Queued if self.is_to_be_started(key) => Presence::Open,
            Slot::Running(_) | Slot::Exited(..) | Slot::Queued | Slot::Waiting { .. } => Presence::Present,
            // A queued request comes after the end that is judged here.
            Slot::Down | Slot::Requested(_) => Presence::Absent,
        }
    }

    // ---- a new configuration ----

    /// Replaces rules and specifications; with children on demand, the rules alone.
    pub(crate) fn reconfigure(&mut self, rules: Rules, specs: Vec<ChildSpec>) -> Result<(), SpecError> {
        let (is, asked) = (kind(self.rules.child_set), kind(rules.child_set));
        if is != asked {
            return Err(SpecError::OtherKind { is, asked });
        }
        self.window.change(rules.intensity);
        if self.next_strategy.is_some() {
            self.queues.wake_all();
        }
        self.next_strategy = (rules.strategy != self.rules.strategy).then_some(rules.strategy);
        self.rules = Rules { strategy: self.rules.strategy, ..rules };
        if rules.child_set == ChildSet::Static {
            let named = specs.into_iter().map(|spec| self.replace_spec(spec)).collect();
            self.table.reorder(named);
            self.queues.reorder(|key| self.table.order_key(key));
        }
        Ok(())
    }

    /// Replaces the specification of one child, which keeps its place.
    pub(crate) fn reconfigure_child(&mut self, spec: ChildSpec) -> Result<(), ChildError> {
        spec.check(&self.rules)?;
        let key = self.table.find(spec.id().as_str())?;
        if let Some(child) = self.table.children.get_mut(&key) {
            child.respecify(spec);
        }
        Ok(())
    }

    fn replace_spec(&mut self, spec: ChildSpec) -> Key {
        let known = self.table.by_id.get::<ChildId>(spec.id()).copied();
        let Some((key, child)) = known.and_then(|key| Some((key, self.table.children.get_mut(&key)?))) else {
            return self.table.enter(spec, Slot::Down, true);
        };
        child.respecify(spec);
        key
    }

    /// Changes the strategy if a new one waits and no plan is under way.
    fn change_strategy(&mut self) {
        let Some(strategy) = self.next_strategy.take_if(|_| self.queues.are_idle()) else { return };
        self.rules.strategy = strategy;
        self.queues.change(strategy);
        self.queues.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::Strategy as Generator;

    use super::*;

    fn purposes() -> impl Generator<Value = Purpose> {
        prop::sample::select(vec![Purpose::Restart, Purpose::Add, Purpose::ManualStart, Purpose::Stop])
    }

    fn rules() -> impl Generator<Value = NameTaken> {
        prop::sample::select(vec![NameTaken::Wait, NameTaken::Rest, NameTaken::Fail])
    }

    proptest! {
        #[test]
        fn the_rule_holds_for_restarts_that_are_wanted_and_for_nothing_else(
            purpose in purposes(),
            aborting: bool,
            of_child in rules(),
        ) {
            let holds = purpose == Purpose::Restart && !aborting;
            prop_assert_eq!(rule(purpose, aborting, of_child), if holds { of_child } else { NameTaken::Fail });
        }
    }
}
