//! Restarts that are refused because another actor has the child's name: no failure, but a wait or a stop.

use std::sync::Arc;

use super::chain::RestartCause;
use super::child::Slot;
use super::child_spec::{ChildSpec, NameTaken};
use super::children::Children;
use super::error::ChildError;
use super::plan::{Delay, Key, Purpose};
use super::restart::Strategy;
use super::started::Incarnation;

/// What happens to a child whose start was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It waits until its name is free; then report `delay_over` with this number.
    Waits(u64),
    /// It is stopped, as its rule says.
    Rests,
    /// The start failed like any other; report `start_failed`.
    Fails,
}

/// The rule that applies: the child's for a restart that is still wanted, and for any other start none.
fn rule(purpose: Purpose, aborting: bool, rule: NameTaken) -> NameTaken {
    if purpose == Purpose::Restart && !aborting { rule } else { NameTaken::Fail }
}

impl<T: Incarnation> Children<T> {
    /// Notes that another actor has the name of a child whose start is under way. `again` if its supervisor itself is
    /// being restarted, and starts its first children.
    pub(crate) fn name_taken(&mut self, key: Key, again: bool) -> Refused {
        let purpose = if again { Purpose::Restart } else { self.purpose(key).unwrap_or(Purpose::Add) };
        let Some(child) = self.child(key) else { return Refused::Fails };
        match rule(purpose, matches!(child.slot, Slot::Aborting), child.spec.name_taken_rule()) {
            NameTaken::Wait => Refused::Waits(self.wait_for_name(key)),
            NameTaken::Rest => {
                self.ignored(key);
                Refused::Rests
            }
            NameTaken::Fail => Refused::Fails,
        }
    }

    /// As with a delay: its queue is free for other work, and the children that were to start after it are down
    /// meanwhile.
    fn wait_for_name(&mut self, key: Key) -> u64 {
        self.start_is_over(key);
        let cause = self.give_up_plan(key);
        self.last_delay += 1;
        let number = self.last_delay;
        if let Some(child) = self.children.get_mut(&key) {
            child.slot = Slot::Waiting(Delay { number, until: None, cause });
        }
        self.step_is_over(key);
        number
    }

    /// Removes the remaining starts of the plan that this child belongs to; returns why the plan was made.
    pub(super) fn give_up_plan(&mut self, key: Key) -> Option<Arc<RestartCause>> {
        let plan = self.queue_of(key).and_then(|queue| queue.plan.take())?;
        for (_, later) in plan.starts {
            self.finish(later);
        }
        plan.cause
    }

    /// Whether children that come later have to wait for those before them.
    pub(crate) fn is_ordered(&self) -> bool {
        self.rules.strategy != Strategy::OneForOne
    }

    /// Adds a child that is started when an earlier one has been started.
    pub(crate) fn add_stopped(&mut self, spec: ChildSpec) -> Result<Key, ChildError> {
        self.admit(spec, Slot::Down)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn purposes() -> impl Strategy_<Value = Purpose> {
        prop::sample::select(vec![Purpose::Restart, Purpose::Add, Purpose::ManualStart, Purpose::Stop])
    }

    use proptest::strategy::Strategy as Strategy_;

    fn rules() -> impl Strategy_<Value = NameTaken> {
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
