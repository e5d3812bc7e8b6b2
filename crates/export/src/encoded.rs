//! Numbers as bytes, or why they are not.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::display_text;

/// Bytes in some format; a clone is an atomic increment.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded(Arc<[u8]>);

impl Encoded {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<String> for Encoded {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl From<Vec<u8>> for Encoded {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} bytes)", self.0.len())
    }
}

/// Why numbers could not be written in a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the numbers cannot be written as {format}: {reason}")]
#[non_exhaustive]
pub struct EncodeError {
    /// The format.
    pub format: &'static str,
    /// What is wrong.
    pub reason: String,
}

impl EncodeError {
    /// An error of a format. A reason that is longer than 4,096 bytes is cut off.
    pub fn new(format: &'static str, reason: impl fmt::Display) -> Self {
        Self { format, reason: display_text(&reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Wordless;

    impl fmt::Display for Wordless {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Err(fmt::Error)
        }
    }

    #[test]
    fn a_reason_without_a_text_and_one_that_is_too_long_are_reasons_all_the_same() {
        assert_eq!(EncodeError::new("json", Wordless).reason, "(its text cannot be written)");
        assert!(EncodeError::new("json", "x".repeat(1 << 20)).reason.len() < 5_000);
    }
}
