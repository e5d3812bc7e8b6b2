//! New rules and specifications for a supervisor that runs: the consequences of OTP's `code_change`.
//!
//! 1. All or nothing: the caller has checked the specifications, and the rest is checked before anything is changed.
//! 2. A child that runs goes on. Its new specification applies to all later decisions; the plan under way is carried
//!    out as it was decided.
//! 3. A new child is known and stopped. A child that is no longer named stays as it is, after those named.
//! 4. Keys stay, start indices are given anew.
//! 5. The strategy determines what a plan queue is, so it changes when no plan is under way. Until then no plan is
//!    begun; the work that waits in a queue moves to its new one.

use std::collections::{HashSet, VecDeque};

use super::child::Slot;
use super::child_id::ChildId;
use super::child_spec::ChildSpec;
use super::children::Children;
use super::error::SpecError;
use super::plan::{Key, PlanQueue, Work};
use super::restart::{Restart, Strategy};
use super::rules::{ChildSet, Rules};
use super::started::Incarnation;

impl<T: Incarnation> Children<T> {
    /// Replaces rules and specifications; with children on demand, the rules alone.
    pub(crate) fn reconfigure(&mut self, rules: Rules, specs: Vec<ChildSpec>) -> Result<(), SpecError> {
        if self.rules.child_set.kind() != rules.child_set.kind() {
            return Err(SpecError::OtherKind { is: self.rules.child_set.kind(), asked: rules.child_set.kind() });
        }
        self.window.change(rules.intensity);
        if self.next_strategy.is_some() {
            self.wake_queues();
        }
        self.next_strategy = (rules.strategy != self.rules.strategy).then_some(rules.strategy);
        self.rules = Rules { strategy: self.rules.strategy, ..rules };
        if rules.child_set == ChildSet::Static {
            self.replace_specs(specs);
        }
        Ok(())
    }

    fn replace_specs(&mut self, specs: Vec<ChildSpec>) {
        let mut order: Vec<Key> = specs.into_iter().map(|spec| self.replace_spec(spec)).collect();
        let before = self.in_order();
        let named: HashSet<Key> = order.iter().copied().collect();
        order.extend(before.into_iter().filter(|key| !named.contains(key)));
        for key in order {
            let start_index = self.next_start_index();
            if let Some(child) = self.children.get_mut(&key) {
                child.start_index = start_index;
            }
        }
        for queue in self.queues.values_mut() {
            queue.replace(|key| self.children.get(&key).map(|child| child.start_index));
        }
    }

    fn replace_spec(&mut self, spec: ChildSpec) -> Key {
        let known = self.by_id.get::<ChildId>(spec.id()).copied();
        let Some((key, child)) = known.and_then(|key| Some((key, self.children.get_mut(&key)?))) else {
            return self.enter(spec, Slot::Down);
        };
        child.spec = spec;
        if child.spec.restart_rule() == Restart::Temporary && matches!(child.slot, Slot::Running(_) | Slot::Exited(..))
        {
            child.spec.forget_start();
        }
        key
    }

    /// Changes the strategy if a new one waits and no plan is under way.
    pub(super) fn change_strategy(&mut self) {
        let idle = |queue: &PlanQueue| queue.plan.is_none() && !queue.under_way;
        let Some(strategy) = self.next_strategy.take_if(|_| self.queues.values().all(idle)) else { return };
        let one_queue = |strategy| strategy != Strategy::OneForOne;
        let moves = one_queue(self.rules.strategy) != one_queue(strategy);
        self.rules.strategy = strategy;
        if moves {
            let queues = std::mem::take(&mut self.queues);
            let mut waiting: Vec<(Key, VecDeque<Work>)> =
                queues.into_iter().map(|(at, queue)| (at, queue.waiting)).collect();
            waiting.sort_unstable_by_key(|(at, _)| *at);
            for work in waiting.into_iter().flat_map(|(_, waiting)| waiting) {
                self.enqueue(work.key(), work);
            }
        }
        self.wake_queues();
    }

    /// Schedules every queue again: while a strategy waits, queues are passed over.
    fn wake_queues(&mut self) {
        let mut queues: Vec<Key> = self.queues.keys().copied().collect();
        queues.sort_unstable();
        self.ready = queues.into();
    }
}
