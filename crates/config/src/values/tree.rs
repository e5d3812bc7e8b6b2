//! The merged configuration.
//!
//! 1. The paths of `overrides` are paths of leaves of `base`. So dropping an override always has a value
//!    to fall back to, and `base` alone knows all paths.
//! 2. `values` is `base` with `overrides` written over it, an integer where `base` has a float as a float.
//! 3. An override stays until it is dropped, even while it equals the value below. The values below may change, and the
//!    values in force must follow from the records and from the current files, not from earlier files.
//! 4. `sections` has a snapshot of each declared section, in the order of the schema, read from `values`.

mod declared;
mod evolution;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::audit::Audit;
use super::environment::UnknownVariable;
use super::error::{ConfigError, InvalidValue};
use super::fingerprint::Fingerprint;
use super::layers::{Layers, find, unknown_path};
use super::limits::ConfigLimits;
use super::located::{Problem, ReadError, read};
use super::origin::Origin;
use super::path::ConfigPath;
use super::schema::Schema;
use super::section::{ConfigSection, SectionError, SectionType, Snapshot, typed, undeclared};
use super::values::Values;

/// An immutable snapshot of the configuration: all layers merged, with the origin of each value.
///
/// It is made by [`ConfigSources::load`](crate::ConfigSources::load), and a new one by each [`apply`](Self::apply).
/// Sections are objects and everything else, arrays included, is a value. Paths are given as text or as [`ConfigPath`].
/// Reading a plain value costs one look into a hash table, reading a section or an array one search in a sorted map a
/// segment, and copies nothing; only an error compares the path with all others.
///
/// `Debug` shows no values, since some may be secrets.
///
/// ```
/// use foundation_config_server::ConfigSources;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Server {
///     host: String,
///     port: u16,
/// }
///
/// let tree = ConfigSources::new()
///     .defaults(serde_json::json!({ "server": { "host": "localhost", "port": 80 } }))?
///     .load()?;
/// assert_eq!(tree.get("server.port")?, 80);
/// assert_eq!(tree.get_as::<u16>("server.port")?, 80);
/// assert_eq!(tree.get_as::<Server>("server")?.host, "localhost");
/// # assert_eq!(tree.get_as::<Server>("server")?.port, 80);
/// # Ok::<(), foundation_config_server::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ConfigTree {
    base: Arc<Layers>,
    values: Values,
    overrides: Overrides,
    unknown_variables: Arc<[UnknownVariable]>,
    generation: u64,
    schema: Arc<Schema>,
    sections: Arc<[Snapshot]>,
    source: Option<Arc<dyn Source>>,
    /// The fingerprint of the files that it was loaded from.
    #[cfg_attr(not(feature = "reload"), expect(dead_code, reason = "nothing is watched"))]
    fingerprint: Fingerprint,
}

/// The values set at run time, as they were recorded.
pub(super) type Overrides = BTreeMap<ConfigPath, Value>;

/// The source of a tree, which can be loaded again.
pub(super) trait Source: Send + Sync {
    /// The current configuration of the source, without any override. Blocks.
    fn load_again(&self) -> Result<ConfigTree, ConfigError>;

    /// The files to watch for changes, if any.
    fn watch(&self) -> Option<WatchSpec>;
}

/// The files to watch, how long they must be quiet before they are read, and how often they are read anyway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WatchSpec {
    pub(super) files: Vec<PathBuf>,
    pub(super) quiet: Duration,
    pub(super) poll: Duration,
    pub(super) max_bytes: usize,
}

impl ConfigTree {
    /// The tree of these layers, in which every declared section is valid.
    pub(super) fn new(
        base: Layers,
        unknown_variables: Vec<UnknownVariable>,
        schema: Arc<Schema>,
        source: Arc<dyn Source>,
    ) -> Result<Self, ConfigError> {
        let tree = Self { schema, source: Some(source), ..Self::bare(base, unknown_variables) };
        let sections = tree.read_sections(|_| true)?;
        Ok(Self { sections, ..tree })
    }

    fn bare(base: Layers, unknown_variables: Vec<UnknownVariable>) -> Self {
        Self {
            values: Values::new(base.values().clone()),
            base: Arc::new(base),
            overrides: BTreeMap::new(),
            unknown_variables: unknown_variables.into(),
            generation: 1,
            schema: Arc::default(),
            sections: Arc::new([]),
            source: None,
            fingerprint: Fingerprint::default(),
        }
    }

    pub(super) fn read_from(self, fingerprint: Fingerprint) -> Self {
        Self { fingerprint, ..self }
    }

    /// The fingerprint of the files that it was loaded from.
    #[cfg(feature = "reload")]
    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The value or section at a path.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownPath`], which names similar paths, or [`ConfigError::InvalidPath`].
    pub fn get(&self, path: impl AsRef<str>) -> Result<&Value, ConfigError> {
        let path = path.as_ref();
        self.values.get(path).ok_or_else(|| unknown_path(path, &self.base))
    }

    /// The value or section at a path, as a `T`.
    ///
    /// Nothing is converted, except an integer where `T` wants a float.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get); [`ConfigError::WrongType`], which names the path within the section,
    /// both types and the origin; and [`ConfigError::Unreadable`] for all else, such as a missing field.
    pub fn get_as<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Result<T, ConfigError> {
        let path = path.as_ref();
        read(self.get(path)?).map_err(|fault| self.misfit(path, &fault))
    }

    /// The whole configuration.
    pub fn root(&self) -> &Value {
        self.values.root()
    }

    /// The whole configuration, as a `T`.
    ///
    /// # Errors
    ///
    /// Those of [`get_as`](Self::get_as), except for the ones about the path.
    pub fn root_as<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        read(self.values.root()).map_err(|fault| self.misfit("", &fault))
    }

    fn misfit(&self, start: &str, fault: &ReadError) -> ConfigError {
        let path = fault.path(start);
        let origin = self.origin_of_part(&path);
        let hidden = self.hides(&path);
        let path = if path.is_empty() { "(root)".to_owned() } else { path };
        match &fault.problem {
            Problem::WrongType { wanted, .. } if hidden => ConfigError::WrongType {
                path,
                wanted: wanted.clone(),
                found: "a secret of another type".to_owned(),
                origin,
            },
            // The message of a hand-written `Deserialize` may contain the value.
            Problem::Other(_) if hidden => {
                ConfigError::Unreadable { path, reason: "it does not fit, and is a secret".to_owned(), origin }
            }
            Problem::WrongType { wanted, found } => {
                ConfigError::WrongType { path, wanted: wanted.clone(), found: found.clone(), origin }
            }
            Problem::Other(reason) => ConfigError::Unreadable { path, reason: reason.clone(), origin },
        }
    }

    /// The layer that a value comes from; for a section, the highest layer with a value in it.
    ///
    /// A section costs a pass over every path.
    ///
    /// ```
    /// use foundation_config_server::{ConfigSources, Origin};
    ///
    /// let tree = ConfigSources::new().defaults(serde_json::json!({ "port": 80 }))?.load()?;
    /// assert_eq!(tree.origin("port")?, Origin::Default);
    /// # Ok::<(), foundation_config_server::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub fn origin(&self, path: impl AsRef<str>) -> Result<Origin, ConfigError> {
        let path = path.as_ref();
        self.get(path)?;
        Ok(self.highest_origin(path))
    }

    /// The origin of the subject of an error, which may be a part of a value: arrays are leaves, and the part of the
    /// path from the first index on has no origin of its own.
    fn origin_of_part(&self, path: &str) -> Origin {
        self.highest_origin(path.split('[').next().unwrap_or_default())
    }

    /// The origin of a value, of a section, or of everything, for which the path is empty.
    fn highest_origin(&self, path: &str) -> Origin {
        if let Some(origin) = self.leaf_origin(path) {
            return origin;
        }
        let leaves = self.base.origins().keys();
        let highest = leaves
            .filter(|leaf| path.is_empty() || leaf.ancestry().any(|part| part == path))
            .filter_map(|leaf| self.leaf_origin(leaf.as_str()))
            .max();
        highest.unwrap_or(Origin::Default)
    }

    fn leaf_origin(&self, leaf: &str) -> Option<Origin> {
        match self.overrides.contains_key(leaf) {
            true => Some(Origin::Override),
            false => self.base.origins().get(leaf).cloned(),
        }
    }

    /// The paths of all values, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &ConfigPath> {
        self.base.origins().keys()
    }

    /// The values that were changed at run time, by path.
    pub fn overrides(&self) -> impl Iterator<Item = (&ConfigPath, &Value)> {
        self.overrides.iter()
    }

    /// The environment variables that set paths of their own, which may be misspelt.
    pub fn unknown_variables(&self) -> &[UnknownVariable] {
        &self.unknown_variables
    }

    /// How many trees there have been: 1 for the one that was loaded, and one more with each change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn overrides_as_recorded(&self) -> &Overrides {
        &self.overrides
    }

    /// Whether the value at a path was set at run time.
    pub(super) fn is_overridden(&self, path: &ConfigPath) -> bool {
        self.overrides.contains_key(path)
    }

    /// The value at a path without the overrides.
    pub(super) fn below(&self, path: &ConfigPath) -> Option<&Value> {
        find(self.base.values(), path.as_str())
    }
}

/// Trees with equal contents are equal, whatever was declared about them.
impl PartialEq for ConfigTree {
    fn eq(&self, other: &Self) -> bool {
        (self.generation, &self.overrides) == (other.generation, &other.overrides)
            && self.base == other.base
            && self.unknown_variables == other.unknown_variables
    }
}

impl fmt::Debug for ConfigTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigTree")
            .field("generation", &self.generation)
            .field("origins", self.base.origins())
            .field("overridden", &self.overrides.keys())
            .finish_non_exhaustive()
    }
}

impl Default for ConfigTree {
    /// A configuration without any setting.
    fn default() -> Self {
        Self::bare(Layers::new(), Vec::new())
    }
}
