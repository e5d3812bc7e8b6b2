//! The health of a namespace.

use std::collections::HashSet;
use std::fmt;

use foundation_kernel::names::{Namespace, ServiceName};
use foundation_kernel::supervision::{Health, HealthLimits};
use serde::Serialize;

use foundation_kernel::text::{one_line, shortened_to};

/// One service's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServiceHealth {
    /// The name of the service.
    pub name: String,
    /// Its own health.
    pub health: Health,
    /// The services that it needs and that are not healthy, or do not count in this health.
    pub lacks: Vec<String>,
}

/// The summary of a health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// All is well.
    Healthy,
    /// It serves, but not all of it: a part, or something that it needs, does not.
    Degraded,
    /// It does not serve.
    Down,
}

impl ServiceHealth {
    pub(super) fn new(name: impl Into<String>, health: Health) -> Self {
        Self { name: name.into(), health, lacks: Vec::new() }
    }

    /// Of a service of instances, whose name follows that of discovery.
    #[cfg(feature = "discovery")]
    pub(super) fn of_instances(health: &foundation_discovery::health::ServiceHealth) -> Self {
        Self::new(format!("{}/{}", foundation_discovery::Discovery::NAME, health.service), health.to_health())
    }

    /// Degraded if it reports so itself, or if something that it needs is not healthy; down if it is unhealthy
    /// otherwise.
    pub fn condition(&self) -> Condition {
        match (&self.health, self.lacks.is_empty()) {
            (Health::Healthy, true) => Condition::Healthy,
            (Health::Healthy, false) | (Health::Degraded(_), _) => Condition::Degraded,
            _ => Condition::Down,
        }
    }
}

/// The health of a namespace: of all services that count in it. Written as one line for each, as many as
/// [`HealthLimits::lines`] says; beyond that those that are not healthy come first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NamespaceHealth {
    /// The namespace.
    #[serde(serialize_with = "foundation_kernel::written::text")]
    pub namespace: Namespace,
    /// The services that count in it: the foundation's own first, then the application and what is below it, then
    /// services that have instances, then checks.
    pub services: Vec<ServiceHealth>,
    /// How many lines are written, and how many bytes of each.
    #[serde(skip)]
    text: (usize, usize),
}

impl NamespaceHealth {
    /// Notes for each service which of those that it needs are unhealthy; `needs` has the needs of each.
    pub(super) fn new(
        namespace: Namespace,
        mut services: Vec<ServiceHealth>,
        needs: &[Vec<ServiceName>],
        limits: &HealthLimits,
    ) -> Self {
        while note_lacks(&mut services, needs) {}
        Self { namespace, services, text: limits.text() }
    }

    /// Healthy if every service is, down if every service is, and degraded otherwise.
    pub fn condition(&self) -> Condition {
        let all = |wanted| self.services.iter().all(|service| service.condition() == wanted);
        match (all(Condition::Healthy), all(Condition::Down)) {
            (true, _) => Condition::Healthy,
            (false, true) => Condition::Down,
            (false, false) => Condition::Degraded,
        }
    }

    /// Whether every service is healthy, and all that it needs.
    pub fn is_healthy(&self) -> bool {
        self.condition() == Condition::Healthy
    }

    /// The services that are degraded or down.
    pub fn unhealthy(&self) -> impl Iterator<Item = &ServiceHealth> {
        self.services.iter().filter(|service| service.condition() != Condition::Healthy)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Down => "down",
        })
    }
}

impl fmt::Display for ServiceHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lacks = self.lacks.join(", ");
        match &self.health {
            Health::Healthy if !self.lacks.is_empty() => write!(f, "degraded: {lacks} is not healthy"),
            Health::Degraded(reason) if !self.lacks.is_empty() => {
                write!(f, "degraded: {reason}; {lacks} is not healthy")
            }
            health => health.fmt(f),
        }
    }
}

impl fmt::Display for NamespaceHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lines, bytes) = (self.text.0.max(1), self.text.1);
        let shown = self.shown(lines);
        let width = shown.iter().map(|service| service.name.len().min(bytes / 2)).max().unwrap_or(0);
        let line = |service: &&ServiceHealth| {
            let name = shortened_to(&one_line(&service.name), width);
            shortened_to(&one_line(&format!("{name:width$}  {service}")), bytes)
        };
        let mut text: Vec<_> = shown.iter().map(line).collect();
        let (rest, unwell) = (self.services.len() - shown.len(), self.unhealthy().count());
        if rest > 0 {
            let unwell = unwell - shown.iter().filter(|service| service.condition() != Condition::Healthy).count();
            text.push(shortened_to(&format!("… and {rest} more, of which {unwell} are not healthy"), bytes));
        }
        f.write_str(&text.join("\n"))
    }
}

impl NamespaceHealth {
    /// The services that are written: all, or first those that are not healthy.
    fn shown(&self, lines: usize) -> Vec<&ServiceHealth> {
        if self.services.len() <= lines {
            return self.services.iter().collect();
        }
        let healthy = self.services.iter().filter(|service| service.condition() == Condition::Healthy);
        self.unhealthy().chain(healthy).take(lines - 1).collect()
    }
}

/// Notes for each service which of those that it needs are unhealthy now; true if that changes anything. A service that
/// needs a degraded one is degraded itself, so this is repeated until nothing changes. It ends, since lacks are only
/// added.
fn note_lacks(services: &mut [ServiceHealth], needs: &[Vec<ServiceName>]) -> bool {
    let well = |service: &&ServiceHealth| service.condition() == Condition::Healthy;
    let well: HashSet<String> = services.iter().filter(well).map(|service| service.name.clone()).collect();
    let mut changed = false;
    for (service, needs) in services.iter_mut().zip(needs) {
        let lacking = needs.iter().map(ServiceName::as_str).filter(|name| !well.contains(*name));
        let lacks: Vec<_> = lacking.map(str::to_owned).collect();
        changed |= lacks != service.lacks;
        service.lacks = lacks;
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health_of(services: Vec<ServiceHealth>, needs: &[Vec<ServiceName>]) -> NamespaceHealth {
        NamespaceHealth::new(Namespace::Production, services, needs, &HealthLimits::new().lines(4).line_bytes(60))
    }

    fn health(store: Health, server: Health) -> NamespaceHealth {
        let services = vec![ServiceHealth::new("store", store), ServiceHealth::new("server", server)];
        health_of(services, &[vec![], vec![ServiceName::from_static("store")]])
    }

    #[test]
    fn a_service_that_needs_a_degraded_one_is_degraded_and_so_on_round_a_ring_too() {
        let names = ["a", "b", "c", "d"];
        let of = |health: Health| names.map(|name| ServiceHealth::new(name, health.clone())).to_vec();
        let need = |name: &'static str| vec![ServiceName::from_static(name)];
        let ring = [need("c"), need("a"), need("b"), need("c")];
        assert!(health_of(of(Health::Healthy), &ring).is_healthy());
        let mut services = of(Health::Healthy);
        services[0].health = Health::Degraded("one relay is away".to_owned());
        let health = health_of(services, &ring);
        assert!(health.services.iter().all(|service| service.condition() == Condition::Degraded), "{health}");
        assert!(health.to_string().starts_with("a  degraded: one relay is away; c is not healthy\n"), "{health}");
    }

    #[test]
    fn what_is_needed_and_does_not_count_is_lacking() {
        let health = health_of(vec![ServiceHealth::new("a", Health::Healthy)], &[vec![ServiceName::from_static("x")]]);
        assert_eq!(health.to_string(), "a  degraded: x is not healthy");
    }

    #[test]
    fn of_many_services_a_few_lines_are_written_those_that_are_not_healthy_first() {
        let mut services: Vec<_> = (0..10_000).map(|n| ServiceHealth::new(format!("s{n}"), Health::Healthy)).collect();
        for unwell in [7_000, 8_000, 9_000, 9_500] {
            services[unwell].health = Health::Failed(format!("no\n{}", "x".repeat(10_000)));
        }
        let text = health_of(services, &[]).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("s7000  failed: no\\nxxx") && lines.iter().all(|line| line.len() <= 60), "{text}");
        assert_eq!(lines[3], "… and 9997 more, of which 1 are not healthy");
    }

    #[test]
    fn a_service_without_what_it_needs_is_degraded_and_not_down() {
        let health = health(Health::Dead, Health::Healthy);
        assert_eq!(health.services[1].condition(), Condition::Degraded);
        assert_eq!(health.condition(), Condition::Degraded);
        assert_eq!(health.to_string(), "store   dead\nserver  degraded: store is not healthy");
    }

    #[test]
    fn a_needed_service_is_not_degraded_by_the_one_that_needs_it() {
        let health = health(Health::Healthy, Health::Dead);
        assert_eq!(health.services[0].condition(), Condition::Healthy);
        assert_eq!(health.unhealthy().count(), 1);
    }

    #[test]
    fn a_namespace_is_down_when_all_its_services_are() {
        assert_eq!(health(Health::Dead, Health::NotFound).condition(), Condition::Down);
        assert_eq!(health(Health::Healthy, Health::Healthy).condition(), Condition::Healthy);
    }
}
