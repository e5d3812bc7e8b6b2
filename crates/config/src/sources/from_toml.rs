//! TOML.

use std::path::Path;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::{malformed, position, refuse_dots};
use crate::error::ConfigError;
use crate::layers::{Setting, checked_key};
use crate::origin::Origin;

/// The settings of a TOML text; the path of the file is for errors and origins only.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Setting>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        malformed(path, text, at, error.message())
    })?;
    let line_ends = text.match_indices('\n').map(|(at, _)| at).collect();
    let mut file = File { path, text, line_ends, settings: Vec::new() };
    for (key, value) in table.get_ref() {
        file.refuse_dots(key)?;
        file.collect(key.get_ref().to_string(), value)?;
    }
    Ok(file.settings)
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
    /// The offset of each line's end, so that finding a line is a bisection.
    line_ends: Vec<usize>,
    settings: Vec<Setting>,
}

impl File<'_> {
    fn collect(&mut self, path: String, value: &Spanned<DeValue<'_>>) -> Result<(), ConfigError> {
        let origin = self.origin(value);
        // The check of each section's path bounds the recursion, since it bounds the depth.
        let checked = checked_key(&path, &origin)?;
        match value.get_ref() {
            DeValue::Table(table) if !table.is_empty() => {
                for (key, value) in table {
                    self.refuse_dots(key)?;
                    self.collect(format!("{path}.{}", key.get_ref()), value)?;
                }
            }
            leaf => {
                let value = json(leaf).map_err(|fault| fault.at(&path, &origin))?;
                self.settings.push(Setting { path: checked, value, origin });
            }
        }
        Ok(())
    }

    /// A dotted key is a section with another one in it; a key with a dot in it is in quotes.
    fn refuse_dots(&self, key: &Spanned<DeString<'_>>) -> Result<(), ConfigError> {
        refuse_dots(self.path, position(self.text, key.span().start), key.get_ref())
    }

    fn origin(&self, value: &Spanned<DeValue<'_>>) -> Origin {
        let start = value.span().start;
        let line = self.line_ends.partition_point(|end| *end < start) + 1;
        Origin::File { path: self.path.to_owned(), line }
    }
}

/// A TOML number that JSON does not have.
pub(crate) enum NumberError {
    TooLarge,
    NotFinite,
}

impl NumberError {
    pub(crate) fn at(self, path: &str, origin: &Origin) -> ConfigError {
        let (wanted, found) = match self {
            Self::TooLarge => ("integer of 64 bits", "larger integer"),
            Self::NotFinite => ("finite number", "infinity or no number"),
        };
        ConfigError::WrongType {
            path: path.to_owned(),
            wanted: wanted.to_owned(),
            found: found.to_owned(),
            origin: origin.clone(),
        }
    }
}

/// A TOML value as JSON; dates and times become strings.
pub(crate) fn json(value: &DeValue<'_>) -> Result<Value, NumberError> {
    Ok(match value {
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Integer(number) => integer(number.as_str(), number.radix()).ok_or(NumberError::TooLarge)?,
        DeValue::Float(number) => float(number.as_str())?,
        DeValue::Array(items) => {
            let items = items.iter().map(|item| json(item.get_ref()));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => {
            let fields = table.iter().map(|(key, value)| Ok((key.get_ref().to_string(), json(value.get_ref())?)));
            Value::Object(fields.collect::<Result<Map<_, _>, _>>()?)
        }
    })
}

/// An integer that is an `i64` or a `u64`.
pub(super) fn integer(digits: &str, radix: u32) -> Option<Value> {
    let signed = i64::from_str_radix(digits, radix).map(Value::from);
    signed.or_else(|_| u64::from_str_radix(digits, radix).map(Value::from)).ok()
}

fn float(text: &str) -> Result<Value, NumberError> {
    let number = text.parse().ok().and_then(Number::from_f64);
    number.map(Value::Number).ok_or(NumberError::NotFinite)
}
