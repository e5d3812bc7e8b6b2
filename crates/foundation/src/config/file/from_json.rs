//! JSON.
//!
//! `serde_json` gives no positions, but it gives parts of the text as they are, and where these begin in the text is
//! their position. A section is read again for each level around it, of which a path has at most 16.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Content, Node, malformed, malformed_at, position};
use crate::config::error::ConfigError;
use crate::config::path::ConfigPath;

/// What the top level has.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<(String, Node)>, ConfigError> {
    let place = |error: serde_json::Error| malformed_at(path, (error.line(), error.column().max(1)), &reason(&error));
    // All of the text is checked here, so that whatever is read of its parts later cannot be malformed.
    let root: &RawValue = serde_json::from_str(text).map_err(place)?;
    match (Text { path, text }).node(root, 0)?.content {
        Content::Section(entries) => Ok(entries),
        Content::Leaf(_) => Err(malformed(path, text, 0, "wanted an object at the top level")),
    }
}

/// What the parser says, without the position, which it puts at the end.
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
        // The parser skips what it gives as it is, however deep: the recursion is bounded here.
        if depth > ConfigPath::MAX_SEGMENTS {
            return Err(self.fault(raw, "more than 16 levels are not taken"));
        }
        let content = if raw.get().starts_with('{') {
            Content::Section(self.section(raw, depth)?)
        } else {
            Content::Leaf(self.leaf(raw)?)
        };
        Ok(Node { line: position(self.text, self.offset(raw)).0, content })
    }

    fn section(&self, raw: &'a RawValue, depth: usize) -> Result<Vec<(String, Node)>, ConfigError> {
        let Entries(entries) = serde_json::from_str(raw.get()).map_err(|error| self.fault(raw, &reason(&error)))?;
        let mut keys = HashSet::new();
        for (key, value) in &entries {
            if !keys.insert(key) {
                return Err(self.fault(value, "this key is there twice"));
            }
        }
        entries.iter().map(|(key, value)| Ok((key.clone(), self.node(value, depth + 1)?))).collect()
    }

    fn leaf(&self, raw: &'a RawValue) -> Result<Value, ConfigError> {
        let value: Value = serde_json::from_str(raw.get()).map_err(|error| self.fault(raw, &reason(&error)))?;
        // An integer that is too large would silently become a float.
        match value.is_f64() && !raw.get().contains(['.', 'e', 'E']) {
            true => Err(self.fault(raw, "this integer has more than 64 bits")),
            false => Ok(value),
        }
    }

    fn fault(&self, raw: &RawValue, reason: &str) -> ConfigError {
        malformed(self.path, self.text, self.offset(raw), reason)
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
