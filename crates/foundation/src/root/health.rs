//! How a namespace is.

use std::fmt;

use foundation_core::{Health, Namespace};
use serde::Serialize;

/// One service's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServiceHealth {
    /// Which service.
    pub name: String,
    /// How it is, by itself.
    pub health: Health,
    /// Which of the services that it needs are not healthy.
    pub lacks: Vec<String>,
}

/// A health in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
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

    /// Down if it is not healthy by itself, degraded if something that it needs is not.
    pub fn condition(&self) -> Condition {
        match (self.health.is_healthy(), self.lacks.is_empty()) {
            (true, true) => Condition::Healthy,
            (true, false) => Condition::Degraded,
            (false, _) => Condition::Down,
        }
    }
}

/// The health of a namespace's services; written as one line for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NamespaceHealth {
    /// Which namespace.
    #[serde(serialize_with = "foundation_core::written::text")]
    pub namespace: Namespace,
    /// Its services: the foundation's own first.
    pub services: Vec<ServiceHealth>,
}

impl NamespaceHealth {
    /// Notes for each service which of those that it needs are not healthy. `needs` are pairs: who, and whom.
    pub(super) fn new(namespace: Namespace, mut services: Vec<ServiceHealth>, needs: &[(&str, &str)]) -> Self {
        let ill: Vec<_> = services.iter().filter(|it| !it.health.is_healthy()).map(|it| it.name.clone()).collect();
        for service in &mut services {
            let needed = needs.iter().filter(|(who, _)| service.name == *who).map(|(_, whom)| *whom);
            service.lacks = needed.filter(|whom| ill.iter().any(|name| name == whom)).map(str::to_owned).collect();
        }
        Self { namespace, services }
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
        match self.condition() {
            Condition::Degraded => write!(f, "degraded: {} is not healthy", self.lacks.join(", ")),
            _ => self.health.fmt(f),
        }
    }
}

impl fmt::Display for NamespaceHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.services.iter().map(|service| service.name.len()).max().unwrap_or(0);
        for (line, service) in self.services.iter().enumerate() {
            let end = if line + 1 == self.services.len() { "" } else { "\n" };
            write!(f, "{:width$}  {service}{end}", service.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(store: Health, server: Health) -> NamespaceHealth {
        let services = vec![ServiceHealth::new("store", store), ServiceHealth::new("server", server)];
        NamespaceHealth::new(Namespace::Production, services, &[("server", "store")])
    }

    #[test]
    fn a_service_without_what_it_needs_is_degraded_and_not_down() {
        let health = health(Health::Dead, Health::Healthy);
        assert_eq!(health.services[1].condition(), Condition::Degraded);
        assert_eq!(health.condition(), Condition::Degraded);
        assert_eq!(health.to_string(), "store   dead\nserver  degraded: store is not healthy");
    }

    #[test]
    fn what_somebody_needs_does_not_suffer_from_it() {
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
