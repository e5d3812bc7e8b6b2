//! The sources of a configuration: defaults, files and the environment, with the declarations.

mod config_sources;
mod document;
mod environment;
mod file;
mod from_json;
mod from_toml;
#[cfg(feature = "yaml")]
mod from_yaml;

pub use config_sources::ConfigSources;
