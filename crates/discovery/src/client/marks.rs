//! What is known of an incarnation besides the results of its checks: its lease, and whether it is being drained.
//!
//! # Invariants
//!
//! 1. A mark belongs to an incarnation, and goes with it.
//! 2. Marks make a health worse, and never better.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use foundation_kernel::ractor::ActorId;

use crate::health::{CheckRole, InstanceHealth, InstanceStatus, StatusReason};
use crate::instance::InstanceName;
use crate::lease::LeaseState;

/// What is known of one incarnation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mark {
    lease: Option<InstanceHealth>,
    pub(super) draining: bool,
}

impl Mark {
    /// What its lease says: nothing while it is renewed in time.
    pub(super) fn set_lease(&mut self, state: LeaseState) {
        self.lease = match state {
            LeaseState::Suspect { silent_for } => {
                Some(InstanceHealth::because(InstanceStatus::Degraded, StatusReason::LeaseSuspect { silent_for }))
            }
            LeaseState::Kept { silent_for } => {
                Some(InstanceHealth::because(InstanceStatus::Unhealthy, StatusReason::LeaseKept { silent_for }))
            }
            LeaseState::Fresh | LeaseState::Expired { .. } => None,
        };
    }

    fn apply(&self, checked: InstanceHealth) -> InstanceHealth {
        let lease = self.lease.clone().map(|health| (CheckRole::Readiness, health));
        InstanceHealth::combined([(CheckRole::Readiness, checked)].into_iter().chain(lease), self.draining)
    }
}

/// The marks of all incarnations that have any, or had one: then it says nothing.
#[derive(Debug, Default)]
pub(super) struct Marks(HashMap<(InstanceName, ActorId), Mark, RandomState>);

impl Marks {
    pub(super) fn of(&mut self, name: &InstanceName, actor: ActorId) -> &mut Mark {
        self.0.entry((name.clone(), actor)).or_default()
    }

    pub(super) fn remove(&mut self, name: &InstanceName, actor: ActorId) {
        self.0.remove(&(name.clone(), actor));
    }

    /// The health of an incarnation whose checks have found this.
    pub(super) fn apply(&self, name: &InstanceName, actor: ActorId, checked: InstanceHealth) -> InstanceHealth {
        if self.0.is_empty() {
            return checked;
        }
        match self.0.get(&(name.clone(), actor)) {
            Some(mark) => mark.apply(checked),
            None => checked,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&InstanceName, ActorId)> {
        self.0.keys().map(|(name, actor)| (name, *actor))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::samples::statuses;

    fn states() -> impl Strategy<Value = LeaseState> {
        let silent_for = Duration::from_secs(7);
        let all = vec![LeaseState::Fresh, LeaseState::Suspect { silent_for }, LeaseState::Kept { silent_for }];
        proptest::sample::select(all)
    }

    #[test]
    fn a_lease_that_is_kept_makes_its_instance_unhealthy_with_the_reason() {
        let mut mark = Mark::default();
        mark.set_lease(LeaseState::Kept { silent_for: Duration::from_secs(12) });
        let health = mark.apply(InstanceHealth::new(InstanceStatus::Healthy));
        let text = "unhealthy: its lease has run out, not renewed for 12s, and is kept with many others";
        assert_eq!(health.to_string(), text);
    }

    proptest! {
        #[test]
        fn a_mark_makes_no_health_better_and_without_one_it_is_what_the_checks_found(
            status in statuses(), lease in states(), draining: bool,
        ) {
            let mut mark = Mark { draining, ..Mark::default() };
            mark.set_lease(lease);
            let health = mark.apply(InstanceHealth::new(status));
            prop_assert!(health.status >= status);
            prop_assert!(!draining || health.status == InstanceStatus::Draining);
            mark.set_lease(LeaseState::Fresh);
            mark.draining = false;
            prop_assert_eq!(mark.apply(InstanceHealth::new(status)), InstanceHealth::new(status));
        }
    }
}
