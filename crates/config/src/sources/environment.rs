//! The environment layer: variables into settings.

use std::ffi::OsString;
use std::fmt;

use foundation_kernel::NearMisses;
use serde_json::Value;
use toml::de::DeValue;

use super::error::{ConfigError, shortened};
use super::file::{NumberError, json};
use super::layers::{Layers, Setting, checked_key, find, known_paths, refuse_dots, wrong_type};
use super::near::near_misses;
use super::origin::Origin;
use super::path::ConfigPath;
use super::value_type::{ValueType, fit};
use foundation_kernel::text::excerpt;

/// An environment variable with the prefix whose path no lower layer knows.
///
/// It is taken nevertheless, since not every setting needs a default, but it may be a misspelling: log it when the
/// configuration is loaded. It never contains the variable's value.
///
/// ```
/// use foundation_config_server::ConfigSources;
///
/// let tree = ConfigSources::new()
///     .defaults(serde_json::json!({ "server": { "port": 80 } }))?
///     .environment("APP", [("APP__SERVER__PROT".to_owned(), "81".to_owned())])?
///     .load()?;
/// assert_eq!(
///     tree.unknown_variables()[0].to_string(),
///     "environment variable APP__SERVER__PROT sets config path server.prot, which nothing else has; \
///      did you mean server.port?"
/// );
/// # Ok::<(), foundation_config_server::ConfigError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable {
    /// The name of the variable.
    pub variable: String,
    /// The path that it set.
    pub path: ConfigPath,
    /// The known paths that look like it.
    pub near: NearMisses,
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, path, near } = self;
        write!(f, "environment variable {} sets config path {path}, which nothing else has{near}", excerpt(variable))
    }
}

/// A prefix in the form that variables use: `my-app` as `MY_APP`.
pub(super) fn prefix(text: &str) -> Result<String, ConfigError> {
    let prefix = text.to_ascii_uppercase().replace('-', "_");
    let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    match prefix.starts_with(|c: char| c.is_ascii_uppercase()) && prefix.chars().all(allowed) {
        true => Ok(prefix),
        false => Err(ConfigError::InvalidPrefix { prefix: shortened(text) }),
    }
}

/// The variables of a process that have this prefix, or the first of them that is not Unicode. All others are ignored.
pub(super) fn unicode(
    prefix: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let ours = |(name, _): &(OsString, OsString)| name.to_string_lossy().starts_with(&format!("{prefix}__"));
    let text = |(name, text): (OsString, OsString)| match (name.to_str(), text.to_str()) {
        (Some(name), Some(text)) => Ok((name.to_owned(), text.to_owned())),
        _ => Err(ConfigError::UnreadableVariable { variable: shortened(&name.to_string_lossy()) }),
    };
    variables.into_iter().filter(ours).map(text).collect()
}

/// An environment variable with the prefix.
///
/// Variables sort by name, so that the order of the environment makes no difference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Variable {
    name: String,
    /// The name without the prefix, in lower case: `server__port`.
    key: String,
    text: String,
}

impl Variable {
    /// The variable, if it has this prefix.
    pub(super) fn with_prefix(prefix: &str, name: String, text: String) -> Option<Self> {
        let key = name.strip_prefix(prefix)?.strip_prefix("__")?.to_lowercase();
        Some(Self { name, key, text })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The setting of the variable, given all layers below the environment.
    fn setting(&self, below: &Layers) -> Result<Setting, ConfigError> {
        let origin = Origin::Environment(self.name.clone());
        let path = locate(below.values(), &self.key, &origin)?;
        let wanted = find(below.values(), path.as_str()).map_or(ValueType::Nothing, ValueType::of);
        let value = convert(wanted, &self.text, &path, &origin)?;
        Ok(Setting { path, value, origin })
    }
}

/// Puts the variables over the lower layers, and returns those whose path none of these has.
pub(super) fn overlay(layers: &mut Layers, variables: &[Variable]) -> Result<Vec<UnknownVariable>, ConfigError> {
    let below = layers.clone();
    let mut unknown = Vec::new();
    for variable in variables {
        let setting = variable.setting(&below)?;
        refuse_second(layers, &setting.path, &variable.name)?;
        if find(below.values(), setting.path.as_str()).is_none() {
            unknown.push(unknown_variable(&below, &variable.name, &setting.path));
        }
        layers.put(setting)?;
    }
    Ok(unknown)
}

fn unknown_variable(below: &Layers, name: &str, path: &ConfigPath) -> UnknownVariable {
    UnknownVariable {
        variable: name.to_owned(),
        path: path.clone(),
        near: near_misses(path.as_str(), &known_paths(below)),
    }
}

fn refuse_second(layers: &Layers, path: &ConfigPath, name: &str) -> Result<(), ConfigError> {
    match layers.origins().get(path) {
        Some(Origin::Environment(first)) => Err(ConfigError::AmbiguousVariables {
            path: path.to_string(),
            first: first.clone(),
            second: name.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The path that a variable means.
///
/// Names of variables have no `-`, so where the lower layers have a `-` in a key, `_` means it.
fn locate(below: &Value, name: &str, origin: &Origin) -> Result<ConfigPath, ConfigError> {
    let mut section = Some(below);
    let mut keys = Vec::new();
    for segment in name.split("__") {
        refuse_dots(segment, origin)?;
        let key = section.and_then(|section| known_key(section, segment));
        let key = key.unwrap_or(segment).to_owned();
        section = section.and_then(|section| section.get(&key));
        keys.push(key);
    }
    checked_key(&keys.join("."), origin)
}

fn known_key<'a>(section: &'a Value, segment: &str) -> Option<&'a str> {
    let section = section.as_object()?;
    let exact = section.get_key_value(segment).map(|(key, _)| key);
    let dashed = || section.keys().find(|key| key.replace('-', "_") == segment);
    exact.or_else(dashed).map(String::as_str)
}

/// The text of a variable as a value of the wanted type.
fn convert(wanted: ValueType, text: &str, path: &ConfigPath, origin: &Origin) -> Result<Value, ConfigError> {
    if wanted == ValueType::String {
        return Ok(Value::String(text.to_owned()));
    }
    let value = match (guess(text), wanted) {
        (Ok(value), _) => value,
        (Err(fault), ValueType::Integer | ValueType::Float) => return Err(fault.at(path.as_str(), origin)),
        (Err(_), _) => Value::String(text.to_owned()),
    };
    let found = ValueType::of(&value);
    let wanted_in_words = wanted.in_words_for_environment();
    fit(wanted, value).ok_or_else(|| wrong_type(path.as_str(), wanted_in_words, found, origin.clone()))
}

/// The value of a text in TOML, or the text itself if it has none; a table does not count as a value.
fn guess(text: &str) -> Result<Value, NumberError> {
    match DeValue::parse(text.trim()) {
        Ok(value) if !matches!(value.get_ref(), DeValue::Table(_) | DeValue::Datetime(_)) => json(value.get_ref()),
        _ => Ok(Value::String(text.to_owned())),
    }
}
