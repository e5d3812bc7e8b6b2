//! A field of a configuration, as it is listed.

use serde::Serialize;
use serde_json::Value;

/// A field of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConfigField {
    /// Where it is within the configuration: `relay.port`; `[]` stands for each item of a list, as in `peers[].name`.
    pub path: String,
    /// What its value is.
    pub value: FieldType,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether its value is a secret, which is never recorded and never shown.
    pub secret: bool,
    /// Its value when it is left out, if that is known and no secret.
    pub default: Option<Value>,
}

/// What the value of a field is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FieldType {
    /// `true` or `false`.
    Boolean,
    /// An integer in this range.
    Integer {
        /// The smallest one.
        min: i64,
        /// The largest one.
        max: u64,
    },
    /// A number.
    Number,
    /// A text.
    Text,
    /// One of these texts, or a section with one of these as its key.
    OneOf(Vec<String>),
    /// A list.
    List,
    /// Keys with values.
    Map,
    /// A section with fields of its own.
    Section,
    /// Any value: its type does not say more.
    Any,
}
