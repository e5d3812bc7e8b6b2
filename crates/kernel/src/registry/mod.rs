//! Names of actors in a namespace, and handles that find them.

mod addressed;
mod after_lock;
mod builder;
mod change;
mod cleanup;
mod collapse;
mod counters;
mod detached;
mod error;
mod extensions;
mod foreign;
mod groups;
mod hand_over;
mod health;
mod holder;
mod inbox;
mod info;
mod locking;
mod locks;
mod measures;
mod metadata;
mod name_guard;
mod namespace_state;
mod notifier;
mod process_registry;
mod registration_builder;
mod remains;
mod root;
mod select;
mod service_registry;
mod table;
mod tree;
mod unmanaged;
mod via;
mod view;
mod wait;
mod waiting;
mod watch;
mod watches;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod views;

pub use builder::ProcessRegistryBuilder;
pub use change::{NameChange, Registration};
pub use cleanup::{CleanupReport, StoppedService};
pub use collapse::Collapse;
pub use error::RegistryError;
pub use groups::{Group, GroupCastError, GroupError, GroupKey, Replies};
pub use health::HealthCheck;
pub use info::{NamespaceInfo, ServiceInfo};
pub use measures::{Measurement, ServiceMeasures};
pub use metadata::{Metadata, MetadataError};
pub use process_registry::{ProcessRegistry, RegistryStats};
pub use registration_builder::RegistrationBuilder;
#[doc(hidden)]
pub use remains::NamespaceRemains;
pub use select::ServiceEntry;
pub use service_registry::ServiceRegistry;
pub use via::{CallError, CastError, Via};
pub use watch::{Watch, Watched};
