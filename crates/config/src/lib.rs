#![doc = include_str!("../README.md")]

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
    ConfigServerLimits, ConfigStatus, ConfigSubscription, ConfigUpdateError, LaggedError, Section, SectionChanged,
    SectionSubscription, Transaction,
};
pub use sources::ConfigSources;
pub use values::{
    Audit, ConfigChange, ConfigError, ConfigLimits, ConfigPath, ConfigPathErrorKind, ConfigSection, ConfigTree,
    InvalidValue, UnknownVariable, ValueOrigin,
};
pub use watcher::ConfigWatch;
