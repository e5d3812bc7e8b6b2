//! The values of a configuration, and what is declared about them.

mod audit;
mod change;
mod error;
mod fingerprint;
mod layers;
mod limits;
mod located;
mod origin;
mod path;
mod section;
mod tree;
mod unknown_variable;
mod value_type;

pub use audit::Audit;
pub use change::ConfigChange;
pub use error::{ConfigError, ConfigPathErrorKind, InvalidValue};
pub use limits::ConfigLimits;
pub use origin::ValueOrigin;
pub use path::ConfigPath;
pub use section::ConfigSection;
pub use tree::ConfigTree;
pub use unknown_variable::UnknownVariable;

pub(crate) use {
    error::shortened,
    fingerprint::Fingerprint,
    layers::{Layers, checked_key},
    section::{Schema, Snapshot, typed},
    tree::{Override, Source},
    value_type::ValueType,
};
