//! The file layer: TOML text into settings, each with its line.
//!
//! The `config` crate is not used: its errors name no line and column as values, it keeps the origin of
//! a value to itself, and it silently converts between types ("80" is an integer to it, and 1.5 is 2).

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::layers::{Setting, checked_key};
use super::origin::Origin;

/// The text of a file, or `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    if path.is_dir() {
        return Err(unreadable(path, "it is a directory"));
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, error)),
    };
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        malformed(path, &before, valid, "this is not UTF-8 text")
    })
}

fn unreadable(path: &Path, reason: impl ToString) -> ConfigError {
    ConfigError::UnreadableFile { path: path.to_owned(), reason: reason.to_string() }
}

fn malformed(path: &Path, text: &str, at: usize, reason: &str) -> ConfigError {
    let (line, column) = position(text, at);
    ConfigError::MalformedFile {
        path: path.to_owned(),
        line,
        column,
        // The parser's reasons may have several lines.
        reason: reason.replace('\n', ", "),
    }
}

/// Line and column of a byte, counted from 1; the column counts characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

/// The settings of a TOML text; the path of the file is for errors and origins only.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Setting>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        malformed(path, text, at, error.message())
    })?;
    let line_ends = text.match_indices('\n').map(|(at, _)| at).collect();
    let mut file = File { path, line_ends, settings: Vec::new() };
    for (key, value) in table.get_ref() {
        file.collect(key.get_ref().to_string(), value)?;
    }
    Ok(file.settings)
}

struct File<'a> {
    path: &'a Path,
    /// The place of each line's end, so that finding a line is a bisection.
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

    fn origin(&self, value: &Spanned<DeValue<'_>>) -> Origin {
        let start = value.span().start;
        let line = self.line_ends.partition_point(|end| *end < start) + 1;
        Origin::File { path: self.path.to_owned(), line }
    }
}

/// A TOML number that JSON does not have.
pub(super) enum NumberFault {
    TooLarge,
    NotFinite,
}

impl NumberFault {
    pub(super) fn at(self, path: &str, origin: &Origin) -> ConfigError {
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
pub(super) fn json(value: &DeValue<'_>) -> Result<Value, NumberFault> {
    Ok(match value {
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            Value::from(number.map_err(|_| NumberFault::TooLarge)?)
        }
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

fn float(text: &str) -> Result<Value, NumberFault> {
    let number = text.parse().ok().and_then(Number::from_f64);
    number.map(Value::Number).ok_or(NumberFault::NotFinite)
}
