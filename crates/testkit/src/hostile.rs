//! Hostile texts, sizes and values, and what must hold of the errors that they cause.

use std::fmt::Display;

use serde_json::{Value, json};

/// Control characters, SQL, paths, patterns and markup; none of them is a valid name.
pub const TEXTS: [&str; 16] = [
    "",
    " ",
    "a\0b",
    "a\nb 1",
    "\u{1b}[31mred",
    "\u{202e}drawkcab",
    "'; DROP TABLE events; --",
    "\" OR 1=1 --",
    "%",
    "?1",
    "{}{0:?}",
    "/~0~1/",
    "../../etc/passwd",
    "${HOME}",
    "<script>alert(1)</script>",
    "🦀",
];

/// A text of a million characters.
pub fn long() -> String {
    "x".repeat(1_000_000)
}

/// A list within a list within a list, this many levels deep.
pub fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, _| json!([inner]))
}

/// The text of an error that people and logs can read: short, and on one line.
///
/// # Panics
/// If it is not.
#[track_caller]
pub fn readable(error: impl Display) -> String {
    let text = error.to_string();
    assert!(text.len() < 1_000, "{} bytes: {}", text.len(), text.chars().take(300).collect::<String>());
    assert!(!text.contains(char::is_control), "{text:?}");
    text
}
