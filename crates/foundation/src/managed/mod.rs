//! Managed services: declared with a kind and a configuration, and started, configured, replaced and stopped by their names,
//! alone or in batches.
//!
//! Each namespace has them, as [`Services::managed`](crate::Services::managed), once the builder has a
//! [kind](crate::FoundationBuilder::kind). What is wanted is recorded by the services themselves; what happens to them is
//! [recorded](ManagedRecording) and measured besides.

pub(crate) mod layout;
mod recording;

#[doc(inline)]
pub use foundation_managed::*;
pub use recording::ManagedRecording;
