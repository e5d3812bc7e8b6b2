//! JSON.
//!
//! `serde_json` gives no positions, but it gives parts of the text unchanged, and the start of such a part within the
//! text is its position. A part is read again for each level around it, of which there are at most 32.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::document::{MAX_DEPTH, Node, TWICE, integer, malformed, position};
use crate::values::ConfigError;

/// The entries of the top level.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<(String, Node)>, ConfigError> {
    let place = |error: serde_json::Error| malformed(path, (error.line(), error.column().max(1)), &reason(&error));
    // All of the text is checked here, so that no part of it that is read later can be malformed.
    let root: &RawValue = serde_json::from_str(text).map_err(place)?;
    match (Text { path, text }).node(root, 0)? {
        Node::Section(_, entries) => Ok(entries),
        Node::Leaf(..) => Err(malformed(path, position(text, 0), "wanted an object at the top level")),
    }
}

/// The parser's reason, without the position, which the parser puts at the end.
fn reason(error: &serde_json::Error) -> String {
    let said = error.to_string();
    said.rsplit_once(" at line ").map_or(said.as_str(), |(reason, _)| reason).to_owned()
}

struct Text<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> Text<'a> {
    fn node(&self, raw: &'a RawValue, depth: usize) -> Result<Node, ConfigError> {
        // The parser skips a raw part, however deep: the recursion is bounded here.
        if depth > MAX_DEPTH {
            return Err(self.malformed(raw, &format!("more than {MAX_DEPTH} levels are not taken")));
        }
        let position = position(self.text, self.offset(raw));
        Ok(match raw.get().as_bytes().first() {
            Some(b'{') => Node::Section(position, self.section(raw, depth)?),
            Some(b'[') => Node::Leaf(position, Value::Array(self.items(raw, depth)?)),
            _ => Node::Leaf(position, self.scalar(raw)?),
        })
    }

    fn section(&self, raw: &'a RawValue, depth: usize) -> Result<Vec<(String, Node)>, ConfigError> {
        let Entries(entries) = self.read(raw)?;
        let mut keys = HashSet::new();
        for (key, value) in &entries {
            if !keys.insert(key) {
                return Err(self.malformed(value, TWICE));
            }
        }
        entries.iter().map(|(key, value)| Ok((key.clone(), self.node(value, depth + 1)?))).collect()
    }

    fn items(&self, raw: &'a RawValue, depth: usize) -> Result<Vec<Value>, ConfigError> {
        let items: Vec<&RawValue> = self.read(raw)?;
        items.into_iter().map(|item| Ok(self.node(item, depth + 1)?.into())).collect()
    }

    fn scalar(&self, raw: &'a RawValue) -> Result<Value, ConfigError> {
        let value: Value = self.read(raw)?;
        // To the parser, an integer that is too large, and -0, is a float.
        match value.is_f64() && !raw.get().contains(['.', 'e', 'E']) {
            true => integer(raw.get(), 10).map_err(|reason| self.malformed(raw, reason)),
            false => Ok(value),
        }
    }

    fn read<T: Deserialize<'a>>(&self, raw: &'a RawValue) -> Result<T, ConfigError> {
        serde_json::from_str(raw.get()).map_err(|error| self.malformed(raw, &reason(&error)))
    }

    fn malformed(&self, raw: &RawValue, reason: &str) -> ConfigError {
        malformed(self.path, position(self.text, self.offset(raw)), reason)
    }

    /// Where in the text a part of it begins.
    fn offset(&self, raw: &RawValue) -> usize {
        (raw.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }
}

/// The entries of an object, in their order, the values not read yet.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}
