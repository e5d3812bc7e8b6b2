use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What sort of fact an event records, such as `config_updated`.
///
/// 1 to 128 bytes of `[a-z0-9_.-]` that start with a letter; in the past tense by convention. A kind that
/// is known when the program is written is best made a `const`, which checks it at compile time and
/// costs nothing to copy.
///
/// ```
/// use foundation_events::EventKind;
///
/// const PLACED: EventKind = EventKind::from_static("order_placed");
///
/// assert_eq!(EventKind::new("order_placed")?, PLACED);
/// let error = EventKind::new("order placed").unwrap_err();
/// assert!(error.to_string().contains("has ' ' as character 6"));
/// # Ok::<(), foundation_events::EventError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventKind(Cow<'static, str>);

impl EventKind {
    /// The longest kind, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// A kind that is written in the program, for use as a `const`.
    ///
    /// # Panics
    ///
    /// If the text is no valid kind. In a `const` that is an error of the compiler, not of the running
    /// program; use [`EventKind::new`] for a text that is not known beforehand.
    ///
    /// ```compile_fail
    /// const WRONG: foundation_events::EventKind = foundation_events::EventKind::from_static("Order placed");
    /// # println!("{WRONG}");
    /// ```
    pub const fn from_static(text: &'static str) -> Self {
        assert!(is_name(text.as_bytes()), "an event kind is 1 to 128 bytes of [a-z0-9_.-] that start with a letter");
        Self(Cow::Borrowed(text))
    }

    /// The kind of this text, or the text and what is wrong with it.
    pub(super) fn check(text: String) -> Result<Self, (String, InvalidNameReason)> {
        match invalid_name(&text) {
            None => Ok(Self(Cow::Owned(text))),
            Some(reason) => Err((text, reason)),
        }
    }

    /// The kind as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The reason why a text is no [`EventKind`], or no [`SubscriptionName`](crate::SubscriptionName); positions count
/// characters from 1.
///
/// ```
/// use foundation_events::{EventError, EventKind, InvalidNameReason};
///
/// let error = EventKind::new("2nd").unwrap_err();
/// let reason = InvalidNameReason::BadStart { found: '2' };
/// assert_eq!(error, EventError::InvalidKind { kind: "2nd".into(), reason });
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidNameReason {
    /// There is no text.
    Empty,
    /// It is longer than [`EventKind::MAX_BYTES`].
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It starts with something else than a lower-case letter.
    BadStart {
        /// What it starts with.
        found: char,
    },
    /// It has a character that is not allowed.
    BadCharacter {
        /// The character.
        found: char,
        /// Its position; the first character has position 1.
        position: usize,
    },
}

impl fmt::Display for InvalidNameReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong { bytes } => write!(f, "is {bytes} bytes long"),
            Self::BadStart { found } => write!(f, "starts with {found:?}"),
            Self::BadCharacter { found, position } => write!(f, "has {found:?} as character {position}"),
        }
    }
}

pub(crate) const fn is_name(bytes: &[u8]) -> bool {
    if bytes.is_empty() || bytes.len() > EventKind::MAX_BYTES || !bytes[0].is_ascii_lowercase() {
        return false;
    }
    let mut at = 1;
    while at < bytes.len() {
        if !is_allowed(bytes[at]) {
            return false;
        }
        at += 1;
    }
    true
}

const fn is_allowed(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-')
}

/// Why a text is no kind, and no other name of the same form.
pub(crate) fn invalid_name(text: &str) -> Option<InvalidNameReason> {
    if is_name(text.as_bytes()) {
        return None;
    }
    let Some(first) = text.chars().next() else {
        return Some(InvalidNameReason::Empty);
    };
    if text.len() > EventKind::MAX_BYTES {
        return Some(InvalidNameReason::TooLong { bytes: text.len() });
    }
    if !first.is_ascii_lowercase() {
        return Some(InvalidNameReason::BadStart { found: first });
    }
    let mut characters = (1..).zip(text.chars());
    characters
        .find(|(_, found)| !u8::try_from(*found).is_ok_and(is_allowed))
        .map(|(position, found)| InvalidNameReason::BadCharacter { found, position })
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl AsRef<str> for EventKind {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<EventKind> for String {
    fn from(kind: EventKind) -> Self {
        kind.0.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use crate::EventError;

    use super::*;

    fn reason(text: &str) -> InvalidNameReason {
        match EventKind::new(text) {
            Err(EventError::InvalidKind { reason, .. }) => reason,
            other => panic!("{text:?} gave {other:?}"),
        }
    }

    #[test]
    fn a_kind_of_every_allowed_character_is_accepted() {
        for text in ["a", "config_updated", "a0_.-z", &"k".repeat(128)] {
            assert_eq!(EventKind::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn an_empty_kind_is_refused() {
        assert_eq!(reason(""), InvalidNameReason::Empty);
    }

    #[test]
    fn a_kind_longer_than_128_bytes_is_refused_with_its_length() {
        assert_eq!(reason(&"k".repeat(129)), InvalidNameReason::TooLong { bytes: 129 });
    }

    #[test]
    fn a_kind_that_does_not_start_with_a_letter_is_refused_with_its_start() {
        assert_eq!(reason("1st"), InvalidNameReason::BadStart { found: '1' });
        assert_eq!(reason("Config"), InvalidNameReason::BadStart { found: 'C' });
        assert_eq!(reason("é"), InvalidNameReason::BadStart { found: 'é' });
    }

    #[test]
    fn a_wrong_character_is_refused_with_its_position_in_characters() {
        let (found, position) = ('é', 4);
        assert_eq!(reason("abcé!"), InvalidNameReason::BadCharacter { found, position });
    }

    #[test]
    fn a_hostile_kind_is_shown_escaped_and_shortened() {
        let text = format!("a\u{1b}[31m'; drop table events;--{}", "x".repeat(100_000));
        let message = EventKind::new(text).unwrap_err().to_string();
        assert!(message.len() < 300, "{message}");
        assert!(!message.contains('\u{1b}'), "{message}");
    }

    #[test]
    fn a_kind_is_checked_when_it_is_read_back() {
        assert!(serde_json::from_str::<EventKind>("\"order_placed\"").is_ok());
        assert!(serde_json::from_str::<EventKind>("\"Order\"").is_err());
    }
}
