//! Names of actors in a namespace, and handles that find them.

mod client;
mod groups;
mod measures;
mod names;
mod root;

#[doc(hidden)]
pub use client::NamespaceRemains;
pub use client::{
    CallError, CastError, CleanupReport, HealthCheck, NamespaceInfo, RegisteredActor, RegistrationBuilder,
    RegistryError, ServiceInfo, ServiceRegistry, StoppedService, SupervisorKey, Via,
};
pub use groups::{Group, GroupCastError, GroupError, GroupKey, Replies};
pub use measures::{Measurement, ServiceMeasures};
pub use names::{
    DeferredDrops, Metadata, MetadataError, NameChange, Origin, Registration, ServiceEntry, TryNextError, Watch,
    WatchRevision, Watched,
};
pub use root::{Collapse, LayoutError, ProcessRegistry, ProcessRegistryBuilder, RegistryStats, Service};
