//! A parsed file: its values, each with the line at which it begins, and the errors about it.

use std::path::Path;

use foundation_kernel::text::excerpt;
use serde_json::{Map, Value};

use crate::values::{ConfigError, ConfigPath, ConfigPathErrorKind, ValueOrigin, checked_key};

/// How deep sections and arrays may nest: the deepest path, with the deepest value at its end.
pub(super) const MAX_DEPTH: usize = 2 * ConfigPath::MAX_SEGMENTS;
/// The error for a key that occurs twice in its section, at any depth, arrays included.
pub(super) const TWICE: &str = "this key is there twice";
/// The error for an integer that is neither an `i64` nor a `u64`.
const TOO_LARGE: &str = "this integer has more than 64 bits";

/// The value that a file has at a path; an empty object stands for a section without values.
pub(super) type Setting = (ConfigPath, Value, ValueOrigin);

/// A line and a column, counted from 1; the column counts characters.
type Position = (usize, usize);

/// Something in a file, with the position at which it begins.
pub(super) enum Node {
    Leaf(Position, Value),
    /// Keys with their values; no key occurs twice.
    Section(Position, Vec<(String, Node)>),
}

impl Node {
    fn position(&self) -> Position {
        let (Self::Leaf(position, _) | Self::Section(position, _)) = self;
        *position
    }
}

impl From<Node> for Value {
    fn from(node: Node) -> Self {
        match node {
            Node::Leaf(_, value) => value,
            Node::Section(_, entries) => {
                Self::Object(entries.into_iter().map(|(key, node)| (key, node.into())).collect::<Map<_, _>>())
            }
        }
    }
}

/// The settings of a file whose root is a section.
pub(super) fn settings(path: &Path, entries: Vec<(String, Node)>) -> Result<Vec<Setting>, ConfigError> {
    let mut settings = Vec::new();
    for (key, node) in entries {
        refuse_dots(path, node.position(), &key)?;
        collect(path, key, node, &mut settings)?;
    }
    Ok(settings)
}

/// A key with a dot in it would mean another one in a section: `"server.port"` next to `port` in `server`.
pub(super) fn refuse_dots(path: &Path, position: Position, key: &str) -> Result<(), ConfigError> {
    let reason = || format!("the key {key:?} is no config path: it {}", ConfigPathErrorKind::DottedKey);
    if key.contains('.') { Err(malformed(path, position, &reason())) } else { Ok(()) }
}

fn collect(file: &Path, path: String, node: Node, settings: &mut Vec<Setting>) -> Result<(), ConfigError> {
    let origin = ValueOrigin::File { path: file.to_owned(), line: node.position().0 };
    // The check of each section's path bounds the recursion, since it bounds the depth.
    let checked = checked_key(&path, &origin)?;
    match node {
        Node::Section(_, entries) if !entries.is_empty() => {
            for (key, node) in entries {
                refuse_dots(file, node.position(), &key)?;
                collect(file, format!("{path}.{key}"), node, settings)?;
            }
        }
        _ => settings.push((checked, node.into(), origin)),
    }
    Ok(())
}

/// The error for a file that is not in its format.
pub(super) fn malformed(path: &Path, (line, column): Position, reason: &str) -> ConfigError {
    // The parser's reasons may have several lines.
    let reason = excerpt(&reason.replace('\n', ", "));
    ConfigError::MalformedFile { path: path.to_owned(), line, column, reason }
}

/// The position of a byte.
pub(super) fn position(text: &str, at: usize) -> Position {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

/// An integer that is an `i64` or a `u64`.
pub(super) fn integer(digits: &str, radix: u32) -> Result<Value, &'static str> {
    let signed = i64::from_str_radix(digits, radix).map(Value::from);
    signed.or_else(|_| u64::from_str_radix(digits, radix).map(Value::from)).map_err(|_| TOO_LARGE)
}
