//! Kinds of services: how a service is made from its configuration.

mod any_kind;
mod configuration;
mod context;
mod erased;
mod error;
mod kind;
mod schema;
mod set;

pub use any_kind::KindRecord;
pub(super) use any_kind::{AnyKind, Description, TypedConfig};
pub(super) use configuration::written;
pub use configuration::{ConfigurationError, InvalidField};
pub use context::ServiceContext;
pub(super) use context::{Gate, Times, instance_name};
pub use error::KindError;
pub use kind::ServiceKind;
pub use schema::field::{ConfigField, FieldType};
pub use set::KindSet;
pub(super) use set::Kinds;
