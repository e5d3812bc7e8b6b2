//! Watching the files of a configuration.

mod config_watch;
#[cfg(feature = "reload")]
mod file_watcher;
#[cfg(feature = "reload")]
mod plan;

pub use config_watch::ConfigWatch;
#[cfg(feature = "reload")]
pub(crate) use file_watcher::Watcher;
