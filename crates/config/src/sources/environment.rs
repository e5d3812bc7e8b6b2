//! The environment layer: variables into settings.

use std::ffi::OsString;
use std::fmt;

use serde_json::Value;

use super::from_toml;
use crate::values::{
    ConfigError, ConfigPath, ConfigPathErrorKind, Layers, UnknownVariable, ValueOrigin, ValueType, checked_key,
    shortened,
};

/// A prefix in the form that variables use: `my-app` as `MY_APP`.
fn prefix(text: &str) -> Result<String, ConfigError> {
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
    let prefix = self::prefix(prefix)?;
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
    /// Those of the variables that have this prefix, sorted.
    pub(super) fn with_prefix(
        prefix: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Vec<Self>, ConfigError> {
        let prefix = self::prefix(prefix)?;
        let ours = |(name, text): (String, String)| {
            let key = name.strip_prefix(&prefix)?.strip_prefix("__")?.to_lowercase();
            Some(Self { name, key, text })
        };
        let mut ours: Vec<_> = variables.into_iter().filter_map(ours).collect();
        ours.sort();
        Ok(ours)
    }

    /// The path and the value of the variable, given all layers below the environment.
    fn setting(&self, below: &Layers, origin: &ValueOrigin) -> Result<(ConfigPath, Value), ConfigError> {
        let path = locate(below, &self.key, origin)?;
        let wanted = below.get(path.as_str()).map_or(ValueType::Nothing, ValueType::from);
        let value = convert(wanted, &self.text, &path, origin)?;
        Ok((path, value))
    }
}

/// Shows the name and not the text, which may be a secret.
impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// Puts the variables over the lower layers, and returns those whose path none of these has.
pub(super) fn overlay(layers: &mut Layers, variables: &[Variable]) -> Result<Vec<UnknownVariable>, ConfigError> {
    let below = layers.clone();
    let mut unknown = Vec::new();
    for variable in variables {
        let origin = ValueOrigin::Environment(variable.name.clone());
        let (path, value) = variable.setting(&below, &origin)?;
        refuse_second(layers, &path, &variable.name)?;
        if below.get(path.as_str()).is_none() {
            let near = below.near_misses(path.as_str());
            unknown.push(UnknownVariable { variable: variable.name.clone(), path: path.clone(), near });
        }
        layers.put(path, value, origin)?;
    }
    Ok(unknown)
}

fn refuse_second(layers: &Layers, path: &ConfigPath, name: &str) -> Result<(), ConfigError> {
    match layers.origins().get(path) {
        Some(ValueOrigin::Environment(first)) => Err(ConfigError::AmbiguousVariables {
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
fn locate(below: &Layers, name: &str, origin: &ValueOrigin) -> Result<ConfigPath, ConfigError> {
    let mut section = below.get(None);
    let mut keys = Vec::new();
    for segment in name.split("__") {
        if segment.contains('.') {
            let (name, origin) = (shortened(segment), origin.clone());
            return Err(ConfigError::InvalidKey { name, origin, kind: ConfigPathErrorKind::DottedKey });
        }
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
fn convert(wanted: ValueType, text: &str, path: &ConfigPath, origin: &ValueOrigin) -> Result<Value, ConfigError> {
    if wanted == ValueType::String {
        return Ok(Value::String(text.to_owned()));
    }
    let wants_number = matches!(wanted, ValueType::Integer | ValueType::Float);
    let value = from_toml::value(text, wants_number, path.as_str(), origin)?;
    let found = ValueType::from(&value);
    let misfit = || ConfigError::wrong_type(path.as_str(), in_words(wanted), found, origin.clone());
    wanted.fit(value).ok_or_else(misfit)
}

/// How a value of a type is written in a variable.
fn in_words(wanted: ValueType) -> String {
    match wanted {
        ValueType::Boolean => "boolean (true or false)".to_owned(),
        ValueType::Integer => "integer (such as 42)".to_owned(),
        ValueType::Float => "float (such as 1.5)".to_owned(),
        ValueType::Array => "array (such as [1, 2])".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn message(refused: Result<Vec<(String, String)>, ConfigError>) -> String {
        refused.unwrap_err().to_string()
    }

    #[test]
    fn a_variable_that_is_no_unicode_is_refused_if_it_is_ours_and_left_alone_otherwise() {
        let broken = || OsString::from_vec(vec![b'x', 0xff]);
        let theirs = [(broken(), broken()), ("APPLE__X".into(), broken()), ("APP__A".into(), "1".into())];
        assert_eq!(unicode("APP", theirs), Ok(vec![("APP__A".to_owned(), "1".to_owned())]));
        let ours = message(unicode("APP", [("APP__A".into(), broken())]));
        assert_eq!(ours, "environment variable \"APP__A\" is not Unicode text");
        let mut name = OsString::from("APP__");
        name.push(broken());
        assert_eq!(
            message(unicode("APP", [(name, "1".into())])),
            "environment variable \"APP__x\u{fffd}\" is not Unicode text"
        );
    }
}
