//! An event: what it is, before and after it is recorded, and its forms as JSON and as a checksum.

mod batch_error;
mod checksum;
mod fact;
mod id;
mod import_error;
#[doc(hidden)]
pub mod json;
mod kind;
pub(crate) mod line;
mod source;

pub use batch_error::BatchError;
pub use checksum::checksum;
pub use fact::{Event, EventError, NewEvent};
pub use id::EventId;
pub use import_error::ImportError;
pub use kind::{EventKind, InvalidNameReason};
pub(crate) use kind::{invalid_name, is_name};
pub use source::EventSource;
