//! An event: what it is, before and after it is recorded, and its forms as JSON and as a checksum.

mod checksum;
mod fact;
mod id;
#[doc(hidden)]
pub mod json;
mod kind;
pub(crate) mod line;
mod source;

pub use checksum::checksum;
pub use fact::{BatchError, Event, EventError, ImportError, NewEvent};
pub use id::EventId;
pub use kind::{EventKind, InvalidNameReason};
pub(crate) use kind::{invalid_name, is_name};
pub use source::EventSource;
