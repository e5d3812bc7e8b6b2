//! The merged configuration.
//!
//! 1. The paths of `overrides` are paths of leaves of `base`. So dropping an override always has a value
//!    to fall back to, and `base` alone knows all paths.
//! 2. `values` is `base` with `overrides` written over it, an integer where `base` has a float as a float.
//! 3. An override stays until it is dropped, even while it equals the value below. The values below may change, and the
//!    values in force must follow from the records and from the current files, not from earlier files.
//! 4. `sections` has a snapshot of each declared section, in the order of the schema, read from `values`.
//!
//! The decisions on a [`ConfigChange`] are here as well: they are about a tree and the next one. The type itself is
//! apart, since records have it and know no tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::text::excerpt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::audit::Audit;
use super::change::ConfigChange;
use super::error::{ConfigError, InvalidValue};
use super::fingerprint::Fingerprint;
use super::layers::{Layers, Values};
use super::limits::ConfigLimits;
use super::located::{Problem, read};
use super::origin::ValueOrigin;
use super::path::{ConfigPath, ancestry};
use super::section::{ConfigSection, Schema, SectionError, Snapshot, typed};
use super::unknown_variable::UnknownVariable;
use super::value_type::ValueType;

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

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
    /// The values set at run time, as they were recorded.
    overrides: BTreeMap<ConfigPath, Value>,
    unknown_variables: Arc<[UnknownVariable]>,
    generation: u64,
    schema: Arc<Schema>,
    sections: Arc<[Snapshot]>,
    source: Option<Arc<dyn Source>>,
    /// The fingerprint of the files that it was loaded from.
    fingerprint: Fingerprint,
}

/// A value set at run time: as it was recorded, and with the type that the layers have there.
pub(crate) struct Override {
    recorded: Value,
    fitted: Value,
}

/// The source of a tree, which can be loaded again.
#[cfg_attr(not(feature = "reload"), expect(dead_code, reason = "nothing is watched"))]
pub(crate) trait Source: Send + Sync {
    /// Whether a change at run time has to be recorded.
    fn audit(&self) -> Audit;

    /// The current configuration of the source, without any override. Blocks.
    fn load_again(&self) -> Result<ConfigTree, ConfigError>;

    /// If the files are to be watched: how long they must be quiet before they are read, and how often they are read
    /// anyway.
    fn watch(&self) -> Option<(Duration, Duration)>;

    /// The files.
    fn files(&self) -> Vec<PathBuf>;

    /// The fingerprint of the files as they are now. Blocks, and costs reading them.
    fn fingerprint(&self) -> Fingerprint;
}

impl ConfigTree {
    /// The tree of these layers, which are within the limits, and in which every declared section is valid.
    pub(crate) fn new(
        base: Layers,
        unknown_variables: Vec<UnknownVariable>,
        schema: Arc<Schema>,
        source: Arc<dyn Source>,
        fingerprint: Fingerprint,
    ) -> Result<Self, ConfigError> {
        check(&base, &schema.limits)?;
        let tree = Self { schema, source: Some(source), fingerprint, ..Self::bare(base, unknown_variables) };
        let sections = tree.read_sections(|_| true)?;
        Ok(Self { sections, ..tree })
    }

    fn bare(base: Layers, unknown_variables: Vec<UnknownVariable>) -> Self {
        Self {
            values: Values::from(&base),
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

    // ---- reading ----

    /// The value or section at a path.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownPath`], which names similar paths, or [`ConfigError::InvalidPath`].
    #[inline]
    pub fn get(&self, path: impl AsRef<str>) -> Result<&Value, ConfigError> {
        let path = path.as_ref();
        self.values.get(path).ok_or_else(|| self.unknown_path(path))
    }

    /// The value or section at a path, as a `T`.
    ///
    /// Nothing is converted, except an integer where `T` wants a float.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get); [`ConfigError::WrongType`], which names the path within the section,
    /// both types and the origin; and [`ConfigError::Unreadable`] for all else, such as a missing field.
    #[inline]
    pub fn get_as<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Result<T, ConfigError> {
        let path = path.as_ref();
        read(self.get(path)?, path).map_err(|(path, problem)| self.misfit(path, problem))
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
        read(self.values.root(), "").map_err(|(path, problem)| self.misfit(path, problem))
    }

    /// A section as its declared type, as read and validated when this tree was made.
    ///
    /// Costs a search in the list of the declared types and a count of the `Arc`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UndeclaredSection`].
    pub fn section<T: ConfigSection>(&self) -> Result<Arc<T>, ConfigError> {
        let index = self.section_index::<T>()?;
        self.section_at(index).map(Arc::clone).ok_or_else(undeclared::<T>)
    }

    pub(crate) fn section_index<T: ConfigSection>(&self) -> Result<usize, ConfigError> {
        self.schema.index_of::<T>().ok_or_else(undeclared::<T>)
    }

    pub(crate) fn section_at<T: ConfigSection>(&self, index: usize) -> Option<&Arc<T>> {
        self.sections.get(index).and_then(typed)
    }

    /// All snapshots of sections, in the order of their declaration.
    pub(crate) fn snapshots(&self) -> &Arc<[Snapshot]> {
        &self.sections
    }

    /// The layer that a value comes from; for a section, the highest layer with a value in it.
    ///
    /// A section costs a pass over every path.
    ///
    /// ```
    /// use foundation_config_server::{ConfigSources, ValueOrigin};
    ///
    /// let tree = ConfigSources::new().defaults(serde_json::json!({ "port": 80 }))?.load()?;
    /// assert_eq!(tree.origin("port")?, ValueOrigin::Default);
    /// # Ok::<(), foundation_config_server::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub fn origin(&self, path: impl AsRef<str>) -> Result<ValueOrigin, ConfigError> {
        let path = path.as_ref();
        self.get(path)?;
        Ok(self.highest_origin(path))
    }

    /// The origin of a value, of a section, or of everything, for which the path is empty. A part of an array has that
    /// of the array.
    fn highest_origin(&self, path: &str) -> ValueOrigin {
        let path = ancestry(path).last().unwrap_or_default();
        if let Some(origin) = self.leaf_origin(path) {
            return origin;
        }
        let leaves = self.base.origins().keys().map(ConfigPath::as_str);
        let inside = leaves.filter(|leaf| path.is_empty() || ancestry(leaf).any(|part| part == path));
        inside.filter_map(|leaf| self.leaf_origin(leaf)).max().unwrap_or(ValueOrigin::Default)
    }

    fn leaf_origin(&self, leaf: &str) -> Option<ValueOrigin> {
        match self.overrides.contains_key(leaf) {
            true => Some(ValueOrigin::Override),
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

    /// The values that may change at run time, sorted.
    ///
    /// ```
    /// use foundation_config_server::ConfigSources;
    ///
    /// let defaults = serde_json::json!({ "server": { "host": "localhost", "port": 80 } });
    /// let tree = ConfigSources::new().defaults(defaults)?.updatable("server.port")?.load()?;
    /// assert!(tree.updatable_paths().map(|path| path.as_str()).eq(["server.port"]));
    /// # Ok::<(), foundation_config_server::ConfigError>(())
    /// ```
    pub fn updatable_paths(&self) -> impl Iterator<Item = &ConfigPath> {
        self.paths().filter(|path| self.schema.is_updatable(path) && !self.schema.is_secret(path.as_str()))
    }

    /// The whole configuration, with `"[redacted]"` in place of each secret: to write it down or to send it away. Costs
    /// a copy of all values.
    ///
    /// ```
    /// use foundation_config_server::ConfigSources;
    /// use serde_json::json;
    ///
    /// let defaults = json!({ "database": { "user": "app", "password": "hunter2" } });
    /// let tree = ConfigSources::new().defaults(defaults)?.secret("database.password")?.load()?;
    /// assert_eq!(tree.export(), json!({ "database": { "user": "app", "password": "[redacted]" } }));
    /// # Ok::<(), foundation_config_server::ConfigError>(())
    /// ```
    pub fn export(&self) -> Value {
        let mut values = self.values.clone();
        for path in self.paths().filter(|path| self.schema.is_secret(path.as_str())) {
            let shown = self.shown(path, self.value(path));
            values.replace(path, shown);
        }
        values.into()
    }

    /// The value as it may be shown.
    fn shown(&self, path: &ConfigPath, value: Value) -> Value {
        if value.is_null() || !self.schema.is_secret(path.as_str()) { value } else { Value::from(REDACTED) }
    }

    /// The value at the path of a leaf; `null` if there is none.
    fn value(&self, path: &ConfigPath) -> Value {
        self.values.get(path.as_str()).cloned().unwrap_or_default()
    }

    /// Whether a change at run time has to be recorded.
    pub(crate) fn audit(&self) -> Audit {
        self.source.as_ref().map_or(Audit::default(), |source| source.audit())
    }

    /// The source that it was loaded from, if any, and the fingerprint of the files then.
    pub(crate) fn source(&self) -> Option<(&Arc<dyn Source>, Fingerprint)> {
        Some((self.source.as_ref()?, self.fingerprint))
    }

    // ---- the next tree ----

    /// The tree after a change; this one stays as it is. Costs a copy of all values.
    ///
    /// A change that changes nothing gives an equal tree, of the same generation.
    ///
    /// ```
    /// use foundation_config_server::{ConfigChange, ConfigSources};
    ///
    /// let old = ConfigSources::new().defaults(serde_json::json!({ "port": 80 }))?.updatable("port")?.load()?;
    /// let change = ConfigChange::decide(&old, "port", 81.into())?;
    /// let new = old.apply(&change)?;
    /// assert_eq!((old.get("port")?.as_u64(), new.get("port")?.as_u64()), (Some(80), Some(81)));
    /// assert_eq!((old.generation(), new.generation()), (1, 2));
    /// # Ok::<(), foundation_config_server::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::Stale`] if the change was decided when the path had another value; those of
    /// [`ConfigChange::decide`] if it was not decided on this configuration at all.
    pub fn apply(&self, change: &ConfigChange) -> Result<Self, ConfigError> {
        self.apply_all(std::slice::from_ref(change))
    }

    /// The tree after several changes, all or none: they lead to one generation, and are validated as a whole.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply); [`ConfigError::InvalidSection`] if a declared section does not pass its validation
    /// with all of the changes applied.
    pub fn apply_all(&self, changes: &[ConfigChange]) -> Result<Self, ConfigError> {
        let decided: Vec<_> = changes.iter().map(|change| self.decided_again(change)).collect::<Result<_, _>>()?;
        let real: Vec<_> = decided.into_iter().filter(|change| !change.is_noop()).collect();
        self.carry_out(&real)
    }

    fn decided_again(&self, change: &ConfigChange) -> Result<ConfigChange, ConfigError> {
        let ConfigChange { path, new, reset, .. } = change;
        let decided =
            if *reset { ConfigChange::reset(self, path) } else { ConfigChange::decide(self, path, new.clone()) }?;
        match decided.old == change.old {
            true => Ok(decided),
            false => Err(ConfigError::Stale { path: path.to_string() }),
        }
    }

    /// The tree after changes that were decided on this one, each of which changes something.
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidSection`].
    pub(crate) fn carry_out(&self, decided: &[ConfigChange]) -> Result<Self, ConfigError> {
        let mut next = self.clone();
        if decided.is_empty() {
            return Ok(next);
        }
        for ConfigChange { path, new, reset, .. } in decided {
            next.values.replace(path, new.clone());
            match reset {
                true => drop(next.overrides.remove(path)),
                false => drop(next.overrides.insert(path.clone(), new.clone())),
            }
        }
        next.sections = next.read_sections(|section| decided.iter().any(|change| change.path.is_within(section)))?;
        next.generation += 1;
        Ok(next)
    }

    /// The checked path of a single value, and that value.
    fn leaf(&self, path: &str) -> Result<(ConfigPath, &Value), ConfigError> {
        let value = self.get(path)?;
        let path = ConfigPath::new(path)?;
        if value.is_object() { Err(self.is_section(&path)) } else { Ok((path, value)) }
    }

    /// Refuses a value that was not declared as one that may be set at run time.
    fn check_declared(&self, path: &ConfigPath) -> Result<(), ConfigError> {
        match path {
            path if self.schema.hides(path.as_str()) => Err(ConfigError::Secret { path: path.to_string() }),
            path if !self.schema.is_updatable(path) => Err(self.not_updatable(path)),
            _ => Ok(()),
        }
    }

    /// A value as an override of what the layers have there. Whether it is declared and within the limits is decided
    /// first, whatever the layers have.
    ///
    /// # Errors
    ///
    /// Those of [`ConfigChange::decide`].
    pub(crate) fn fit(&self, path: &ConfigPath, new: &Value) -> Result<Override, ConfigError> {
        self.check_declared(path)?;
        self.schema.limits.check_value(path.as_str(), new, &ValueOrigin::Override)?;
        self.leaf(path.as_str())?;
        let fitted = fitted(path, self.below(path).unwrap_or(&Value::Null), new.clone())?;
        Ok(Override { recorded: new.clone(), fitted })
    }

    /// The value at a path without the overrides.
    fn below(&self, path: &ConfigPath) -> Option<&Value> {
        self.base.get(path.as_str())
    }

    /// The error for a value that may not change, with some of those that may.
    fn not_updatable(&self, path: &ConfigPath) -> ConfigError {
        let updatable = self.updatable_paths().take(10).map(ConfigPath::to_string).collect();
        ConfigError::NotUpdatable { path: path.to_string(), updatable }
    }

    fn is_section(&self, section: &ConfigPath) -> ConfigError {
        let inside = self.paths().filter(|path| path.is_within(section));
        ConfigError::IsSection { path: section.to_string(), keys: inside.take(10).map(ConfigPath::to_string).collect() }
    }

    /// The overrides of this tree, as they fit its layers.
    pub(crate) fn fitted_overrides(&self) -> BTreeMap<ConfigPath, Override> {
        let of = |(path, recorded): (&ConfigPath, &Value)| {
            (path.clone(), Override { recorded: recorded.clone(), fitted: self.value(path) })
        };
        self.overrides.iter().map(of).collect()
    }

    /// The layers of this tree with exactly these overrides over them, which fit them; of the same generation.
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidSection`].
    pub(crate) fn with_overrides(&self, overrides: BTreeMap<ConfigPath, Override>) -> Result<Self, ConfigError> {
        let mut next = self.clone();
        for path in self.overrides.keys() {
            next.values.replace(path, self.below(path).cloned().unwrap_or_default());
        }
        next.overrides.clear();
        for (path, Override { recorded, fitted }) in overrides {
            next.values.replace(&path, fitted);
            next.overrides.insert(path, recorded);
        }
        next.sections = next.read_sections(|_| true)?;
        Ok(next)
    }

    /// The tree with the layers of another one below the overrides of this one, and what that changes. Secrets are
    /// redacted in the changes. If it changes nothing, the generation stays; lines may have moved nevertheless.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotUpdatable`] for the first value that may not change; [`ConfigError::Orphaned`] and the errors
    /// of [`ConfigChange::decide`] about overrides that do not fit any more; [`ConfigError::InvalidSection`].
    pub(crate) fn rebase(&self, loaded: &Self) -> Result<(Self, Vec<ConfigChange>), ConfigError> {
        let fit = |(path, value): (&ConfigPath, &Value)| match loaded.fit(path, value) {
            Err(ConfigError::UnknownPath { .. }) => Err(ConfigError::Orphaned { path: path.to_string() }),
            fit => Ok((path.clone(), fit?)),
        };
        let mut next = loaded.with_overrides(self.overrides.iter().map(fit).collect::<Result<_, _>>()?)?;
        let changes = self.differences(&next);
        match changes.iter().find(|change| !self.schema.is_updatable(&change.path)) {
            Some(change) => Err(self.not_updatable(&change.path)),
            None => {
                next.generation = self.generation + u64::from(!changes.is_empty());
                Ok((next, changes))
            }
        }
    }

    /// The same layers with other overrides as the next tree, and what that changes; `None` if the overrides are the
    /// same.
    pub(crate) fn replaced_by(&self, mut next: Self) -> Option<(Self, Vec<ConfigChange>)> {
        let changes = self.differences(&next);
        next.generation = self.generation + 1;
        (next.overrides != self.overrides).then_some((next, changes))
    }

    /// What has another value in the next tree, or is only in one of the two.
    fn differences(&self, next: &Self) -> Vec<ConfigChange> {
        let paths: BTreeSet<_> = self.paths().chain(next.paths()).collect();
        let changes = paths.into_iter().filter_map(|path| {
            let (old, new) = (self.value(path), next.value(path));
            let shown = |value| self.shown(path, value);
            (old != new).then(|| ConfigChange { path: path.clone(), old: shown(old), new: shown(new), reset: false })
        });
        changes.collect()
    }

    /// The snapshots of all sections: those that have changed are read anew, the others are taken over.
    fn read_sections(&self, has_changed: impl Fn(&ConfigPath) -> bool) -> Result<Arc<[Snapshot]>, ConfigError> {
        let read = self.schema.read_sections(&self.sections, has_changed, |path| self.values.get(path));
        read.map_err(|(section, error)| self.not_in_force(section.as_str(), error))
    }

    // ---- errors ----

    /// The error for a path that is neither a value nor a section.
    fn unknown_path(&self, path: &str) -> ConfigError {
        if let Err(invalid) = ConfigPath::new(path) {
            return invalid;
        }
        let top_level = self.values.root().as_object().into_iter().flat_map(Map::keys);
        let top_level = top_level.take(10).cloned().collect();
        ConfigError::UnknownPath { path: path.to_owned(), near: self.base.near_misses(path), top_level }
    }

    fn not_in_force(&self, section: &str, error: SectionError) -> ConfigError {
        match error {
            SectionError::Unreadable(path, problem) => self.misfit(path, problem),
            SectionError::Invalid(fields) => {
                let values = fields.into_iter().map(|(field, reason)| self.invalid(section, &field, reason));
                ConfigError::InvalidSection { section: section.to_owned(), values: values.collect() }
            }
            SectionError::Panicked(reason) => {
                // The reason may contain the value.
                let is_hidden = self.schema.hides(section);
                let reason = if is_hidden { "there is a secret in it".to_owned() } else { excerpt(&reason) };
                ConfigError::Panicked { what: format!("the check of config section {section}"), reason }
            }
        }
    }

    fn invalid(&self, section: &str, field: &str, reason: String) -> InvalidValue {
        let path = if field.is_empty() { section.to_owned() } else { format!("{section}.{field}") };
        // The message of a hand-written check may contain the value.
        let is_hidden = self.schema.hides(&path);
        let reason = if is_hidden { "not valid, and a secret".to_owned() } else { excerpt(&reason) };
        InvalidValue { origin: self.highest_origin(&path), path, reason }
    }

    fn misfit(&self, path: String, problem: Problem) -> ConfigError {
        let origin = self.highest_origin(&path);
        let is_hidden = self.schema.hides(&path);
        let path = if path.is_empty() { "(root)".to_owned() } else { path };
        match problem {
            Problem::WrongType { wanted, .. } if is_hidden => {
                ConfigError::WrongType { path, wanted, found: "a secret of another type".to_owned(), origin }
            }
            // The message of a hand-written `Deserialize` may contain the value.
            Problem::Other(_) if is_hidden => {
                ConfigError::Unreadable { path, reason: "it does not fit, and is a secret".to_owned(), origin }
            }
            Problem::WrongType { wanted, found } => ConfigError::WrongType { path, wanted, found, origin },
            Problem::Other(reason) => ConfigError::Unreadable { path, reason, origin },
        }
    }
}

impl ConfigChange {
    /// The change that sets a value, as an override.
    ///
    /// The value has to be of the type that the current one has; an integer is taken for a float, and
    /// anything but a section for `null`. Setting the value that the layers below have, where an override
    /// has another one, drops the override, exactly as [`reset`](Self::reset) does; setting the value that is in force
    /// already changes nothing.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownPath`] and [`ConfigError::InvalidPath`]; [`ConfigError::IsSection`], since
    /// only single values can be set; [`ConfigError::NotUpdatable`] and [`ConfigError::Secret`];
    /// [`ConfigError::OverLimit`]; [`ConfigError::WrongType`].
    pub fn decide(tree: &ConfigTree, path: impl AsRef<str>, new: Value) -> Result<Self, ConfigError> {
        let (path, old) = tree.leaf(path.as_ref())?;
        tree.check_declared(&path)?;
        tree.schema.limits.check_value(path.as_str(), &new, &ValueOrigin::Override)?;
        let is_below = |new: &Value| tree.below(&path) == Some(new);
        let new = if is_below(&new) { new } else { fitted(&path, old, new)? };
        let reset = new != *old && is_below(&new);
        Ok(Self { old: old.clone(), path, new, reset })
    }

    /// The change that drops an override, so that the value of the layers below shows again.
    ///
    /// Without an override it is a [no-op](Self::is_noop).
    ///
    /// ```
    /// use foundation_config_server::{ConfigChange, ConfigSources};
    ///
    /// let tree = ConfigSources::new().defaults(serde_json::json!({ "port": 80 }))?.updatable("port")?.load()?;
    /// assert!(ConfigChange::reset(&tree, "port")?.is_noop());
    ///
    /// let changed = tree.apply(&ConfigChange::decide(&tree, "port", 81.into())?)?;
    /// assert_eq!(ConfigChange::reset(&changed, "port")?.new, 80);
    /// # Ok::<(), foundation_config_server::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownPath`], [`ConfigError::InvalidPath`], [`ConfigError::IsSection`],
    /// [`ConfigError::NotUpdatable`] and [`ConfigError::Secret`].
    pub fn reset(tree: &ConfigTree, path: impl AsRef<str>) -> Result<Self, ConfigError> {
        let (path, old) = tree.leaf(path.as_ref())?;
        tree.check_declared(&path)?;
        let new = tree.below(&path).unwrap_or(old).clone();
        let reset = tree.overrides.contains_key(&path);
        Ok(Self { old: old.clone(), path, new, reset })
    }
}

/// Whether all layers together are within the limits.
fn check(layers: &Layers, limits: &ConfigLimits) -> Result<(), ConfigError> {
    let found = layers.origins().len();
    if found > limits.max_paths {
        let (what, found) = ("the configuration".to_owned(), format!("{found} values"));
        return Err(ConfigError::OverLimit { what, found, limit: limits.max_paths });
    }
    layers.origins().iter().try_for_each(|(path, origin)| {
        let value = layers.get(path.as_str());
        value.map_or(Ok(()), |value| limits.check_value(path.as_str(), value, origin))
    })
}

/// The value as a replacement for the old one.
fn fitted(path: &ConfigPath, old: &Value, new: Value) -> Result<Value, ConfigError> {
    let (wanted, found) = (ValueType::from(old), ValueType::from(&new));
    match wanted.fit(new) {
        Some(value) if found != ValueType::Section => Ok(value),
        Some(_) => Err(ConfigError::wrong_type(path.as_str(), "single value", found, ValueOrigin::Override)),
        None => Err(ConfigError::wrong_type(path.as_str(), wanted, found, ValueOrigin::Override)),
    }
}

/// The error for a section type that was not declared.
fn undeclared<T: ConfigSection>() -> ConfigError {
    ConfigError::UndeclaredSection { section: T::PATH.to_owned(), type_name: std::any::type_name::<T>() }
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
        Self::bare(Layers::default(), Vec::new())
    }
}
