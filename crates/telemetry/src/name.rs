//! Names of instruments.

/// How many bytes a name may have.
const MAX_NAME: usize = 200;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricNameFault {
    /// It has no characters.
    #[error("a name needs at least one character")]
    Empty,
    /// It is too long.
    #[error("it has {found} bytes, and may have {MAX_NAME}")]
    TooLong {
        /// How many bytes there are.
        found: usize,
    },
    /// It begins with what no name begins with.
    #[error("it begins with {found:?}, and must begin with an ASCII letter or _")]
    Start {
        /// The first character.
        found: char,
    },
    /// It holds a character that no name holds.
    #[error("it holds {found:?}; allowed are ASCII letters, digits and any of _.:-/")]
    Character {
        /// The first such character.
        found: char,
    },
}

/// Whether a name is fit for every exporter.
pub(super) fn check(name: &str) -> Result<(), MetricNameFault> {
    let Some(first) = name.chars().next() else { return Err(MetricNameFault::Empty) };
    if name.len() > MAX_NAME {
        return Err(MetricNameFault::TooLong { found: name.len() });
    }
    if !(first.is_ascii_alphabetic() || first == '_') {
        return Err(MetricNameFault::Start { found: first });
    }
    let allowed = |character: &char| character.is_ascii_alphanumeric() || "_.:-/".contains(*character);
    match name.chars().find(|character| !allowed(character)) {
        Some(found) => Err(MetricNameFault::Character { found }),
        None => Ok(()),
    }
}

/// A name, or its beginning, as it may stand in an error and in a log.
pub(super) fn quoted(name: &str) -> String {
    format!("{:?}", name.chars().take(MAX_NAME).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dotted_words() {
        for name in ["orders", "http.requests", "order.placed/eu-1", "_x", "a:b"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_an_exporter_could_stumble_over_is_refused() {
        assert_eq!(check(""), Err(MetricNameFault::Empty));
        assert_eq!(check("1a"), Err(MetricNameFault::Start { found: '1' }));
        assert_eq!(check(&"a".repeat(201)), Err(MetricNameFault::TooLong { found: 201 }));
        for (name, found) in [("a\"b", '"'), ("a\nb", '\n'), ("a b", ' '), ("a{b", '{'), ("aß", 'ß'), ("a\0", '\0')] {
            assert_eq!(check(name), Err(MetricNameFault::Character { found }));
        }
    }
}
