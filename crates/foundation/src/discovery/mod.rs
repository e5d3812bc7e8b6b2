//! Service discovery: instances of services with their health, found by what they can do and chosen for each call.
//!
//! Each namespace has it, as [`Services::discovery`](crate::Services::discovery); what happens to its instances is
//! [recorded](DiscoveryRecording) and measured.

mod instance_counts;
mod meter;
pub(crate) mod observer;
mod recording;

#[doc(inline)]
pub use foundation_discovery::*;
pub use recording::DiscoveryRecording;
