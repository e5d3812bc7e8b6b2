use serde::{Deserialize, Serialize};

use crate::values::ConfigError;

/// The author of a change and the reason for it: part of the event of the change and of each notification.
///
/// ```
/// use foundation_config_server::ChangeNote;
///
/// let note = ChangeNote::by("alice").because("load test");
/// assert_eq!(note.to_string(), "by alice: load test");
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeNote {
    /// Who asked for the change; at most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Why; at most 1,024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ChangeNote {
    /// The longest author, in bytes.
    pub const MAX_AUTHOR_BYTES: usize = 128;

    /// The longest reason, in bytes.
    pub const MAX_REASON_BYTES: usize = 1_024;

    /// A note with an author and no reason.
    pub fn by(author: impl Into<String>) -> Self {
        Self { author: Some(author.into()), reason: None }
    }

    /// With this reason.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Refuses texts that would not be kept as they are.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let long = |what: &str, text: &Option<String>, limit: usize| {
            let found = text.as_ref().map_or(0, String::len);
            match found > limit {
                true => Err(ConfigError::OverLimit { what: what.to_owned(), found: format!("{found} bytes"), limit }),
                false => Ok(()),
            }
        };
        long("the author of the change", &self.author, Self::MAX_AUTHOR_BYTES)?;
        long("the reason of the change", &self.reason, Self::MAX_REASON_BYTES)
    }
}

/// Control characters are shown escaped: the texts come from callers.
impl std::fmt::Display for ChangeNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let escaped = |text: &str| text.escape_debug().to_string();
        match (self.author.as_deref().map(escaped), self.reason.as_deref().map(escaped)) {
            (Some(author), Some(reason)) => write!(f, "by {author}: {reason}"),
            (Some(author), None) => write!(f, "by {author}"),
            (None, reason) => f.write_str(&reason.unwrap_or_else(|| "no note".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_exactly_the_allowed_size_is_taken_and_one_more_byte_is_refused() {
        assert_eq!(ChangeNote::by("a".repeat(128)).because("r".repeat(1_024)).check(), Ok(()));
        let error = ChangeNote::by("a".repeat(129)).check().unwrap_err().to_string();
        assert_eq!(error, "the author of the change has 129 bytes, and at most 128 are allowed");
        let error = ChangeNote::default().because("r".repeat(1_025)).check().unwrap_err().to_string();
        assert_eq!(error, "the reason of the change has 1025 bytes, and at most 1024 are allowed");
    }

    #[test]
    fn control_characters_are_shown_escaped() {
        assert_eq!(ChangeNote::by("a\u{1b}[31m").because("b\n").to_string(), "by a\\u{1b}[31m: b\\n");
    }
}
