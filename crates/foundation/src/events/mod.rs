//! Events: recorded facts, and the log that keeps them.
//!
//! An [`Event`] says what has happened, in the past tense (`config_updated`). A [`NewEvent`] is one that
//! nobody has recorded yet; an [`EventLog`] records it, which gives it an [`EventId`] and a time.
//! Both are plain data. The [`EventStore`] puts a log behind an actor, one in each namespace.

mod client;
mod error;
mod event;
mod id;
mod kind;
mod limits;
mod log;
mod memory;
mod new_event;
mod query;
mod server;
#[cfg(test)]
mod tests;

pub use client::{EventStore, EventStoreError};
pub use error::{EventError, EventRefusal, KindFault};
pub use event::Event;
pub use id::EventId;
pub use kind::EventKind;
pub use limits::EventLimits;
pub use log::{EventLog, EventStats};
pub use memory::MemoryLog;
pub use new_event::NewEvent;
pub use query::{Order, Query};
pub use server::Clock;
