//! Configuration: layers, merged into one immutable tree that knows where each value comes from.
//!
//! Built-in defaults are the lowest layer, then files, then environment variables, then run-time overrides; a higher
//! layer wins, value by value. [`ConfigSources`] collects the lower three, with the declarations, and loads a
//! [`ConfigTree`]; a [`ConfigChange`] is the decision to set or drop an override, and applying it makes the next tree.
//! All of these are plain values, and [`ConfigSources::load`] alone does I/O. The [`ConfigServer`] keeps the current
//! tree of a namespace, and records each change before it makes it.

mod server;
mod sources;
#[cfg(test)]
mod tests;
mod values;
mod watcher;

/// The validation of [`ConfigSection`]s; its derive needs `garde` among your own dependencies.
pub use garde;
/// A text that is never displayed: for the secrets in [`ConfigSection`]s.
pub use secrecy::{ExposeSecret, SecretString};
pub use server::{
    ChangeCause, ChangeNote, ConfigChanged, ConfigCommit, ConfigOutcome, ConfigRecord, ConfigServer,
    ConfigServerLimits, ConfigStatus, ConfigSubscription, ConfigUpdateError, Lagged, Section, SectionChanged,
    SectionSubscription, Transaction,
};
pub use sources::ConfigSources;
pub use values::{
    Audit, ConfigChange, ConfigError, ConfigLimits, ConfigPath, ConfigSection, ConfigTree, InvalidValue, Origin,
    PathFault, UnknownVariable,
};
pub use watcher::ConfigWatch;
