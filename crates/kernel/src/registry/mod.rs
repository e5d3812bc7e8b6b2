//! Names of actors in a namespace, and handles that find them.

mod client;
mod groups;
mod measures;
mod names;
mod root;

#[doc(hidden)]
pub use client::NamespaceRemains;
pub use client::{
    CallError, CastError, CleanupReport, HealthCheck, NameChange, NamespaceInfo, RegistrationBuilder, RegistryError,
    ServiceInfo, ServiceRegistry, StoppedService, Via, Watch, Watched,
};
pub use groups::{Group, GroupCastError, GroupError, GroupKey, Replies};
pub use measures::{Measurement, ServiceMeasures};
pub use names::{Metadata, MetadataError, Registration, ServiceEntry};
pub use root::{Collapse, ProcessRegistry, ProcessRegistryBuilder, RegistryStats};
