//! Labels, which distinguish the series of one family.
//!
//! # Invariants
//!
//! 1. Pairs are in the order of their keys, and no key occurs twice: equal sets are equal values.
//! 2. Keys are names of Prometheus' grammar and none that exporters write themselves; values hold no control
//!    characters.
//! 3. Number and lengths are bounded.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::name::{Grammar, MetricNameError};

/// How many labels a set may have.
const MAX_LABELS: usize = 8;
/// How many bytes a value may have.
const MAX_VALUE: usize = 200;
/// The label of the overflow series.
const OVERFLOW: &str = "overflow";
/// Labels that an exporter writes, and the one of the overflow.
const RESERVED: [&str; 4] = ["le", "namespace", OVERFLOW, "quantile"];

/// A validated set of labels: at most 8 pairs of a key (at most 64 ASCII letters, digits and `_`, as in Prometheus) and
/// a value (at most 200 bytes without control characters). Cheap to clone; written as `{key="value",…}`, or
/// nothing.
///
/// ```
/// use foundation_telemetry::Labels;
///
/// let labels = Labels::new([("status", "200"), ("method", "GET")]).unwrap();
/// assert_eq!(labels.to_string(), r#"{method="GET",status="200"}"#);
/// assert_eq!(labels.get("status"), Some("200"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

/// Why a set of labels is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// Too many labels.
    #[error("{found} labels are too many: a series has at most {MAX_LABELS}")]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// A key occurs twice.
    #[error("label {key:?} occurs twice")]
    Twice {
        /// The key.
        key: String,
    },
    /// A key is not a name.
    #[error(transparent)]
    Key(#[from] MetricNameError),
    /// A key has a meaning of its own.
    #[error("label {key:?} is reserved: exporters write it themselves")]
    Reserved {
        /// The key.
        key: String,
    },
    /// A value is too long.
    #[error("the value of label {key:?} has {found} bytes, and may have {MAX_VALUE}")]
    TooLong {
        /// The key.
        key: String,
        /// How many bytes there are.
        found: usize,
    },
    /// A value holds a control character.
    #[error("the value of label {key:?} holds the control character {character:?}")]
    Control {
        /// The key.
        key: String,
        /// The first such character.
        character: char,
    },
}

impl Labels {
    /// Validates pairs of key and value, in any order.
    ///
    /// # Errors
    /// [`LabelError`] names the label and what is wrong with it.
    pub fn new<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, LabelError> {
        let mut labels = Vec::new();
        // One more than allowed is enough: of millions of pairs only that many are copied.
        for (key, value) in pairs.into_iter().take(MAX_LABELS + 1) {
            labels.push(checked(key.as_ref(), value.as_ref())?);
        }
        if labels.len() > MAX_LABELS {
            return Err(LabelError::TooMany { found: labels.len() });
        }
        labels.sort();
        match labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(twice) => Err(LabelError::Twice { key: twice[0].0.to_string() }),
            None => Ok(Self(labels.into())),
        }
    }

    /// The labels of the overflow series.
    pub(crate) fn overflow() -> Self {
        Self(Arc::from([(Box::from(OVERFLOW), Box::from("true"))]))
    }

    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// The pairs, in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn checked(key: &str, value: &str) -> Result<(Box<str>, Box<str>), LabelError> {
    Grammar::Label.check(key)?;
    if RESERVED.contains(&key) {
        return Err(LabelError::Reserved { key: key.to_owned() });
    }
    if value.len() > MAX_VALUE {
        return Err(LabelError::TooLong { key: key.to_owned(), found: value.len() });
    }
    match value.chars().find(|character| character.is_control()) {
        Some(character) => Err(LabelError::Control { key: key.to_owned(), character }),
        None => Ok((key.into(), value.into())),
    }
}

/// A value as it stands between quotes in Prometheus' text: backslash, quote and line feed are escaped.
pub(crate) fn escaped(value: &str) -> impl fmt::Display {
    Escaped(value)
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let special = |it: char| matches!(it, '\\' | '"' | '\n');
        let mut rest = self.0;
        while let Some(at) = rest.find(special) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'\n' => r"\n",
                b'"' => "\\\"",
                _ => r"\\",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

/// As one object, a field for each label.
impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (key, value)) in self.iter().enumerate() {
            write!(f, "{}{key}=\"{}\"", if position == 0 { '{' } else { ',' }, Escaped(value))?;
        }
        if self.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error_text(pairs: &[(&str, &str)]) -> String {
        Labels::new(pairs.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn equal_sets_are_equal_whatever_their_order() {
        let labels = Labels::new([("b", "2"), ("a", "1")]).unwrap();
        assert_eq!(labels, Labels::new([("a", "1"), ("b", "2")]).unwrap());
        assert_eq!((labels.get("b"), labels.get("c")), (Some("2"), None));
    }

    #[test]
    fn an_error_says_which_label_and_why() {
        assert_eq!(error_text(&[("a", "1"), ("a", "2")]), r#"label "a" occurs twice"#);
        assert_eq!(error_text(&[("le", "1")]), r#"label "le" is reserved: exporters write it themselves"#);
        assert_eq!(error_text(&[("a", "x\ny")]), r#"the value of label "a" holds the control character '\n'"#);
        assert_eq!(error_text(&[("a", &"x".repeat(201))]), r#"the value of label "a" has 201 bytes, and may have 200"#);
        let nine = [("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", ""), ("f", ""), ("g", ""), ("h", ""), ("i", "")];
        assert_eq!(error_text(&nine), "9 labels are too many: a series has at most 8");
        for key in ["", "1a", "__a", "a b", "a\"", "größe", "a\0"] {
            assert!(matches!(Labels::new([(key, "")]), Err(LabelError::Key(_))), "{key:?}");
        }
    }

    #[test]
    fn what_is_written_is_escaped() {
        let labels = Labels::new([("path", r#"C:\"x""#)]).unwrap();
        assert_eq!(labels.to_string(), r#"{path="C:\\\"x\""}"#);
        assert_eq!(Labels::default().to_string(), "");
    }

    proptest! {
        #[test]
        fn no_text_gets_in_that_is_not_safe(key in any::<String>(), value in any::<String>()) {
            if let Ok(labels) = Labels::new([(&key, &value)]) {
                prop_assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
                prop_assert_eq!(labels.get(&key), Some(&*value));
                prop_assert!(!labels.to_string().contains(char::is_control));
            }
        }
    }
}
