//! The layers of a configuration: those below the run-time overrides, merged, and the values in force.
//!
//! 1. `values` of [`Layers`] is an object, and so is every section in it; all else is a leaf. Arrays are leaves.
//! 2. `origins` has an entry for each leaf, and for nothing else.
//! 3. Every key of a section is a valid segment, so every leaf can be reached by a [`ConfigPath`].
//! 4. Each value in `plain` of [`Values`] is in `tree`, too. `plain` has no sections and no arrays, so it costs little
//!    to keep.
//! 5. A path that is not in `plain` is found in `tree`, if it exists at all.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt};
use foundation_kernel::names::NearMisses;
use serde_json::{Map, Value};
use strsim::normalized_damerau_levenshtein as likeness;

use super::error::{ConfigError, ConfigPathErrorKind, shortened};
use super::origin::ValueOrigin;
use super::path::{ConfigPath, ancestry};
use super::value_type::ValueType;

/// Paths less close than this are no near misses; 1 is equality.
const MIN_CLOSENESS: f64 = 0.6;

/// The layers below the run-time overrides, merged.
#[derive(Clone, PartialEq)]
pub(crate) struct Layers {
    values: Value,
    origins: BTreeMap<ConfigPath, ValueOrigin>,
}

impl Default for Layers {
    fn default() -> Self {
        Self { values: Value::Object(Map::new()), origins: BTreeMap::new() }
    }
}

impl Layers {
    /// The value or section at a path, if there is one; everything if there is no path.
    pub(crate) fn get<'a>(&self, path: impl Into<Option<&'a str>>) -> Option<&Value> {
        match path.into() {
            Some(path) => find(&self.values, path),
            None => Some(&self.values),
        }
    }

    pub(crate) fn origins(&self) -> &BTreeMap<ConfigPath, ValueOrigin> {
        &self.origins
    }

    /// Puts a value of a higher layer over the lower ones; a refused one changes nothing. An empty object stands for a
    /// section without values.
    pub(crate) fn put(&mut self, path: ConfigPath, value: Value, origin: ValueOrigin) -> Result<(), ConfigError> {
        let wanted = self.wanted(&path, &origin)?;
        let found = ValueType::from(&value);
        match wanted.fit(value) {
            Some(value) => self.write(path, value, origin),
            None => return Err(ConfigError::wrong_type(path.as_str(), wanted, found, origin)),
        }
        Ok(())
    }

    /// Puts a layer over the lower ones that is given as one object, all of it with the same origin.
    pub(crate) fn put_object(&mut self, values: Value, origin: &ValueOrigin) -> Result<(), ConfigError> {
        let mut settings = Vec::new();
        if let Value::Object(map) = values {
            for (key, value) in map {
                refuse_dots(&key, origin)?;
                collect(key, value, origin, &mut settings)?;
            }
        }
        settings.into_iter().try_for_each(|(path, value)| self.put(path, value, origin.clone()))
    }

    /// The type that the lower layers require at a path.
    fn wanted(&self, path: &ConfigPath, origin: &ValueOrigin) -> Result<ValueType, ConfigError> {
        let mut wanted = ValueType::Nothing;
        for path in ancestry(path.as_str()) {
            if !matches!(wanted, ValueType::Nothing | ValueType::Section) {
                let section = path.rsplit_once('.').map_or(path, |(section, _)| section);
                return Err(ConfigError::wrong_type(section, wanted, ValueType::Section, origin.clone()));
            }
            wanted = find(&self.values, path).map_or(ValueType::Nothing, ValueType::from);
        }
        Ok(wanted)
    }

    fn write(&mut self, path: ConfigPath, value: Value, origin: ValueOrigin) {
        let mut place = &mut self.values;
        for (segment, section) in path.segments().zip(ancestry(path.as_str())) {
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

    /// The known paths, of values and of sections with values, that look like the wanted one.
    ///
    /// The last segment counts as much as the whole path: a wrong section is a common mistake, and two settings are not
    /// alike because their sections are. Costs a comparison with each known path, so it is for errors only.
    pub(crate) fn near_misses(&self, wanted: &str) -> NearMisses {
        let known: BTreeSet<_> = self.origins.keys().flat_map(|leaf| ancestry(leaf.as_str())).collect();
        NearMisses::ranked(known.into_iter().map(|path| (closeness(wanted, path), path)), MIN_CLOSENESS)
    }
}

/// How alike two paths are, from 0 to 1.
fn closeness(wanted: &str, path: &str) -> f64 {
    (likeness(wanted, path) + likeness(last_segment(wanted), last_segment(path))) / 2.0
}

fn last_segment(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, last)| last)
}

fn collect(
    path: String,
    value: Value,
    origin: &ValueOrigin,
    settings: &mut Vec<(ConfigPath, Value)>,
) -> Result<(), ConfigError> {
    // The check of each section's path bounds the recursion, since it bounds the depth.
    let checked = checked_key(&path, origin)?;
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                refuse_dots(&key, origin)?;
                collect(format!("{path}.{key}"), value, origin, settings)?;
            }
        }
        value => settings.push((checked, value)),
    }
    Ok(())
}

/// The path of a key that was found in a layer.
pub(crate) fn checked_key(path: &str, origin: &ValueOrigin) -> Result<ConfigPath, ConfigError> {
    ConfigPath::new(path).map_err(|error| match error {
        ConfigError::InvalidPath { path: name, kind } => ConfigError::InvalidKey { name, origin: origin.clone(), kind },
        other => other,
    })
}

/// A key with a dot in it would mean another one in a section.
fn refuse_dots(key: &str, origin: &ValueOrigin) -> Result<(), ConfigError> {
    match key.contains('.') {
        true => {
            let (name, origin) = (shortened(key), origin.clone());
            Err(ConfigError::InvalidKey { name, origin, kind: ConfigPathErrorKind::DottedKey })
        }
        false => Ok(()),
    }
}

/// The values in force, with access to each of them in one step.
#[derive(Clone)]
pub(super) struct Values {
    tree: Value,
    plain: HashMap<Box<str>, Value>,
}

/// The values of the layers alone.
impl From<&Layers> for Values {
    fn from(layers: &Layers) -> Self {
        let mut plain = HashMap::new();
        collect_plain(&layers.values, &mut String::new(), &mut plain);
        Self { tree: layers.values.clone(), plain }
    }
}

/// Everything.
impl From<Values> for Value {
    fn from(values: Values) -> Self {
        values.tree
    }
}

impl Values {
    /// Everything.
    pub(super) fn root(&self) -> &Value {
        &self.tree
    }

    /// The value or section at a path, if there is one. A plain value costs one hash of the path.
    pub(super) fn get(&self, path: &str) -> Option<&Value> {
        self.plain.get(path).or_else(|| find(&self.tree, path))
    }

    /// Replaces the value at the path of an existing leaf.
    pub(super) fn replace(&mut self, path: &ConfigPath, value: Value) {
        match is_plain(&value) {
            true => drop(self.plain.insert(path.as_str().into(), value.clone())),
            false => drop(self.plain.remove(path.as_str())),
        }
        *path.segments().fold(&mut self.tree, entry) = value;
    }
}

fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// Recurses as deep as paths are long, which is bounded.
fn collect_plain(value: &Value, path: &mut String, plain: &mut HashMap<Box<str>, Value>) {
    let Value::Object(fields) = value else {
        if is_plain(value) {
            plain.insert(path.as_str().into(), value.clone());
        }
        return;
    };
    for (key, field) in fields {
        let length = path.len();
        if length > 0 {
            path.push('.');
        }
        path.push_str(key);
        collect_plain(field, path, plain);
        path.truncate(length);
    }
}

/// The value or section at a path, if there is one.
fn find<'a>(values: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(values, |section, key| section.as_object()?.get(key))
}

/// The entry of a key in a section; a value that is not a section becomes one.
fn entry<'a>(section: &'a mut Value, key: &str) -> &'a mut Value {
    if !section.is_object() {
        *section = Value::Object(Map::new());
    }
    &mut section[key]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values() -> Values {
        let values = json!({ "a": { "b": 1, "c": { "d": "x" }, "e": [1, 2], "n": null }, "f": true });
        Values::from(&Layers { values, ..Layers::default() })
    }

    #[test]
    fn each_value_and_each_section_is_found_as_it_is_in_the_tree() {
        let values = values();
        for path in ["a", "a.b", "a.c", "a.c.d", "a.e", "a.n", "f", "a.x", "x", "", "a.b.c", "a.e.0"] {
            assert_eq!(values.get(path), find(values.root(), path), "{path}");
        }
        assert_eq!(values.plain.len(), 4);
    }

    #[test]
    fn a_replaced_value_is_found_in_both_places_whatever_takes_its_place() {
        for value in [json!(2), json!("text"), json!(null), json!([3]), json!({ "z": 1 })] {
            for path in ["a.b", "a.e", "a.n"] {
                let (mut values, path) = (values(), ConfigPath::new(path).unwrap());
                values.replace(&path, value.clone());
                assert_eq!(values.get(path.as_str()), Some(&value), "{path}");
                assert_eq!(find(values.root(), path.as_str()), Some(&value), "{path}");
            }
        }
    }

    fn near(wanted: &str) -> Vec<String> {
        let known = ["database.host", "database.port", "server", "server.http.port", "server.port"];
        NearMisses::ranked(known.into_iter().map(|path| (closeness(wanted, path), path)), MIN_CLOSENESS)
            .names()
            .to_vec()
    }

    #[test]
    fn a_misspelt_path_finds_the_right_one_first() {
        assert_eq!(near("server.prot")[0], "server.port");
        assert_eq!(near("sever.port")[0], "server.port");
        assert_eq!(near("servr")[0], "server");
    }

    #[test]
    fn a_setting_in_the_wrong_section_finds_its_namesakes() {
        let near = near("host");
        assert_eq!(near, ["database.host"]);
    }

    #[test]
    fn a_neighbour_in_the_same_section_is_not_near_for_that() {
        assert!(near("database.user").is_empty());
    }

    #[test]
    fn at_most_three_paths_are_near() {
        assert_eq!(near("port").len(), 3);
    }

    #[test]
    fn nothing_is_near_something_quite_different() {
        assert!(near("zzz").is_empty());
    }
}
