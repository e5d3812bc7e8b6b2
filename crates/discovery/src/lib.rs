#![doc = include_str!("../README.md")]

mod catalog;
mod check;
pub mod choice;
mod client;
mod criteria;
mod hash;
pub mod health;
mod instance;
pub mod lease;
pub mod limits;
mod meter;
mod pulse;
#[cfg(test)]
mod samples;
mod service;

pub use catalog::{Catalog, FindError, InstanceChange, RemovalCause, ServiceSummary};
#[cfg(feature = "http-checks")]
pub use check::HttpGet;
pub use check::{CheckHandle, DeclareCheckError, InstanceCheck};
pub use client::{
    CallInstanceError, CandidateReport, CastInstanceError, CastInstanceReason, Discovery, DiscoveryError,
    DiscoveryOptions, Drained, Heartbeat, HeartbeatTask, HeartbeatTooLateError, InstanceLease, InstanceRegistration,
    InstanceWatch, InstanceWatched, LeaseLostError, OtherInstances, PickError, Picked, RestartInstance, Selector,
};
pub use criteria::{Criteria, InstanceMisfits, Misfit, NoneFitsError};
pub use hash::stable_hash;
pub use instance::{
    Capability, Endpoint, FieldError, FieldErrorKind, Instance, InstanceBuilder, InstanceName, InstanceRecord,
    MetadataReadError, Remote, Zone,
};
pub use meter::{DiscoveryMeter, PickCounters};
pub use service::{DiscoveryEvent, DiscoveryObserver};
