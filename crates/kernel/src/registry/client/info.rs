//! Information about the services of a namespace.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorId, ActorStatus};
use serde::Serialize;
use tokio::time::Instant;

use crate::namespace::{Namespace, ServiceName};
use crate::registry::measures::{Measures, ServiceMeasures};
use crate::registry::names::{Holder, Metadata, Origin};

/// One service, as the table has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServiceInfo {
    /// Its name.
    pub name: ServiceName,
    /// Its current incarnation.
    #[serde(serialize_with = "crate::written::text")]
    pub actor: ActorId,
    /// The actor's status, as ractor has it.
    #[serde(serialize_with = "status")]
    pub status: ActorStatus,
    /// The time since it was registered.
    #[serde(rename = "uptime_ms", serialize_with = "crate::written::millis")]
    pub uptime: Duration,
    /// How often the child that registers this name was started again, since it has its present specification.
    pub restarts: u32,
    /// Whether it takes messages.
    pub healthy: bool,
    /// The message type that it answers to, for display.
    pub message: &'static str,
    /// Where it was started.
    #[serde(serialize_with = "crate::written::text")]
    pub origin: Origin,
    /// The metadata that its owner has set.
    pub metadata: Option<Metadata>,
    /// The measures of its name; `None` if it has handled no message yet, or is not measured.
    pub measures: Option<ServiceMeasures>,
}

/// The services of one namespace, by name.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NamespaceInfo {
    /// Which namespace.
    #[serde(serialize_with = "crate::written::text")]
    pub namespace: Namespace,
    /// Its services, sorted by name. Stopping services are listed as not healthy; starting ones are not listed.
    pub services: Vec<ServiceInfo>,
}

impl NamespaceInfo {
    /// How many services there are.
    pub fn total(&self) -> usize {
        self.services.len()
    }

    /// How many of them take messages.
    pub fn healthy(&self) -> usize {
        self.services.iter().filter(|service| service.healthy).count()
    }

    pub(crate) fn new(namespace: Namespace, holders: &[Arc<Holder>], measures: &Measures) -> Self {
        let now = Instant::now();
        let mut services: Vec<_> = holders.iter().filter_map(|holder| info(holder, measures, now)).collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        Self { namespace, services }
    }
}

fn status<S: serde::Serializer>(status: &ActorStatus, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match status {
        ActorStatus::Unstarted => "unstarted",
        ActorStatus::Starting => "starting",
        ActorStatus::Running => "running",
        ActorStatus::Upgrading => "upgrading",
        ActorStatus::Draining => "draining",
        ActorStatus::Stopping => "stopping",
        ActorStatus::Stopped => "stopped",
    })
}

fn info(holder: &Arc<Holder>, measures: &Measures, now: Instant) -> Option<ServiceInfo> {
    let (actor, since) = (holder.actor()?, holder.since()?);
    let registration = holder.registration(holder.metadata().map(|(_, metadata)| metadata))?;
    Some(ServiceInfo {
        measures: measures.of(&registration.name, now),
        name: registration.name,
        actor: registration.actor,
        status: actor.get_status(),
        uptime: now.saturating_duration_since(since),
        restarts: registration.restarts,
        healthy: holder.live().is_some(),
        message: registration.message,
        origin: registration.origin,
        metadata: registration.metadata,
    })
}
