use std::fmt;

use serde_json::Value;

/// The type class of a value: what a higher layer may not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueType {
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
    pub(super) fn of(value: &Value) -> Self {
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

    /// How a value of this type is written in an environment variable.
    pub(super) fn in_words_for_environment(self) -> &'static str {
        match self {
            Self::Boolean => "boolean (true or false)",
            Self::Integer => "integer (such as 42)",
            Self::Float => "float (such as 1.5)",
            Self::Array => "array (such as [1, 2])",
            _ => self.in_words(),
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::String => "string",
            Self::Array => "array",
            Self::Section => "section",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.in_words())
    }
}

/// The value as a replacement for one of type `wanted`, or `None` if it may not replace it.
///
/// An integer replaces a float as a float, any value replaces `null`, and otherwise the types must be the same.
pub(super) fn fit(wanted: ValueType, value: Value) -> Option<Value> {
    match (wanted, ValueType::of(&value)) {
        (ValueType::Nothing, _) => Some(value),
        (ValueType::Float, ValueType::Integer) => value.as_f64().map(Value::from),
        (wanted, found) if wanted == found => Some(value),
        _ => None,
    }
}
