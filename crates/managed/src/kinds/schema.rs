//! The schema of a configuration: its fields, found out from its type.
//!
//! A type says by its `Deserialize` which fields it reads and of what. It is read from samples here, again and again:
//! once to see all fields, and once without each of them.
//!
//! # Invariants
//!
//! 1. A field whose sample its type refuses is seen, and left out afterwards, so that those after it are seen as well.
//! 2. Reading ends, also of a recursive type: depth, values and readings are limited.

pub(crate) mod field;
mod probe;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::field::ConfigField;
use self::probe::{MAX_VALUES, Probe, ProbeError, Sample, Seen};
use super::configuration::{is_secret, masked, written};

/// The fields of a configuration of this type, sorted by path. None of a type that is no struct.
pub(super) fn fields<T: DeserializeOwned + Serialize>(secrets: &[&str]) -> Vec<ConfigField> {
    let (mut refused, mut seen) = (BTreeSet::new(), BTreeMap::new());
    while refused.len() < MAX_VALUES && seen.len() < MAX_VALUES {
        let sample = Sample::new(refused.clone());
        let _ = T::deserialize(Probe::root(&sample));
        seen.extend(sample.seen.into_inner());
        match sample.refusal.into_inner() {
            Some(path) if refused.insert(path.clone()) => {}
            _ => break,
        }
    }
    let field = |(path, Seen { value, is_option }): (String, Seen)| {
        let (optional, default) = left_out::<T>(&path, is_option, &refused, secrets);
        let secret = is_secret(&path.replace("[]", ""), secrets);
        let default = default.filter(|_| !secret);
        ConfigField { path, value, optional, secret, default }
    };
    seen.into_iter().map(field).collect()
}

/// Whether a field may be left out, and what it is then, without the secrets within it.
fn left_out<T: DeserializeOwned + Serialize>(
    path: &str,
    is_option: bool,
    refused: &BTreeSet<String>,
    secrets: &[&str],
) -> (bool, Option<Value>) {
    let without: BTreeSet<_> = refused.iter().cloned().chain([path.to_owned()]).collect();
    let sample = Sample::new(without);
    match T::deserialize(Probe::root(&sample)) {
        Ok(config) => {
            let shown = written(&config).ok().map(|config| masked(config, secrets));
            (true, shown.and_then(|config| at(&config, path).cloned()))
        }
        Err(ProbeError::MissingAt(missing)) if missing == path => (false, None),
        // Another one is missing before this one is looked for.
        Err(_) => (is_option, None),
    }
}

fn at<'a>(config: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(config, |value, key| value.get(key))
}

#[cfg(test)]
mod tests {
    use foundation_kernel::names::ServiceName;
    use serde::Deserialize;
    use serde_json::json;

    use super::field::FieldType;
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Fast,
        Safe,
    }

    fn retries() -> u8 {
        3
    }

    #[derive(Serialize, Deserialize)]
    struct Peer {
        name: String,
        weight: Option<f64>,
    }

    #[derive(Serialize, Deserialize)]
    struct Mail {
        port: u16,
        mode: Mode,
        #[serde(default = "retries")]
        retries: u8,
        token: Option<String>,
        #[serde(default)]
        peers: Vec<Peer>,
        is_on: bool,
    }

    fn lines<T: DeserializeOwned + Serialize>(secrets: &[&str]) -> Vec<String> {
        let line = |field: ConfigField| {
            let marks = [(field.optional, " optional"), (field.secret, " secret")];
            let marks: String = marks.iter().filter(|it| it.0).map(|it| it.1).collect();
            let default = field.default.map(|it| format!(" = {it}")).unwrap_or_default();
            format!("{}: {:?}{marks}{default}", field.path, field.value)
        };
        fields::<T>(secrets).into_iter().map(line).collect()
    }

    #[test]
    fn the_fields_of_a_configuration_have_types_defaults_and_marks() {
        assert_eq!(
            lines::<Mail>(&["token"]),
            [
                "is_on: Boolean",
                r#"mode: OneOf(["fast", "safe"])"#,
                "peers: List optional = []",
                "peers[]: Section optional",
                "peers[].name: Text",
                "peers[].weight: Number optional",
                "port: Integer { min: 0, max: 65535 }",
                "retries: Integer { min: 0, max: 255 } optional = 3",
                "token: Text optional secret",
            ]
        );
    }

    #[test]
    fn a_field_whose_sample_is_refused_hides_no_other() {
        #[derive(Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        struct Odd;
        impl TryFrom<String> for Odd {
            type Error = &'static str;
            fn try_from(_: String) -> Result<Self, Self::Error> {
                Err("odd")
            }
        }
        impl From<Odd> for String {
            fn from(_: Odd) -> Self {
                "odd".to_owned()
            }
        }
        impl Clone for Odd {
            fn clone(&self) -> Self {
                Self
            }
        }
        #[derive(Serialize, Deserialize)]
        struct Inner {
            odd: Odd,
            count: u64,
        }
        #[derive(Serialize, Deserialize)]
        struct Outer {
            first: Odd,
            inner: Inner,
            service: ServiceName,
            next: Option<Box<Outer>>,
        }
        let found = fields::<Outer>(&[]);
        let of = |path: &str| found.iter().find(|field| field.path == path).map(|field| (&field.value, field.optional));
        assert_eq!(of("first"), Some((&FieldType::Text, false)));
        assert_eq!(of("inner"), Some((&FieldType::Section, false)));
        assert_eq!(of("inner.odd"), Some((&FieldType::Text, false)));
        assert!(matches!(of("inner.count"), Some((FieldType::Integer { .. }, false))));
        assert_eq!(of("service"), Some((&FieldType::Text, false)));
        assert_eq!(of("next").map(|it| it.1), Some(true));
        assert_eq!(serde_json::to_value(&found[0]).unwrap()["value"], json!("text"));
    }

    #[test]
    fn a_recursive_type_has_as_many_fields_as_are_looked_into() {
        #[derive(Serialize, Deserialize)]
        enum Filter {
            Not(Box<Filter>),
            Name(String),
        }
        #[derive(Serialize, Deserialize)]
        enum Tree {
            Node { left: Box<Tree>, right: Box<Tree> },
            Leaf,
        }
        #[derive(Serialize, Deserialize)]
        struct Chain(Option<Box<Chain>>);
        #[derive(Serialize, Deserialize)]
        struct Pair(Vec<Pair>, [Option<Box<Pair>>; 8]);
        #[derive(Serialize, Deserialize)]
        struct Branches {
            a: Option<Box<Branches>>,
            b: Option<Box<Branches>>,
            c: Option<Box<Branches>>,
            d: Option<Box<Branches>>,
        }
        #[derive(Serialize, Deserialize)]
        struct Recursive {
            branches: Branches,
            chain: Chain,
            filter: Filter,
            pair: Pair,
            tree: Tree,
            port: u16,
        }
        let found = fields::<Recursive>(&[]);
        let top: Vec<_> =
            found.iter().map(|field| field.path.as_str()).filter(|path| !path.contains(['.', '['])).collect();
        assert_eq!(top, ["branches", "chain", "filter", "pair", "port", "tree"]);
        assert!(found.len() <= 2 * MAX_VALUES, "{}", found.len());
    }

    #[test]
    fn the_default_of_a_section_shows_no_secret_within_it() {
        #[derive(Serialize, Deserialize)]
        struct Auth {
            user: String,
            token: String,
        }
        impl Default for Auth {
            fn default() -> Self {
                Self { user: "clerk".to_owned(), token: "hunter2".to_owned() }
            }
        }
        #[derive(Serialize, Deserialize)]
        struct Mail {
            #[serde(default)]
            auth: Auth,
        }
        let found = lines::<Mail>(&["auth.token"]);
        assert!(found[0].contains(r#""user":"clerk""#) && !found.concat().contains("hunter2"), "{found:?}");
    }

    #[test]
    fn a_field_is_not_required_since_one_of_the_same_name_is() {
        #[derive(Serialize, Deserialize)]
        struct Inner {
            name: Option<u64>,
        }
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        struct Odd;
        impl TryFrom<u64> for Odd {
            type Error = &'static str;
            fn try_from(_: u64) -> Result<Self, Self::Error> {
                Err("odd")
            }
        }
        impl From<Odd> for u64 {
            fn from(_: Odd) -> Self {
                1
            }
        }
        #[derive(Serialize, Deserialize)]
        struct Outer {
            name: Odd,
            inner: Inner,
        }
        let found = lines::<Outer>(&[]);
        assert!(found[1].starts_with("inner.name: Integer") && found[1].ends_with(" optional"), "{found:?}");
    }

    #[test]
    fn a_configuration_that_is_no_struct_has_no_fields() {
        assert!(fields::<u64>(&[]).is_empty() && fields::<Value>(&[]).is_empty());
    }
}
