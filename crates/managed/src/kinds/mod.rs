//! Kinds of services: how a service is made from its configuration.

mod configuration;
mod context;
mod error;
mod kind;
mod table;

pub(super) use configuration::written;
pub use configuration::{ConfigurationError, InvalidField};
pub use context::ServiceContext;
pub(super) use context::{Gate, Times, instance_name};
pub use error::KindError;
pub use kind::ServiceKind;
pub use table::KindRecord;
pub(super) use table::{AnyKind, Description, Kinds, TypedConfig};
