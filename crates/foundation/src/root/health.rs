//! How a namespace is.

use std::fmt;

use foundation_core::{Health, Namespace};

/// One service's health.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceHealth {
    /// Which service.
    pub name: String,
    /// How it is.
    pub health: Health,
}

impl ServiceHealth {
    pub(super) fn new(name: impl Into<String>, health: Health) -> Self {
        Self { name: name.into(), health }
    }
}

/// The health of a namespace's services; written as one line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceHealth {
    /// Which namespace.
    pub namespace: Namespace,
    /// Its services: the foundation's own first.
    pub services: Vec<ServiceHealth>,
}

impl NamespaceHealth {
    /// Whether every service is healthy.
    pub fn is_healthy(&self) -> bool {
        self.unhealthy().next().is_none()
    }

    /// The services that are not healthy.
    pub fn unhealthy(&self) -> impl Iterator<Item = &ServiceHealth> {
        self.services.iter().filter(|service| !service.health.is_healthy())
    }
}

impl fmt::Display for NamespaceHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.services.iter().map(|service| service.name.len()).max().unwrap_or(0);
        for (line, ServiceHealth { name, health }) in self.services.iter().enumerate() {
            let end = if line + 1 == self.services.len() { "" } else { "\n" };
            write!(f, "{name:width$}  {health}{end}")?;
        }
        Ok(())
    }
}
