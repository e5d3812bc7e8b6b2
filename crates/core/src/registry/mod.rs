//! Names: who is who in a namespace, and handles that find them.

mod counters;
mod error;
mod foreign;
mod health;
mod holder;
mod info;
mod lease;
mod process_registry;
mod service_registry;
mod space;
mod table;
mod via;
mod wait;

#[cfg(test)]
mod histories;

pub use error::RegistryError;
pub use health::{Health, HealthCheck, Verdict};
pub use info::{NamespaceInfo, ServiceInfo};
pub use process_registry::{CleanupReport, ProcessRegistry, ProcessRegistryBuilder, RegistryStats};
pub use service_registry::ServiceRegistry;
pub use space::StoppedService;
pub use via::{CallError, CastError, Via};
