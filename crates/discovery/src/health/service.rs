//! The condition of a service, from the statuses of its instances.

use std::fmt;

use foundation_kernel::names::ServiceName;
use foundation_kernel::supervision::Health;
use serde::Serialize;

use super::status::{InstanceHealth, InstanceStatus, StatusCounts, StatusReason};
use crate::instance::InstanceName;

/// How many instances that are not healthy are named, with their reasons.
const MAX_NAMED: usize = 8;

/// Whether a service can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServiceCondition {
    /// All its instances are in rotation, and none is degraded.
    Healthy,
    /// Some are not, or too few are left in rotation.
    Degraded,
    /// None is in rotation.
    Down,
}

impl fmt::Display for ServiceCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Down => "down",
        })
    }
}

/// The condition of a service, with how many instances have which status, and why.
///
/// ```
/// use foundation_discovery::InstanceName;
/// use foundation_discovery::health::{InstanceHealth, InstanceStatus, ServiceCondition, ServiceHealth};
/// use foundation_kernel::names::ServiceName;
///
/// let orders = ServiceName::from_static("orders");
/// let (a, b) = (InstanceName::new(&orders, "a")?, InstanceName::new(&orders, "b")?);
/// let (up, down) = (InstanceHealth::new(InstanceStatus::Healthy), InstanceHealth::new(InstanceStatus::Unhealthy));
///
/// let health = ServiceHealth::of(&orders, [(&a, &up), (&b, &down)]);
/// assert_eq!(health.condition, ServiceCondition::Degraded);
/// assert_eq!(health.to_string(), "orders is degraded: 1 healthy, 1 unhealthy; b is unhealthy");
/// # Ok::<(), foundation_discovery::FieldError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServiceHealth {
    /// The service.
    pub service: ServiceName,
    /// Whether it can be used.
    pub condition: ServiceCondition,
    /// How many instances have which status.
    pub counts: StatusCounts,
    /// How many of those that their status leaves in rotation are [ejected](crate::choice::OutlierRules) for a while, since
    /// calls of them fail.
    pub ejected: usize,
    /// How many instances [should be](crate::DiscoveryOptions::expects) in rotation; 0 if none is expected.
    pub expected: usize,
    /// The first of those that are degraded, unhealthy or draining, at most 8, by id.
    pub reasons: Vec<InstanceReason>,
}

/// An instance that is not healthy, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InstanceReason {
    /// The id of the instance.
    pub id: String,
    /// Its status.
    pub status: InstanceStatus,
    /// Why it has it.
    pub reason: Option<StatusReason>,
}

impl ServiceHealth {
    /// The condition of a service with these instances. Cost: linear in them.
    pub fn of<'a>(
        service: &ServiceName,
        instances: impl IntoIterator<Item = (&'a InstanceName, &'a InstanceHealth)>,
    ) -> Self {
        let (mut counts, mut reasons) = (StatusCounts::default(), Vec::new());
        for (name, health) in instances {
            counts.add(health.status);
            if health.status >= InstanceStatus::Degraded && reasons.len() < MAX_NAMED {
                let (id, reason) = (name.id().to_owned(), health.reason.clone());
                reasons.push(InstanceReason { id, status: health.status, reason });
            }
        }
        let condition = condition(&counts, 0, 0);
        Self { service: service.clone(), condition, counts, ejected: 0, expected: 0, reasons }
    }

    /// The same service, of whose instances in rotation so many are ejected.
    pub fn with_ejected(self, ejected: usize) -> Self {
        let condition = condition(&self.counts, ejected, self.expected);
        Self { ejected, condition, ..self }
    }

    /// The same service, of which so many instances should be in rotation.
    pub fn expecting(self, expected: usize) -> Self {
        let condition = condition(&self.counts, self.ejected, expected);
        Self { expected, condition, ..self }
    }

    /// The same as the health of a child of a supervision tree.
    pub fn to_health(&self) -> Health {
        match self.condition {
            ServiceCondition::Healthy => Health::Healthy,
            ServiceCondition::Degraded => Health::Degraded(self.to_string()),
            ServiceCondition::Down => Health::Down(self.to_string()),
        }
    }
}

/// Unknown instances are in rotation, so a service without checks is healthy.
fn condition(counts: &StatusCounts, ejected: usize, expected: usize) -> ServiceCondition {
    let in_rotation = counts.in_rotation().saturating_sub(ejected);
    let is_degraded = counts.degraded + counts.unhealthy + ejected > 0;
    if in_rotation == 0 {
        ServiceCondition::Down
    } else if is_degraded || in_rotation * 2 < counts.total() || in_rotation < expected {
        ServiceCondition::Degraded
    } else {
        ServiceCondition::Healthy
    }
}

impl fmt::Display for ServiceHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: {}", self.service, self.condition, self.counts)?;
        if self.ejected > 0 {
            write!(f, ", {} ejected", self.ejected)?;
        }
        if self.counts.in_rotation().saturating_sub(self.ejected) < self.expected {
            write!(f, ", {} expected", self.expected)?;
        }
        self.reasons.iter().try_for_each(|reason| write!(f, "; {reason}"))
    }
}

impl fmt::Display for InstanceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.id, self.status)?;
        self.reason.iter().try_for_each(|reason| write!(f, ": {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const ORDERS: ServiceName = ServiceName::from_static("orders");

    fn health(statuses: &[InstanceStatus]) -> ServiceHealth {
        let name = |at: usize| InstanceName::new(&ORDERS, &format!("i{at}")).unwrap();
        let named: Vec<_> =
            (0..).map(name).zip(statuses.iter().copied().map(InstanceHealth::new)).take(statuses.len()).collect();
        ServiceHealth::of(&ORDERS, named.iter().map(|(name, health)| (name, health)))
    }

    #[test]
    fn a_service_without_an_instance_in_rotation_is_down() {
        assert_eq!(health(&[]).to_string(), "orders is down: none");
        let down = health(&[InstanceStatus::Unhealthy, InstanceStatus::Draining]);
        assert_eq!(
            down.to_health(),
            Health::Down("orders is down: 1 unhealthy, 1 draining; i0 is unhealthy; i1 is draining".to_owned(),)
        );
    }

    #[test]
    fn a_service_whose_larger_part_drains_is_degraded() {
        use InstanceStatus::{Draining, Healthy};
        assert_eq!(health(&[Healthy, Draining]).condition, ServiceCondition::Healthy);
        assert_eq!(health(&[Healthy, Draining, Draining]).condition, ServiceCondition::Degraded);
    }

    #[test]
    fn instances_that_are_ejected_or_missing_make_a_service_worse() {
        use InstanceStatus::Healthy;
        let three = || health(&[Healthy; 3]);
        assert_eq!(three().with_ejected(1).to_string(), "orders is degraded: 3 healthy, 1 ejected");
        assert_eq!(three().with_ejected(3).condition, ServiceCondition::Down);
        assert_eq!(three().expecting(3).condition, ServiceCondition::Healthy);
        assert_eq!(three().expecting(4).to_string(), "orders is degraded: 3 healthy, 4 expected");
        assert_eq!(three().expecting(3).with_ejected(1).condition, ServiceCondition::Degraded);
        assert_eq!(health(&[]).expecting(2).to_string(), "orders is down: none, 2 expected");
    }

    #[test]
    fn of_many_that_are_unhealthy_the_first_are_named() {
        let health = health(&[InstanceStatus::Unhealthy; 20]);
        assert_eq!((health.reasons.len(), health.counts.unhealthy), (MAX_NAMED, 20));
    }

    fn statuses() -> impl Strategy<Value = Vec<InstanceStatus>> {
        use InstanceStatus::{Degraded, Draining, Healthy, Unhealthy, Unknown};
        vec(select(vec![Unknown, Healthy, Degraded, Unhealthy, Draining]), 0..12)
    }

    proptest! {
        #[test]
        fn one_more_healthy_instance_makes_a_service_no_worse(statuses in statuses()) {
            let more = [&statuses[..], &[InstanceStatus::Healthy]].concat();
            prop_assert!(health(&more).condition <= health(&statuses).condition);
            prop_assert!(health(&more).condition != ServiceCondition::Down);
        }

        #[test]
        fn each_instance_is_counted_once(statuses in statuses()) {
            let health = health(&statuses);
            prop_assert_eq!(health.counts.total(), statuses.len());
            let in_rotation = statuses.iter().filter(|status| status.is_in_rotation()).count();
            prop_assert_eq!(health.counts.in_rotation(), in_rotation);
            prop_assert_eq!(health.condition == ServiceCondition::Down, in_rotation == 0);
        }
    }
}
