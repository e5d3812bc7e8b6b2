#![doc = include_str!("../README.md")]

mod audit;
mod change;
mod change_recorder;
mod client;
mod commit;
mod current;
mod environment;
mod error;
mod file;
mod fingerprint;
mod handle;
mod layers;
mod limits;
mod located;
mod near;
mod note;
mod origin;
mod outcome;
mod path;
mod record;
mod replay;
mod schema;
mod section;
mod server;
mod server_limits;
mod sources;
mod step;
mod subscription;
#[cfg(test)]
mod tests;
mod transaction;
mod tree;
mod update;
mod value_type;
mod values;
mod watcher;

pub use audit::Audit;
pub use change::ConfigChange;
pub use client::ConfigServer;
pub use commit::{ConfigChanged, ConfigCommit};
pub use environment::UnknownVariable;
pub use error::{ConfigError, InvalidValue, PathFault};
/// The validation of [`ConfigSection`]s; its derive needs `garde` among your own dependencies.
pub use garde;
pub use handle::Section;
pub use limits::ConfigLimits;
pub use note::ChangeNote;
pub use origin::Origin;
pub use outcome::ConfigOutcome;
pub use path::ConfigPath;
pub use record::{ChangeCause, ConfigRecord};
/// A text that is never displayed: for the secrets in [`ConfigSection`]s.
pub use secrecy::{ExposeSecret, SecretString};
pub use section::ConfigSection;
pub use server_limits::ConfigServerLimits;
pub use sources::ConfigSources;
pub use subscription::{ConfigSubscription, Lagged, SectionChanged, SectionSubscription};
pub use transaction::Transaction;
pub use tree::ConfigTree;
pub use update::{ConfigStatus, ConfigUpdateError, ConfigWatch};
