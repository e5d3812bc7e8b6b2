#![doc = include_str!("../README.md")]

mod catalog;
pub mod choice;
mod criteria;
pub mod health;
mod instance;
pub mod limits;
mod record;
#[cfg(test)]
mod samples;

pub use catalog::{Catalog, FindError, InstanceChange, RemovalCause};
pub use criteria::{Criteria, InstanceMisfits, Misfit, NoneFitsError};
pub use instance::{
    Capability, Endpoint, FieldError, FieldErrorKind, Instance, InstanceBuilder, InstanceName, MetadataReadError, Zone,
};
pub use record::InstanceRecord;
