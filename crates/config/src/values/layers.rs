//! The layers below the run-time overrides, merged.
//!
//! 1. `values` is an object, and so is every section in it; all else is a leaf. Arrays are leaves.
//! 2. `origins` has an entry for each leaf, and for nothing else.
//! 3. Every key of a section is a valid segment, so every leaf can be reached by a [`ConfigPath`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::error::{ConfigError, PathFault};
use super::near::near_misses;
use super::origin::Origin;
use super::path::{ConfigPath, fault};
use super::value_type::{ValueType, fit};

/// A layer's setting for one path; an empty object stands for a section without values.
pub(super) struct Setting {
    pub(super) path: ConfigPath,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

#[derive(Clone, PartialEq)]
pub(super) struct Layers {
    values: Value,
    origins: BTreeMap<ConfigPath, Origin>,
}

impl Layers {
    pub(super) fn new() -> Self {
        Self { values: Value::Object(Map::new()), origins: BTreeMap::new() }
    }

    pub(super) fn values(&self) -> &Value {
        &self.values
    }

    pub(super) fn origins(&self) -> &BTreeMap<ConfigPath, Origin> {
        &self.origins
    }

    /// Puts a setting of a higher layer over the lower ones; a refused setting changes nothing.
    pub(super) fn put(&mut self, setting: Setting) -> Result<(), ConfigError> {
        let wanted = self.wanted(&setting)?;
        let found = ValueType::of(&setting.value);
        match fit(wanted, setting.value) {
            Some(value) => self.write(setting.path, value, setting.origin),
            None => {
                let wanted = wanted.to_string();
                let path = setting.path.as_str();
                return Err(wrong_type(path, wanted, found, setting.origin));
            }
        }
        Ok(())
    }

    pub(super) fn put_all(&mut self, settings: Vec<Setting>) -> Result<(), ConfigError> {
        settings.into_iter().try_for_each(|setting| self.put(setting))
    }

    /// The type that the lower layers require at the path of a setting.
    fn wanted(&self, setting: &Setting) -> Result<ValueType, ConfigError> {
        let mut wanted = ValueType::Nothing;
        for path in setting.path.ancestry() {
            if !matches!(wanted, ValueType::Nothing | ValueType::Section) {
                let section = path.rsplit_once('.').map_or(path, |(section, _)| section);
                let origin = setting.origin.clone();
                let wanted = wanted.to_string();
                return Err(wrong_type(section, wanted, ValueType::Section, origin));
            }
            wanted = find(&self.values, path).map_or(ValueType::Nothing, ValueType::of);
        }
        Ok(wanted)
    }

    fn write(&mut self, path: ConfigPath, value: Value, origin: Origin) {
        let mut place = &mut self.values;
        for (segment, section) in path.segments().zip(path.ancestry()) {
            // A `null` that gets values of its own is no longer a leaf (invariant 2).
            self.origins.remove(section);
            place = entry(place, segment);
        }
        match &value {
            Value::Object(_) if place.is_object() => {}
            Value::Object(_) => *place = value,
            _ => {
                *place = value;
                self.origins.insert(path, origin);
            }
        }
    }
}

/// The entry of a key in a section; a value that is not a section becomes one.
fn entry<'a>(section: &'a mut Value, key: &str) -> &'a mut Value {
    if !section.is_object() {
        *section = Value::Object(Map::new());
    }
    &mut section[key]
}

/// The value or section at a path, if there is one.
pub(super) fn find<'a>(values: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(values, |section, key| section.as_object()?.get(key))
}

/// Replaces the value at the path of an existing leaf.
pub(super) fn replace(values: &mut Value, path: &ConfigPath, value: Value) {
    *path.segments().fold(values, entry) = value;
}

/// The error for a path that is neither a value nor a section.
pub(super) fn unknown_path(path: &str, layers: &Layers) -> ConfigError {
    if let Some(fault) = fault(path) {
        return ConfigError::invalid_path(path, fault);
    }
    let top_level = layers.values.as_object().into_iter().flat_map(Map::keys);
    ConfigError::UnknownPath {
        path: path.to_owned(),
        near: near_misses(path, &known_paths(layers)),
        top_level: top_level.take(10).cloned().collect(),
    }
}

/// The paths of all leaves and of all sections with leaves.
pub(super) fn known_paths(layers: &Layers) -> BTreeSet<&str> {
    let leaves = layers.origins.keys();
    leaves.flat_map(ConfigPath::ancestry).collect()
}

pub(super) fn wrong_type(path: &str, wanted: impl Into<String>, found: ValueType, origin: Origin) -> ConfigError {
    ConfigError::WrongType { path: path.to_owned(), wanted: wanted.into(), found: found.to_string(), origin }
}

/// The settings of a layer given as one object, all with the same origin.
pub(super) fn settings(values: Value, origin: &Origin) -> Result<Vec<Setting>, ConfigError> {
    let mut settings = Vec::new();
    if let Value::Object(map) = values {
        for (key, value) in map {
            refuse_dots(&key, origin)?;
            collect(key, value, origin, &mut settings)?;
        }
    }
    Ok(settings)
}

fn collect(path: String, value: Value, origin: &Origin, settings: &mut Vec<Setting>) -> Result<(), ConfigError> {
    // The check of each section's path bounds the recursion, since it bounds the depth.
    let checked = checked_key(&path, origin)?;
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                refuse_dots(&key, origin)?;
                collect(format!("{path}.{key}"), value, origin, settings)?;
            }
        }
        value => settings.push(Setting { path: checked, value, origin: origin.clone() }),
    }
    Ok(())
}

/// The path of a key that was found in a layer.
pub(super) fn checked_key(path: &str, origin: &Origin) -> Result<ConfigPath, ConfigError> {
    match fault(path) {
        None => ConfigPath::new(path),
        Some(fault) => Err(ConfigError::invalid_key(path, origin, fault)),
    }
}

/// A key with a dot in it would mean another one in a section.
pub(super) fn refuse_dots(key: &str, origin: &Origin) -> Result<(), ConfigError> {
    match key.contains('.') {
        true => Err(ConfigError::invalid_key(key, origin, PathFault::DottedKey)),
        false => Ok(()),
    }
}
