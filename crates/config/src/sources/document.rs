//! The file layer: TOML, JSON or YAML text into settings, each with its line.
//!
//! The `config` crate is not used, not in its current version, 0.15.27, either. Its origin of a value is the name of a
//! file, without the line; a parser's error is a boxed text, without line and column as values; and it silently
//! converts between types ("80" and "yes" are integers to it, and 1.5 is 2). It would also bring a second parser for
//! each format, and its merged values would still need all of our checks.

mod from_json;
mod from_toml;
#[cfg(feature = "yaml")]
mod from_yaml;

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use serde_json::{Map, Value};

use super::error::{ConfigError, PathFault, shown};
use super::layers::{Setting, checked_key};
use super::origin::Origin;
use super::path::ConfigPath;
use foundation_kernel::text::excerpt;
pub(super) use from_toml::{NumberError, json};

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Toml,
    Json,
    Yaml,
}

impl Format {
    /// The format of a file name's extension; a file with an unknown one is TOML.
    fn of(path: &Path) -> Self {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("json") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            _ => Self::Toml,
        }
    }
}

/// The settings of a text, in the format that the name of its file says; the path is otherwise for errors and origins.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Setting>, ConfigError> {
    match Format::of(path) {
        Format::Toml => from_toml::parse(path, text),
        Format::Json => settings(path, from_json::parse(path, text)?),
        #[cfg(feature = "yaml")]
        Format::Yaml => settings(path, from_yaml::parse(path, text)?),
        #[cfg(not(feature = "yaml"))]
        Format::Yaml => Err(ConfigError::UnsupportedFormat { path: path.to_owned(), format: "YAML", feature: "yaml" }),
    }
}

/// The mark that some editors put before a text; no format counts it as a part of the text.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// How deep sections and arrays may nest: the deepest path, with the deepest value at its end.
const MAX_DEPTH: usize = 2 * ConfigPath::MAX_SEGMENTS;
/// The error for a key that occurs twice in its section, at any depth, arrays included.
const TWICE: &str = "this key is there twice";
/// The error for an integer that is neither an `i64` nor a `u64`.
const TOO_LARGE: &str = "this integer has more than 64 bits";

/// Something in a file, with the line and the column at which it begins.
struct Node {
    position: (usize, usize),
    content: Content,
}

enum Content {
    Leaf(Value),
    /// Keys with their values; no key occurs twice.
    Section(Vec<(String, Node)>),
}

impl Node {
    fn into_value(self) -> Value {
        match self.content {
            Content::Leaf(value) => value,
            Content::Section(entries) => {
                Value::Object(entries.into_iter().map(|(key, node)| (key, node.into_value())).collect::<Map<_, _>>())
            }
        }
    }
}

/// The settings of a file whose root is a section.
fn settings(path: &Path, entries: Vec<(String, Node)>) -> Result<Vec<Setting>, ConfigError> {
    let mut settings = Vec::new();
    for (key, node) in entries {
        refuse_dots(path, node.position, &key)?;
        collect(path, key, node, &mut settings)?;
    }
    Ok(settings)
}

/// A key with a dot in it would mean another one in a section: `"server.port"` next to `port` in `server`.
fn refuse_dots(path: &Path, position: (usize, usize), key: &str) -> Result<(), ConfigError> {
    match key.contains('.') {
        true => Err(malformed_at(
            path,
            position,
            &format!("the key {key:?} is no config path: it {}", PathFault::DottedKey),
        )),
        false => Ok(()),
    }
}

fn collect(file: &Path, path: String, node: Node, settings: &mut Vec<Setting>) -> Result<(), ConfigError> {
    let origin = Origin::File { path: file.to_owned(), line: node.position.0 };
    // The check of each section's path bounds the recursion, since it bounds the depth.
    let checked = checked_key(&path, &origin)?;
    match node.content {
        Content::Section(entries) if !entries.is_empty() => {
            for (key, node) in entries {
                refuse_dots(file, node.position, &key)?;
                collect(file, format!("{path}.{key}"), node, settings)?;
            }
        }
        _ => settings.push(Setting { path: checked, value: node.into_value(), origin }),
    }
    Ok(())
}

/// The bytes of a file, at most one more than allowed; `None` if there is no such file.
pub(super) fn bytes(path: &Path, max_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    if path.is_dir() {
        return Err(io::Error::other("it is a directory"));
    }
    match read_at_most(path, max_bytes) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// The text of a file's bytes, without a byte order mark, or `None` if there is no such file.
pub(super) fn decode(
    path: &Path,
    read: io::Result<Option<Vec<u8>>>,
    max_bytes: usize,
) -> Result<Option<String>, ConfigError> {
    match read {
        Ok(Some(bytes)) if bytes.len() > max_bytes => {
            let what = format!("config file {}", shown(path));
            Err(ConfigError::OverLimit { what, found: "more bytes".to_owned(), limit: max_bytes })
        }
        Ok(bytes) => bytes.map(|bytes| text(path, bytes)).transpose(),
        Err(error) => Err(unreadable(path, error)),
    }
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, ConfigError> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        malformed(path, &before, valid, "this is not UTF-8 text")
    })?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text))
}

/// Reads at most one byte more than allowed, which shows that a file is too large.
fn read_at_most(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path, reason: impl ToString) -> ConfigError {
    ConfigError::UnreadableFile { path: path.to_owned(), reason: reason.to_string() }
}

fn malformed(path: &Path, text: &str, at: usize, reason: &str) -> ConfigError {
    malformed_at(path, position(text, at), reason)
}

fn malformed_at(path: &Path, (line, column): (usize, usize), reason: &str) -> ConfigError {
    ConfigError::MalformedFile {
        path: path.to_owned(),
        line,
        column,
        // The parser's reasons may have several lines.
        reason: excerpt(&reason.replace('\n', ", ")),
    }
}

/// Line and column of a byte, counted from 1; the column counts characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}
