#![doc = include_str!("../README.md")]

mod catalog;
pub mod choice;
mod client;
mod criteria;
mod hash;
pub mod health;
mod instance;
pub mod limits;
#[cfg(test)]
mod samples;

pub use catalog::{Catalog, FindError, InstanceChange, RemovalCause};
pub use client::{
    CallInstanceError, CandidateReport, CastInstanceError, CastInstanceReason, Discovery, DiscoveryError,
    DiscoveryOptions, InstanceCheck, InstanceLease, InstanceWatch, InstanceWatched, LeaseLostError, PickError, Picked,
    Remote, Selector,
};
pub use criteria::{Criteria, InstanceMisfits, Misfit, NoneFitsError};
pub use hash::stable_hash;
pub use instance::{
    Capability, Endpoint, FieldError, FieldErrorKind, Instance, InstanceBuilder, InstanceName, InstanceRecord,
    MetadataReadError, Zone,
};
