//! The fields of an instance: the grammar of their texts, and why a value is refused.

use foundation_kernel::names::NameError;
use foundation_kernel::text::shortened_to;

/// How much of a refused value an error shows, in bytes.
const MAX_SHOWN: usize = 64;

/// A value that a field of an instance, or of criteria, does not take: which field, what was found, and why.
///
/// ```
/// use foundation_discovery::Instance;
///
/// let error = Instance::builder("orders", "eu 1").build().unwrap_err();
/// assert_eq!(error.to_string(), r#"id "eu 1" has ' ' at byte 2; allowed are [a-z0-9_-]"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {found} {kind}")]
#[non_exhaustive]
pub struct FieldError {
    /// The field, as it is written in the metadata.
    pub field: &'static str,
    /// The value that was found: a text quoted and shortened, or a number.
    pub found: String,
    /// Why it is refused.
    pub kind: FieldErrorKind,
}

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldErrorKind {
    /// No character at all.
    #[error("is empty; it takes 1 to {max} of {allowed}")]
    Empty {
        /// How many bytes there may be.
        max: usize,
        /// The characters that it may have.
        allowed: String,
    },
    /// Too many bytes.
    #[error("has {bytes} bytes; at most {max} are allowed")]
    TooLong {
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        max: usize,
    },
    /// A character that it must not have.
    #[error("has {character:?} at byte {at}; allowed are {allowed}")]
    Character {
        /// The first such character.
        character: char,
        /// Where it stands, in bytes from 0.
        at: usize,
        /// The characters that it may have.
        allowed: String,
    },
    /// No service name.
    #[error("is not the name of a service: {0}")]
    Name(#[source] NameError),
    /// Not what the field holds.
    #[error("is not {expected}{detail}")]
    Form {
        /// What it holds, with an example.
        expected: &'static str,
        /// What is in the way, after a colon; or nothing.
        detail: String,
    },
    /// A number that is too small or too large.
    #[error("is not within {min} to {max}")]
    OutOfRange {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// More values than there may be.
    #[error("are too many; at most {max} are allowed")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
}

impl FieldError {
    /// A text that is refused.
    pub(crate) fn text(field: &'static str, found: &str, kind: FieldErrorKind) -> Self {
        Self { field, found: format!("{:?}", shortened_to(found, MAX_SHOWN)), kind }
    }

    /// A text that does not have the form of the field.
    pub(crate) fn form(field: &'static str, found: &str, expected: &'static str) -> Self {
        Self::text(field, found, FieldErrorKind::Form { expected, detail: String::new() })
    }

    /// The same, with what is in the way.
    pub(crate) fn form_because(
        field: &'static str,
        found: &str,
        expected: &'static str,
        error: &dyn std::fmt::Display,
    ) -> Self {
        Self::text(field, found, FieldErrorKind::Form { expected, detail: format!(": {error}") })
    }

    /// A number that is refused.
    pub(crate) fn number(field: &'static str, found: impl ToString, kind: FieldErrorKind) -> Self {
        Self { field, found: found.to_string(), kind }
    }

    /// Checks a text of small letters, digits and the `others`: at least one character, at most `max` bytes.
    pub(crate) fn check(field: &'static str, text: &str, max: usize, others: &str) -> Result<(), Self> {
        let allowed = || format!("[a-z0-9{others}]");
        let refused = |kind| Err(FieldError::text(field, text, kind));
        let is_allowed = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || others.contains(it);
        if text.is_empty() {
            return refused(FieldErrorKind::Empty { max, allowed: allowed() });
        }
        if text.len() > max {
            return refused(FieldErrorKind::TooLong { bytes: text.len(), max });
        }
        match text.char_indices().find(|(_, it)| !is_allowed(*it)) {
            Some((at, character)) => refused(FieldErrorKind::Character { character, at, allowed: allowed() }),
            None => Ok(()),
        }
    }

    /// Checks a text that people write: at most `max` bytes, without control characters.
    pub(crate) fn check_free(field: &'static str, text: &str, max: usize) -> Result<(), Self> {
        if text.len() > max {
            return Err(FieldError::text(field, text, FieldErrorKind::TooLong { bytes: text.len(), max }));
        }
        match text.char_indices().find(|(_, it)| it.is_control()) {
            Some((at, character)) => {
                let allowed = "characters that are not control characters".to_owned();
                Err(FieldError::text(field, text, FieldErrorKind::Character { character, at, allowed }))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_refusal_names_the_field_what_was_found_and_what_is_allowed() {
        let text = |text: &str| FieldError::check("id", text, 4, "_-").unwrap_err().to_string();
        assert_eq!(text(""), r#"id "" is empty; it takes 1 to 4 of [a-z0-9_-]"#);
        assert_eq!(text("abcde"), r#"id "abcde" has 5 bytes; at most 4 are allowed"#);
        assert_eq!(text("a.b"), r#"id "a.b" has '.' at byte 1; allowed are [a-z0-9_-]"#);
        let long = FieldError::check("id", &"ö".repeat(100), 4, "").unwrap_err();
        assert_eq!(long.found, format!("{:?}", "ö".repeat(30) + "…"));
    }

    proptest! {
        #[test]
        fn no_text_with_a_control_character_is_accepted(text: String) {
            let control = text.chars().any(char::is_control);
            prop_assert_eq!(FieldError::check_free("label", &text, usize::MAX).is_err(), control);
            prop_assert!(FieldError::check("id", &text, usize::MAX, "_").is_err() || !control);
        }
    }
}
