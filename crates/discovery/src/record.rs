//! An instance, with the actor that is registered for it and its health.

use std::sync::Arc;

use foundation_kernel::names::ServiceName;
use foundation_kernel::ractor::ActorId;

use crate::health::{InstanceHealth, InstanceStatus};
use crate::instance::{Instance, InstanceName};

/// One incarnation of an instance as it is now: what it says of itself, its actor, and its health.
///
/// Cloning costs a reference count and the reason of its health.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceRecord {
    /// What it says of itself.
    pub instance: Arc<Instance>,
    /// The actor that has its name.
    pub actor: ActorId,
    /// Its health.
    pub health: InstanceHealth,
}

impl InstanceRecord {
    /// An instance that this actor has registered: draining if it says so, and otherwise of unknown health.
    pub fn new(instance: Instance, actor: ActorId) -> Self {
        let health = InstanceHealth::combined([], instance.is_draining());
        Self { instance: Arc::new(instance), actor, health }
    }

    /// With this health.
    pub fn with_health(self, health: InstanceHealth) -> Self {
        Self { health, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &InstanceName {
        self.instance.name()
    }

    /// Its service.
    pub fn service(&self) -> &ServiceName {
        self.instance.service()
    }

    /// Its status.
    pub fn status(&self) -> InstanceStatus {
        self.health.status
    }
}
