//! Checks: how an instance is asked whether it works.

mod capacity;
mod declared;
mod definition;
mod error;
mod handle;
mod heartbeat;
#[cfg(feature = "http-checks")]
mod http;
mod slot;
mod tcp;

pub(crate) use capacity::{CheckCapacity, CheckPermit};
pub(crate) use declared::{DeclaredCheck, DeclaredChecks};
pub(crate) use definition::CheckKind;
pub use definition::InstanceCheck;
pub(crate) use definition::check_name;
pub use error::DeclareCheckError;
pub use handle::CheckHandle;
#[cfg(feature = "http-checks")]
pub use http::HttpGet;
pub(crate) use slot::CheckSlot;
