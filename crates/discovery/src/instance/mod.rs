//! Instances: what an actor, or what it stands for, says of itself.

mod capability;
mod endpoint;
mod field;
mod name;
mod remote;
mod value;
mod zone;

pub use capability::Capability;
pub use endpoint::Endpoint;
pub use field::{FieldError, FieldErrorKind};
pub use name::InstanceName;
pub use remote::Remote;
pub use value::{Instance, InstanceBuilder, InstanceRecord, MetadataReadError};
pub use zone::Zone;
