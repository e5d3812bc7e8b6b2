//! How many instances of each service have which status, from the events of discovery.
//!
//! # Invariants
//!
//! 1. The counts are those of the instances that the events say are there: each event changes them by what it says.
//! 2. A service without instances is not kept.
//! 3. At most so many services are measured as there is room for; one that goes makes room for another one.

use std::collections::BTreeMap;

use foundation_discovery::DiscoveryEvent;
use foundation_discovery::health::InstanceStatus;
use foundation_kernel::names::ServiceName;

/// The most services whose instances are measured; the picks of further ones are measured together.
pub(super) const MAX_SERVICES: usize = 256;

/// The statuses, with the values of their label.
pub(super) const STATUSES: [(InstanceStatus, &str); 5] = [
    (InstanceStatus::Healthy, "healthy"),
    (InstanceStatus::Unknown, "unknown"),
    (InstanceStatus::Degraded, "degraded"),
    (InstanceStatus::Unhealthy, "unhealthy"),
    (InstanceStatus::Draining, "draining"),
];

/// How many instances have which status, in the order of [`STATUSES`].
pub(super) type Counts = [usize; STATUSES.len()];

/// The counts of all services.
#[derive(Debug)]
pub(super) struct InstanceCounts {
    services: BTreeMap<ServiceName, Counted>,
    measured: usize,
    max_measured: usize,
}

#[derive(Debug, Default)]
struct Counted {
    counts: Counts,
    is_measured: bool,
}

/// What follows from an event for the measurements of its service.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CountChange {
    /// The counts are these.
    Set(Counts),
    /// The service has no instance any more.
    Gone,
}

impl InstanceCounts {
    /// Without an instance; so many services are measured at most.
    pub(super) fn new(max_measured: usize) -> Self {
        Self { services: BTreeMap::new(), measured: 0, max_measured }
    }

    /// Counts an event. `None` if no count changes, or the service is not measured.
    pub(super) fn apply(&mut self, event: &DiscoveryEvent) -> Option<CountChange> {
        let (service, before, after) = match event {
            DiscoveryEvent::InstanceAdded { instance } => (instance.service(), None, Some(instance.status())),
            DiscoveryEvent::StatusChanged { from, instance } => {
                (instance.service(), Some(from.status), Some(instance.status()))
            }
            DiscoveryEvent::InstanceRemoved { instance, .. } => (instance.service(), Some(instance.status()), None),
            _ => return None,
        };
        let counted = self.services.entry(service.clone()).or_default();
        before.and_then(place).into_iter().for_each(|at| counted.counts[at] = counted.counts[at].saturating_sub(1));
        after.and_then(place).into_iter().for_each(|at| counted.counts[at] += 1);
        if counted.counts == Counts::default() {
            let was_measured = counted.is_measured;
            self.services.remove(service);
            self.measured -= usize::from(was_measured);
            return was_measured.then_some(CountChange::Gone);
        }
        if !counted.is_measured && self.measured < self.max_measured {
            counted.is_measured = true;
            self.measured += 1;
        }
        counted.is_measured.then_some(CountChange::Set(counted.counts))
    }
}

fn place(status: InstanceStatus) -> Option<usize> {
    STATUSES.iter().position(|(it, _)| *it == status)
}

#[cfg(test)]
mod tests {
    use foundation_discovery::health::InstanceHealth;
    use foundation_discovery::{Instance, InstanceRecord, RemovalCause};
    use foundation_kernel::ractor::ActorId;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MAX_MEASURED: usize = 2;

    fn record(service: usize, id: usize, status: InstanceStatus) -> InstanceRecord {
        let instance = Instance::builder(format!("service-{service}"), id.to_string()).build().unwrap();
        InstanceRecord::new(instance, ActorId::Local(1)).with_health(InstanceHealth::new(status))
    }

    fn counts(known: &BTreeMap<(usize, usize), InstanceStatus>, service: usize) -> Counts {
        STATUSES.map(|(status, _)| known.iter().filter(|((of, _), it)| *of == service && **it == status).count())
    }

    proptest! {
        #[test]
        fn the_counts_are_those_of_the_instances_that_are_there(
            steps in vec((0..4_usize, 0..3_usize, prop::option::of(0..STATUSES.len())), 0..60),
        ) {
            let (mut instances, mut known) = (InstanceCounts::new(MAX_MEASURED), BTreeMap::new());
            let mut gauges: BTreeMap<usize, Counts> = BTreeMap::new();
            for (service, id, status) in steps {
                let status = status.map(|at| STATUSES[at].0);
                let before = known.remove(&(service, id));
                known.extend(status.map(|status| ((service, id), status)));
                let event = match (before, status) {
                    (None, None) => continue,
                    (None, Some(status)) => DiscoveryEvent::InstanceAdded { instance: record(service, id, status) },
                    (Some(from), Some(status)) => DiscoveryEvent::StatusChanged {
                        from: InstanceHealth::new(from), instance: record(service, id, status),
                    },
                    (Some(from), None) => DiscoveryEvent::InstanceRemoved {
                        instance: record(service, id, from), cause: RemovalCause::Withdrawn,
                    },
                };
                match instances.apply(&event) {
                    Some(CountChange::Set(counts)) => drop(gauges.insert(service, counts)),
                    Some(CountChange::Gone) => prop_assert!(gauges.remove(&service).is_some()),
                    None => {}
                }
                prop_assert!(gauges.len() <= MAX_MEASURED);
                for (service, gauge) in &gauges {
                    prop_assert_eq!(*gauge, counts(&known, *service));
                }
                prop_assert_eq!(instances.services.len(), (0..4).filter(|it| counts(&known, *it) != Counts::default()).count());
            }
        }
    }
}
