//! The instances as they have been reported, and what is reported next.

use std::collections::{BTreeMap, BTreeSet};

use super::event::DiscoveryEvent;
use crate::catalog::{InstanceChange, RemovalCause};
use crate::instance::{InstanceName, InstanceRecord};

/// The instances whose addition has been reported, and whose removal has not been.
///
/// It is the reader's own position in a watch and no copy that is read: a snapshot becomes the difference to it, so nothing
/// is reported twice, and nothing that has happened meanwhile is left out.
#[derive(Debug, Default)]
pub(super) struct Reported(BTreeMap<InstanceName, InstanceRecord>);

impl Reported {
    /// What a change says that has not been reported.
    pub(super) fn apply(&mut self, change: InstanceChange) -> Vec<DiscoveryEvent> {
        match change {
            InstanceChange::Removed { instance, cause } => self.remove(instance.name(), cause).into_iter().collect(),
            change => change.instance().cloned().map(|it| self.put(it)).unwrap_or_default(),
        }
    }

    /// What a snapshot of all instances says that has not been reported. Cost: a lookup for each instance that is there, and
    /// for each that was.
    pub(super) fn reset(&mut self, instances: Vec<InstanceRecord>) -> Vec<DiscoveryEvent> {
        let present: BTreeSet<_> = instances.iter().map(InstanceRecord::name).collect();
        let gone: Vec<_> = self.0.keys().filter(|name| !present.contains(name)).cloned().collect();
        let mut events: Vec<_> = gone.iter().filter_map(|name| self.remove(name, RemovalCause::Missed)).collect();
        events.extend(instances.into_iter().flat_map(|instance| self.put(instance)));
        events
    }

    /// An instance that is there.
    fn put(&mut self, instance: InstanceRecord) -> Vec<DiscoveryEvent> {
        let mut events = Vec::new();
        if self.0.get(instance.name()).is_some_and(|known| known.actor != instance.actor) {
            events.extend(self.remove(instance.name(), RemovalCause::Missed));
        }
        let before = self.0.insert(instance.name().clone(), instance.clone());
        events.extend(difference(before, instance));
        events
    }

    fn remove(&mut self, name: &InstanceName, cause: RemovalCause) -> Option<DiscoveryEvent> {
        let instance = self.0.remove(name)?;
        Some(DiscoveryEvent::InstanceRemoved { instance, cause })
    }
}

/// How one incarnation differs from itself before. A change of the reason of a status alone is no event.
fn difference(before: Option<InstanceRecord>, instance: InstanceRecord) -> Option<DiscoveryEvent> {
    match before {
        None => Some(DiscoveryEvent::InstanceAdded { instance }),
        Some(before) if before.status() != instance.status() => {
            Some(DiscoveryEvent::StatusChanged { from: before.health, instance })
        }
        Some(before) if before.instance != instance.instance => Some(DiscoveryEvent::InstanceUpdated { instance }),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use foundation_kernel::ractor::ActorId;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::samples::records;

    type Known = BTreeMap<InstanceName, InstanceRecord>;

    /// What a reader of the events knows; it panics if they are out of order.
    fn apply(known: &mut Known, event: DiscoveryEvent) {
        match event {
            DiscoveryEvent::InstanceAdded { instance } => {
                assert_eq!(known.insert(instance.name().clone(), instance), None, "added once");
            }
            DiscoveryEvent::InstanceUpdated { instance } => {
                let before = known.insert(instance.name().clone(), instance.clone()).expect("it is there");
                assert!(before.actor == instance.actor && before.status() == instance.status());
            }
            DiscoveryEvent::StatusChanged { from, instance } => {
                let before = known.insert(instance.name().clone(), instance.clone()).expect("it is there");
                assert!(before.health == from && before.status() != instance.status());
            }
            DiscoveryEvent::InstanceRemoved { instance, .. } => {
                assert_eq!(known.remove(instance.name()), Some(instance), "it was there");
            }
            other => panic!("{other:?}"),
        }
    }

    fn seen(
        known: &Known,
    ) -> Vec<(InstanceName, ActorId, crate::health::InstanceStatus, std::sync::Arc<crate::Instance>)> {
        known.iter().map(|(name, it)| (name.clone(), it.actor, it.status(), it.instance.clone())).collect()
    }

    #[derive(Debug, Clone)]
    enum Step {
        Snapshot(Vec<InstanceRecord>),
        There(InstanceRecord),
        Gone(InstanceRecord),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            1 => vec(records(), 0..5).prop_map(Step::Snapshot),
            4 => records().prop_map(Step::There),
            2 => records().prop_map(Step::Gone),
        ];
        vec(step, 0..30)
    }

    fn by_name(records: &[InstanceRecord]) -> Known {
        records.iter().map(|it| (it.name().clone(), it.clone())).collect()
    }

    proptest! {
        #[test]
        fn the_events_of_any_history_lead_to_what_is_there(steps in steps()) {
            let (mut reported, mut known, mut truth) = (Reported::default(), Known::new(), Known::new());
            for step in steps {
                let events = match step {
                    Step::Snapshot(all) => {
                        truth = by_name(&all);
                        reported.reset(truth.values().cloned().collect())
                    }
                    Step::There(it) => {
                        truth.insert(it.name().clone(), it.clone());
                        reported.apply(InstanceChange::Added(it))
                    }
                    Step::Gone(it) => {
                        truth.remove(it.name());
                        let cause = RemovalCause::Withdrawn;
                        reported.apply(InstanceChange::Removed { instance: it, cause })
                    }
                };
                events.into_iter().for_each(|event| apply(&mut known, event));
                prop_assert_eq!(seen(&known), seen(&truth));
            }
        }

        #[test]
        fn a_snapshot_that_is_read_again_says_nothing_new(records in vec(records(), 0..6)) {
            let all: Vec<_> = by_name(&records).into_values().collect();
            let mut reported = Reported::default();
            prop_assert_eq!(reported.reset(all.clone()).len(), all.len());
            prop_assert_eq!(reported.reset(all), []);
        }
    }
}
