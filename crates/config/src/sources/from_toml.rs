//! TOML.

use std::path::Path;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::document::{Setting, integer, malformed, position, refuse_dots};
use crate::values::{ConfigError, ValueOrigin, checked_key};

/// The settings of a TOML text; the path of the file is for errors and origins only.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Setting>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        malformed(path, position(text, at), error.message())
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
                let value = json(leaf).map_err(|error| error.at(&path, &origin))?;
                self.settings.push((checked, value, origin));
            }
        }
        Ok(())
    }

    /// A dotted key is a section with another one in it; a key with a dot in it is in quotes.
    fn refuse_dots(&self, key: &Spanned<DeString<'_>>) -> Result<(), ConfigError> {
        refuse_dots(self.path, position(self.text, key.span().start), key.get_ref())
    }

    fn origin(&self, value: &Spanned<DeValue<'_>>) -> ValueOrigin {
        let start = value.span().start;
        let line = self.line_ends.partition_point(|end| *end < start) + 1;
        ValueOrigin::File { path: self.path.to_owned(), line }
    }
}

/// The value of a text, or the text itself if it has none; tables, dates and times do not count as values. The path and
/// the origin are for errors about numbers, which only occur if `wants_number`.
pub(super) fn value(text: &str, wants_number: bool, path: &str, origin: &ValueOrigin) -> Result<Value, ConfigError> {
    let value = match DeValue::parse(text.trim()) {
        Ok(value) if !matches!(value.get_ref(), DeValue::Table(_) | DeValue::Datetime(_)) => json(value.get_ref()),
        _ => return Ok(Value::String(text.to_owned())),
    };
    match value {
        Err(error) if wants_number => Err(error.at(path, origin)),
        value => Ok(value.unwrap_or_else(|_| Value::String(text.to_owned()))),
    }
}

/// A TOML number that JSON does not have.
enum NumberError {
    TooLarge,
    NotFinite,
}

impl NumberError {
    fn at(self, path: &str, origin: &ValueOrigin) -> ConfigError {
        let (wanted, found) = match self {
            Self::TooLarge => ("integer of 64 bits", "larger integer"),
            Self::NotFinite => ("finite number", "infinity or no number"),
        };
        ConfigError::wrong_type(path, wanted, found, origin.clone())
    }
}

/// A TOML value as JSON; dates and times become strings.
fn json(value: &DeValue<'_>) -> Result<Value, NumberError> {
    Ok(match value {
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Integer(number) => integer(number.as_str(), number.radix()).map_err(|_| NumberError::TooLarge)?,
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

fn float(text: &str) -> Result<Value, NumberError> {
    let number = text.parse().ok().and_then(Number::from_f64);
    number.map(Value::Number).ok_or(NumberError::NotFinite)
}
