//! Configurations of managed services: read as the type of their kind, and validated.

use std::collections::BTreeSet;
use std::fmt::Write;

use foundation_config_server::garde::Validate;
use foundation_config_server::{ConfigError, ConfigSources, ConfigTree};
use foundation_kernel::containment::catch_panic;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A relative path that stands for the whole configuration.
const EVERYTHING: &str = "*";
/// What is shown in place of a secret.
const HIDDEN: &str = "[redacted]";

/// Why a configuration is refused.
///
/// No message has a value at a path that its kind declares as [secret](super::kind::ServiceKind::SECRETS).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// It cannot be read as the type that its kind requires; the error has the path and what was found.
    #[error(transparent)]
    Unreadable(#[from] ConfigError),
    /// It can be read and is not valid.
    #[error("{}", listed(.fields))]
    Invalid {
        /// What is wrong, at least one field.
        fields: Vec<InvalidField>,
    },
    /// It has a secret, and what is declared is recorded.
    #[error("{path} is a secret, and a configuration is recorded; keep it in a section, and declare that section")]
    Secret {
        /// The path of the secret.
        path: String,
    },
    /// It cannot be written as JSON.
    #[error("it cannot be recorded as JSON: {reason}")]
    Unwritable {
        /// Why.
        reason: String,
    },
    /// The code of its kind panicked while it was read or validated.
    #[error("the code that reads it panicked: {panic}")]
    Panicked {
        /// The text of the panic.
        panic: String,
    },
}

/// A field of a configuration that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InvalidField {
    /// Where it is, within the configuration.
    pub path: String,
    /// What is wrong with it; of a secret only that it is not valid.
    pub reason: String,
}

fn listed(fields: &[InvalidField]) -> String {
    let mut text = String::new();
    for (at, InvalidField { path, reason }) in fields.iter().enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(text, "{separator}{path}: {reason}");
    }
    text
}

/// Writes a configuration as JSON.
pub(crate) fn written(config: &impl Serialize) -> Result<Value, ConfigurationError> {
    contained(|| serde_json::to_value(config))?
        .map_err(|error| ConfigurationError::Unwritable { reason: error.to_string() })
}

/// Reads a configuration that is recorded as it is: it has no secret.
pub(crate) fn read<T>(value: &Value, secrets: &[&str]) -> Result<T, ConfigurationError>
where
    T: DeserializeOwned + Serialize + Validate<Context: Default>,
{
    refuse_secrets(value, secrets)?;
    let tree = ConfigSources::new().defaults(value)?.load()?;
    let config: T = contained(|| tree.root_as())??;
    if !secrets.is_empty() {
        refuse_renamed(value, &written(&config)?, secrets)?;
    }
    validated(config, secrets)
}

/// Reads a section of the configuration server.
pub(crate) fn read_section<T>(tree: &ConfigTree, section: &str, secrets: &[&str]) -> Result<T, ConfigurationError>
where
    T: DeserializeOwned + Validate<Context: Default>,
{
    validated(contained(|| tree.get_as(section))??, secrets)
}

fn validated<T: Validate<Context: Default>>(config: T, secrets: &[&str]) -> Result<T, ConfigurationError> {
    let fields = contained(|| invalid_fields(&config, secrets))?;
    if fields.is_empty() { Ok(config) } else { Err(ConfigurationError::Invalid { fields }) }
}

fn invalid_fields<T: Validate<Context: Default>>(config: &T, secrets: &[&str]) -> Vec<InvalidField> {
    let report = config.validate().err();
    let errors = report.iter().flat_map(|report| report.iter());
    errors
        .map(|(path, error)| {
            let path = path.to_string();
            let reason = if is_secret(&path, secrets) { "is not valid".to_owned() } else { error.message().to_owned() };
            InvalidField { path, reason }
        })
        .collect()
}

fn contained<T>(run: impl FnOnce() -> T) -> Result<T, ConfigurationError> {
    catch_panic(run).map_err(|panic| ConfigurationError::Panicked { panic: panic.into_text() })
}

/// Whether a declared path contains this one. A declared path passes through lists, of which it names no index.
pub(super) fn is_secret(path: &str, secrets: &[&str]) -> bool {
    let path = without_indices(path);
    secrets.iter().any(|secret| {
        let rest = path.strip_prefix(secret);
        *secret == EVERYTHING || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// `peers.token` of `peers[0].token`.
fn without_indices(path: &str) -> String {
    let mut parts = path.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |path, part| path + part.split_once(']').map_or("", |(_, rest)| rest))
}

fn refuse_secrets(value: &Value, secrets: &[&str]) -> Result<(), ConfigurationError> {
    let mut value = value.clone();
    match secrets.iter().find(|secret| hide(&mut value, secret)) {
        Some(secret) => Err(ConfigurationError::Secret { path: (*secret).to_owned() }),
        None => Ok(()),
    }
}

/// Refuses a secret that is given under another name, an alias of serde, say: a text that its type reads as a secret, and
/// that is recorded. A default of the type is not recorded. A type that does not write its secrets hides one.
fn refuse_renamed(recorded: &Value, typed: &Value, secrets: &[&str]) -> Result<(), ConfigurationError> {
    let recorded = texts(recorded);
    let found = secrets.iter().find(|secret| {
        let shown = masked(typed.clone(), &[secret]);
        let is_secret = |text: &&str| !text.is_empty() && !texts(&shown).contains(text);
        texts(typed).into_iter().filter(is_secret).any(|text| recorded.contains(text))
    });
    found.map_or(Ok(()), |secret| Err(ConfigurationError::Secret { path: (*secret).to_owned() }))
}

/// All texts in a value, keys excepted.
fn texts(value: &Value) -> BTreeSet<&str> {
    match value {
        Value::String(text) => BTreeSet::from([text.as_str()]),
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => BTreeSet::new(),
    }
}

/// The same without what is at the secret paths.
pub(super) fn masked(mut value: Value, secrets: &[&str]) -> Value {
    for secret in secrets {
        hide(&mut value, secret);
    }
    value
}

/// Replaces all that is at a path, in each item of a list on the way; true if there was something.
fn hide(value: &mut Value, path: &str) -> bool {
    if path == EVERYTHING {
        let is_there = value.as_object().is_none_or(|object| !object.is_empty());
        *value = HIDDEN.into();
        return is_there;
    }
    hide_at(value, &path.split('.').collect::<Vec<_>>())
}

fn hide_at(value: &mut Value, path: &[&str]) -> bool {
    match (value, path) {
        (Value::Null, _) => false,
        (value, []) => {
            *value = HIDDEN.into();
            true
        }
        // Each item, also after one that has it.
        (Value::Array(items), path) => items.iter_mut().fold(false, |is_there, item| hide_at(item, path) | is_there),
        (value, [key, rest @ ..]) => value.get_mut(*key).is_some_and(|value| hide_at(value, rest)),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, Validate)]
    struct Mail {
        #[garde(range(min = 1))]
        port: u16,
        #[garde(length(min = 8))]
        token: Option<String>,
        #[garde(skip)]
        #[serde(default)]
        peers: Vec<u16>,
    }

    fn error(value: Value, secrets: &[&str]) -> String {
        read::<Mail>(&value, secrets).unwrap_err().to_string()
    }

    #[test]
    fn a_configuration_that_does_not_fit_is_refused_with_path_and_reason() {
        assert_eq!(read::<Mail>(&json!({ "port": 25 }), &[]), Ok(Mail { port: 25, token: None, peers: Vec::new() }));
        assert_eq!(error(json!({ "port": 0 }), &[]), "port: lower than 1");
        let both = error(json!({ "port": 0, "token": "x" }), &[]);
        assert_eq!(both, "port: lower than 1, token: length is lower than 8");
        assert!(error(json!({ "port": "x" }), &[]).starts_with("config path port wants"));
        assert!(error(json!({ "port": 25, "peers": [1, true] }), &[]).starts_with("config path peers[1] wants"));
        assert!(error(json!([1]), &[]).contains("wanted a section"));
        assert!(error(json!({}), &[]).contains("missing field `port`"));
    }

    #[test]
    fn a_secret_is_refused_by_its_path_and_its_value_is_never_shown() {
        let secret = error(json!({ "port": 25, "token": "hunter2" }), &["token"]);
        assert!(secret.starts_with("token is a secret") && !secret.contains("hunter2"), "{secret}");
        assert!(read::<Mail>(&json!({ "port": 25, "token": null }), &["token", "other.path"]).is_ok());
        assert!(error(json!({ "port": 25 }), &["*"]).starts_with("* is a secret"));
        let invalid = invalid_fields(&Mail { port: 25, token: Some("x".to_owned()), peers: Vec::new() }, &["token"]);
        assert_eq!(listed(&invalid), "token: is not valid");
    }

    #[test]
    fn a_path_is_secret_if_a_declared_one_contains_it() {
        for (path, is) in [("token", true), ("token.part", true), ("token[1]", true), ("tokens", false), ("to", false)]
        {
            assert_eq!(is_secret(path, &["token"]), is, "{path}");
        }
    }

    #[test]
    fn a_secret_is_found_in_each_item_of_a_list_and_under_another_name() {
        #[derive(Debug, PartialEq, Serialize, Deserialize, Validate)]
        struct Peer {
            #[garde(skip)]
            #[serde(alias = "password")]
            token: Option<String>,
        }
        #[derive(Debug, PartialEq, Serialize, Deserialize, Validate)]
        struct Peers {
            #[garde(skip)]
            peers: Vec<Peer>,
        }
        let secrets = ["peers.token"];
        for name in ["token", "password"] {
            let value = json!({ "peers": [{}, { name: "hunter2" }] });
            let error = read::<Peers>(&value, &secrets).unwrap_err().to_string();
            assert!(error.starts_with("peers.token is a secret") && !error.contains("hunter2"), "{error}");
        }
        assert!(read::<Peers>(&json!({ "peers": [{}, { "token": null }] }), &secrets).is_ok());
        // A default of the type is not in what is recorded.
        assert_eq!(refuse_renamed(&json!({}), &json!({ "token": "changeme" }), &["token"]), Ok(()));
        let shown = masked(json!({ "peers": [{ "token": "a" }, [{ "token": "b" }], { "token": null }] }), &secrets);
        let hidden = json!({ "token": HIDDEN });
        assert_eq!(shown, json!({ "peers": [hidden, [hidden], { "token": null }] }));
        assert!(is_secret("peers[0].token", &secrets) && is_secret("peers[0][1].token.part", &secrets));
        assert!(!is_secret("peers[0].tokens", &secrets) && !is_secret("peers[0]", &secrets));
    }

    #[test]
    fn a_validator_that_panics_refuses_the_configuration() {
        fn unlucky(_: &u8, (): &()) -> garde::Result {
            panic!("no luck")
        }
        #[derive(Debug, Serialize, Deserialize, Validate)]
        struct Hostile {
            #[garde(custom(unlucky))]
            number: u8,
        }
        let error = read::<Hostile>(&json!({ "number": 1 }), &[]).unwrap_err();
        assert_eq!(error.to_string(), "the code that reads it panicked: no luck");
    }
}
