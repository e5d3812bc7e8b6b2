//! The process registry: the root of the tree and the map of its namespaces.

mod collapse;
mod detached;
mod process_registry;
mod service;

pub use collapse::Collapse;
pub use process_registry::{ProcessRegistry, ProcessRegistryBuilder, RegistryStats};
pub use service::{LayoutError, Service};
