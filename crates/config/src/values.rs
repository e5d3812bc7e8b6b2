//! The merged values, with access to each of them in one step.
//!
//! 1. Each value in `plain` is in `tree`, too. `plain` has no sections and no arrays, so it costs little to keep.
//! 2. A path that is not in `plain` is found in `tree`, if it exists at all.

use foldhash::{HashMap, HashMapExt};
use serde_json::Value;

use super::layers::{find, replace};
use super::path::ConfigPath;

#[derive(Clone)]
pub(super) struct Values {
    tree: Value,
    plain: HashMap<Box<str>, Value>,
}

impl Values {
    pub(super) fn new(tree: Value) -> Self {
        let mut plain = HashMap::new();
        collect(&tree, &mut String::new(), &mut plain);
        Self { tree, plain }
    }

    /// Everything.
    pub(super) fn root(&self) -> &Value {
        &self.tree
    }

    /// The value or section at a path, if there is one. A plain value costs one hash of the path.
    pub(super) fn get(&self, path: &str) -> Option<&Value> {
        self.plain.get(path).or_else(|| find(&self.tree, path))
    }

    /// Replaces the value at the path of an existing leaf.
    pub(super) fn replace(&mut self, path: &ConfigPath, value: Value) {
        match is_plain(&value) {
            true => drop(self.plain.insert(path.as_str().into(), value.clone())),
            false => drop(self.plain.remove(path.as_str())),
        }
        replace(&mut self.tree, path, value);
    }
}

fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// Recurses as deep as paths are long, which is bounded.
fn collect(value: &Value, path: &mut String, plain: &mut HashMap<Box<str>, Value>) {
    let Value::Object(fields) = value else {
        if is_plain(value) {
            plain.insert(path.as_str().into(), value.clone());
        }
        return;
    };
    for (key, field) in fields {
        let length = path.len();
        if length > 0 {
            path.push('.');
        }
        path.push_str(key);
        collect(field, path, plain);
        path.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values() -> Values {
        Values::new(json!({ "a": { "b": 1, "c": { "d": "x" }, "e": [1, 2], "n": null }, "f": true }))
    }

    #[test]
    fn each_value_and_each_section_is_found_as_it_is_in_the_tree() {
        let values = values();
        for path in ["a", "a.b", "a.c", "a.c.d", "a.e", "a.n", "f", "a.x", "x", "", "a.b.c", "a.e.0"] {
            assert_eq!(values.get(path), find(values.root(), path), "{path}");
        }
        assert_eq!(values.plain.len(), 4);
    }

    #[test]
    fn a_replaced_value_is_found_in_both_places_whatever_takes_its_place() {
        for value in [json!(2), json!("text"), json!(null), json!([3]), json!({ "z": 1 })] {
            for path in ["a.b", "a.e", "a.n"] {
                let (mut values, path) = (values(), ConfigPath::new(path).unwrap());
                values.replace(&path, value.clone());
                assert_eq!(values.get(path.as_str()), Some(&value), "{path}");
                assert_eq!(find(values.root(), path.as_str()), Some(&value), "{path}");
            }
        }
    }
}
