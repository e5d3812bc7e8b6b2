//! Names: who is who in a namespace, and handles that find them.

mod builder;
mod cleanup;
mod counters;
mod error;
mod foreign;
mod health;
mod holder;
mod info;
mod lease;
mod process_registry;
mod root;
mod service_registry;
mod space;
mod table;
mod via;
mod wait;

#[cfg(test)]
mod histories;

pub use builder::ProcessRegistryBuilder;
pub use cleanup::{CleanupReport, StoppedService};
pub use error::RegistryError;
pub use health::{Health, HealthCheck, Verdict};
pub use info::{NamespaceInfo, ServiceInfo};
pub use process_registry::{ProcessRegistry, RegistryStats};
pub use service_registry::ServiceRegistry;
pub use via::{CallError, CastError, Via};
