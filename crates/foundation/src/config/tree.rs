//! The merged configuration.
//!
//! 1. The paths of `overrides` are paths of leaves of `base`. So dropping an override always has a value
//!    to fall back to, and `base` alone knows all paths.
//! 2. `values` is `base` with `overrides` written over it.
//! 3. An override differs from the value below it. So whether there is one can be told from the values,
//!    and a change needs no mark that says whether it sets an override or drops one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::change::ConfigChange;
use super::environment::UnknownVariable;
use super::error::ConfigError;
use super::layers::{Layers, find, replace, unknown_path};
use super::located::{Fault, Problem, read};
use super::origin::Origin;
use super::path::ConfigPath;

/// An immutable snapshot of the configuration: all layers merged, with the origin of each value.
///
/// It is made by [`ConfigSources::load`](crate::ConfigSources::load), and a new one by each
/// [`apply`](Self::apply). Sections are objects and everything else, arrays included, is a value. Paths
/// are given as text or as [`ConfigPath`]. Reading a path costs one search in a sorted map a segment and
/// copies nothing; only an error compares the path with all others.
///
/// `Debug` shows no values, since some may be secrets.
///
/// ```
/// use foundation::ConfigSources;
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
/// # Ok::<(), foundation::ConfigError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct ConfigTree {
    base: Arc<Layers>,
    values: Value,
    overrides: BTreeMap<ConfigPath, Value>,
    unknown_variables: Arc<[UnknownVariable]>,
    generation: u64,
}

impl ConfigTree {
    pub(super) fn new(base: Layers, unknown_variables: Vec<UnknownVariable>) -> Self {
        Self {
            values: base.values().clone(),
            base: Arc::new(base),
            overrides: BTreeMap::new(),
            unknown_variables: unknown_variables.into(),
            generation: 1,
        }
    }

    /// The value or section at a path.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownPath`], which names what is near, or [`ConfigError::InvalidPath`].
    pub fn get(&self, path: impl AsRef<str>) -> Result<&Value, ConfigError> {
        let path = path.as_ref();
        find(&self.values, path).ok_or_else(|| unknown_path(path, &self.base))
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
        &self.values
    }

    /// The whole configuration, as a `T`.
    ///
    /// # Errors
    ///
    /// Those of [`get_as`](Self::get_as), except for the ones about the path.
    pub fn root_as<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        read(&self.values).map_err(|fault| self.misfit("", &fault))
    }

    fn misfit(&self, start: &str, fault: &Fault) -> ConfigError {
        let path = fault.path(start);
        // Arrays are leaves: the part of the path from the first index on has no origin of its own.
        let origin = self.highest_origin(path.split('[').next().unwrap_or_default());
        let path = if path.is_empty() { "(root)".to_owned() } else { path };
        match &fault.problem {
            Problem::WrongType { wanted, found } => {
                ConfigError::WrongType { path, wanted: wanted.clone(), found: found.clone(), origin }
            }
            Problem::Other(reason) => ConfigError::Unreadable { path, reason: reason.clone(), origin },
        }
    }

    /// The layer that a value comes from; for a section, the highest layer with a value in it.
    ///
    /// A section costs a look at every path.
    ///
    /// ```
    /// use foundation::{ConfigSources, Origin};
    ///
    /// let tree = ConfigSources::new().defaults(serde_json::json!({ "port": 80 }))?.load()?;
    /// assert_eq!(tree.origin("port")?, Origin::Default);
    /// # Ok::<(), foundation::ConfigError>(())
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

    /// The tree after a change; this one stays as it is. Costs a copy of all values.
    ///
    /// A change that changes nothing gives an equal tree, of the same generation.
    ///
    /// ```
    /// use foundation::{ConfigChange, ConfigSources};
    ///
    /// let old = ConfigSources::new().defaults(serde_json::json!({ "port": 80 }))?.load()?;
    /// let change = ConfigChange::decide(&old, "port", 81.into())?;
    /// let new = old.apply(&change)?;
    /// assert_eq!((old.get("port")?.as_u64(), new.get("port")?.as_u64()), (Some(80), Some(81)));
    /// assert_eq!((old.generation(), new.generation()), (1, 2));
    /// # Ok::<(), foundation::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::Stale`] if the change was decided when the path had another value; those of
    /// [`ConfigChange::decide`] if it was not decided on this configuration at all.
    pub fn apply(&self, change: &ConfigChange) -> Result<Self, ConfigError> {
        let decided = ConfigChange::decide(self, &change.path, change.new.clone())?;
        if decided.old != change.old {
            let path = change.path.to_string();
            return Err(ConfigError::Stale { path });
        }
        let mut next = self.clone();
        if !decided.is_noop() {
            next.set(decided.path, decided.new);
            next.generation += 1;
        }
        Ok(next)
    }

    fn set(&mut self, path: ConfigPath, value: Value) {
        replace(&mut self.values, &path, value.clone());
        if self.below(&path) == Some(&value) {
            self.overrides.remove(&path);
        } else {
            self.overrides.insert(path, value);
        }
    }

    /// The value at a path without the overrides.
    pub(super) fn below(&self, path: &ConfigPath) -> Option<&Value> {
        find(self.base.values(), path.as_str())
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
        Self::new(Layers::new(), Vec::new())
    }
}
