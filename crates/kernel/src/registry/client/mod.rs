//! The client of one namespace, and what its operations return.

mod cleanup;
mod error;
mod extensions;
mod health;
mod info;
mod registered;
mod service_registry;
mod supervisor_key;
mod via;

pub use cleanup::{CleanupReport, StoppedService};
pub use error::RegistryError;
pub use health::HealthCheck;
pub use info::{NamespaceInfo, ServiceInfo};
pub use registered::RegisteredActor;
#[doc(hidden)]
pub use service_registry::NamespaceRemains;
pub use service_registry::ServiceRegistry;
pub use service_registry::registration::RegistrationBuilder;
pub use supervisor_key::SupervisorKey;
pub use via::{CallError, CastError, Via};

pub(super) use service_registry::{APPLICATION, Root};
