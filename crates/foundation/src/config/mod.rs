//! Configuration: layers, merged into one immutable tree that knows where each value comes from.
//!
//! Built-in defaults lie lowest, then a TOML file, then environment variables, then the overrides of the
//! run time; a higher layer wins, value by value. [`ConfigSources`] collects the lower three and loads a
//! [`ConfigTree`]; a [`ConfigChange`] is the decision to set or drop an override, and applying it makes
//! the next tree. All of these are plain values, and [`ConfigSources::load`] alone does I/O. The
//! [`ConfigServer`] keeps the current tree of a namespace, and records each change before it makes it.

mod change;
mod client;
mod current;
mod environment;
mod error;
mod file;
mod layers;
mod located;
mod near;
mod origin;
mod path;
mod server;
mod sources;
mod subscription;
#[cfg(test)]
mod tests;
mod tree;
mod update;
mod value_type;

pub use change::ConfigChange;
pub use client::ConfigServer;
pub use environment::UnknownVariable;
pub use error::{ConfigError, PathFault};
pub use origin::Origin;
pub use path::ConfigPath;
pub use sources::ConfigSources;
pub use subscription::{ConfigChanged, ConfigSubscription, Lagged};
pub use tree::ConfigTree;
pub use update::{ConfigStatus, ConfigUpdateError};
