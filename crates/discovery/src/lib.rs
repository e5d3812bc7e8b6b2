#![doc = include_str!("../README.md")]

mod catalog;
pub mod choice;
mod client;
mod criteria;
mod hash;
pub mod health;
mod instance;
pub mod lease;
pub mod limits;
#[cfg(test)]
mod samples;

pub use catalog::{Catalog, FindError, InstanceChange, RemovalCause, ServiceSummary};
pub use client::{
    CallInstanceError, Discovery, DiscoveryError, DiscoveryOptions, Drained, HeartbeatTask, InstanceCheck,
    InstanceLease, InstanceRegistration, InstanceWatch, InstanceWatched, LeaseLostError, PickError, Picked, Selector,
};
pub use criteria::{Criteria, InstanceMisfits, Misfit, NoneFitsError};
pub use hash::stable_hash;
pub use instance::{
    Capability, Endpoint, FieldError, FieldErrorKind, Instance, InstanceBuilder, InstanceName, InstanceRecord,
    MetadataReadError, Remote, Zone,
};
