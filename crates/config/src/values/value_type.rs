use std::fmt;

use serde_json::Value;

/// The type class of a value: what a higher layer may not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueType {
    /// `null`: there is no value yet, and any type may come.
    Nothing,
    Boolean,
    Integer,
    Float,
    String,
    Array,
    Section,
}

impl ValueType {
    /// The value as a replacement for one of this type, or `None` if it may not replace it.
    ///
    /// An integer replaces a float as a float, any value replaces `null`, and otherwise the types must be the same.
    pub(crate) fn fit(self, value: Value) -> Option<Value> {
        match (self, Self::from(&value)) {
            (Self::Nothing, _) => Some(value),
            (Self::Float, Self::Integer) => value.as_f64().map(Value::from),
            (wanted, found) if wanted == found => Some(value),
            _ => None,
        }
    }
}

impl From<&Value> for ValueType {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Nothing,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_f64() => Self::Float,
            Value::Number(_) => Self::Integer,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Section,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::String => "string",
            Self::Array => "array",
            Self::Section => "section",
        })
    }
}
