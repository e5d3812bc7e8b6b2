//! The service of a namespace that reports what happens to its instances.

mod actor;
mod event;
mod feed;
mod observer;
mod reported;

pub use event::DiscoveryEvent;
pub use observer::DiscoveryObserver;
pub(crate) use observer::Observer;
