//! Names: the one grammar of the names of instruments and events, of the keys of labels, of units, and of patterns.

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// An instrument, or an event, which is counted under its name.
    Instrument,
    /// A label, whose key stands in Prometheus' text as it is.
    Label,
    /// A unit of measurement, which stands in the texts of exporters as it is.
    Unit,
    /// The events that a handler receives.
    Pattern,
    /// The same, where it stands for all names below it, too.
    Prefix,
}

/// Why a name is refused: what was asked for, the name, and what is wrong with it.
///
/// ```
/// use foundation_telemetry::{Labels, MetricNameErrorKind};
///
/// let refused = Labels::new([("user id", "7")]).unwrap_err();
/// let allowed = "it holds ' '; allowed are ASCII letters, digits and _";
/// assert_eq!(refused.to_string(), format!(r#""user id" is not the name of a label: {allowed}"#));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not {wanted}: {kind}")]
#[non_exhaustive]
pub struct MetricNameError {
    /// What was asked for: `the name of an instrument`, `the name of a label`, `a unit`, or `a pattern of events`.
    pub wanted: &'static str,
    /// The name, or its beginning.
    pub name: String,
    /// What is wrong with it.
    pub kind: MetricNameErrorKind,
}

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricNameErrorKind {
    /// It has no characters.
    #[error("a name needs at least one character")]
    Empty,
    /// It is too long.
    #[error("it has {found} bytes, and may have {limit}")]
    TooLong {
        /// How many bytes there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// It begins with what no name begins with.
    #[error("it begins with {found:?}, and must begin with an ASCII letter or _")]
    Start {
        /// The first character.
        found: char,
    },
    /// It begins with two underscores, which Prometheus keeps for itself.
    #[error("it begins with __, which is reserved")]
    Reserved,
    /// It is a prefix that ends with a dot, which would match only names with two dots in a row.
    #[error("it ends with a dot; a prefix is a name, and matches those that continue it after a dot")]
    EndsWithDot,
    /// It holds a character that no name holds.
    #[error("it holds {found:?}; allowed are ASCII letters, digits and {allowed}")]
    Character {
        /// The first such character.
        found: char,
        /// The characters that are allowed besides letters and digits.
        allowed: &'static str,
    },
}

impl Grammar {
    /// How many bytes a name may have.
    const fn limit(self) -> usize {
        match self {
            Self::Label | Self::Unit => 64,
            Self::Instrument | Self::Pattern | Self::Prefix => 200,
        }
    }

    /// The characters that are allowed besides ASCII letters and digits.
    const fn allowed(self) -> &'static str {
        match self {
            Self::Label | Self::Unit => "_",
            Self::Instrument | Self::Pattern | Self::Prefix => "_.:-/",
        }
    }

    const fn wanted(self) -> &'static str {
        match self {
            Self::Instrument => "the name of an instrument",
            Self::Label => "the name of a label",
            Self::Unit => "a unit",
            Self::Pattern | Self::Prefix => "a pattern of events",
        }
    }

    /// Whether a name is fit for every exporter.
    pub(crate) fn check(self, name: &str) -> Result<(), MetricNameError> {
        let refused = |kind| {
            let name = name.chars().take(self.limit()).collect();
            MetricNameError { wanted: self.wanted(), name, kind }
        };
        self.examine(name).map_err(refused)
    }

    fn examine(self, name: &str) -> Result<(), MetricNameErrorKind> {
        let Some(first) = name.chars().next() else { return Err(MetricNameErrorKind::Empty) };
        if name.len() > self.limit() {
            return Err(MetricNameErrorKind::TooLong { found: name.len(), limit: self.limit() });
        }
        if !(first.is_ascii_alphabetic() || first == '_') {
            return Err(MetricNameErrorKind::Start { found: first });
        }
        if self == Self::Label && name.starts_with("__") {
            return Err(MetricNameErrorKind::Reserved);
        }
        if self == Self::Prefix && name.ends_with('.') {
            return Err(MetricNameErrorKind::EndsWithDot);
        }
        let allowed = self.allowed();
        // By bytes, as labels are checked at each use. All before the first refused one are characters of one byte.
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || allowed.as_bytes().contains(&byte);
        let refused = name.bytes().position(|byte| !is_allowed(byte));
        match refused.and_then(|at| name[at..].chars().next()) {
            Some(found) => Err(MetricNameErrorKind::Character { found, allowed }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_kind(name: &str) -> Option<MetricNameErrorKind> {
        Grammar::Instrument.check(name).err().map(|error| error.kind)
    }

    #[test]
    fn names_are_dotted_words() {
        for name in ["orders", "http.requests", "order.placed/eu-1", "_x", "a:b"] {
            assert_eq!(Grammar::Instrument.check(name), Ok(()), "{name}");
            assert_eq!(Grammar::Pattern.check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_an_exporter_could_stumble_over_is_refused() {
        assert_eq!(error_kind(""), Some(MetricNameErrorKind::Empty));
        assert_eq!(error_kind("1a"), Some(MetricNameErrorKind::Start { found: '1' }));
        assert_eq!(error_kind(&"a".repeat(201)), Some(MetricNameErrorKind::TooLong { found: 201, limit: 200 }));
        for (name, found) in [("a\"b", '"'), ("a\nb", '\n'), ("a b", ' '), ("a{b", '{'), ("aß", 'ß'), ("a\0", '\0')] {
            assert_eq!(error_kind(name), Some(MetricNameErrorKind::Character { found, allowed: "_.:-/" }));
        }
    }

    #[test]
    fn an_error_says_what_was_asked_what_was_found_and_what_is_allowed() {
        let text = |grammar: Grammar, name: &str| grammar.check(name).unwrap_err().to_string();
        assert_eq!(
            text(Grammar::Pattern, "order.*"),
            r#""order.*" is not a pattern of events: it holds '*'; allowed are ASCII letters, digits and _.:-/"#
        );
        assert_eq!(
            text(Grammar::Prefix, "order."),
            r#""order." is not a pattern of events: it ends with a dot; a prefix is a name, and matches those that continue it after a dot"#
        );
        assert_eq!(
            text(Grammar::Instrument, "1\n"),
            r#""1\n" is not the name of an instrument: it begins with '1', and must begin with an ASCII letter or _"#
        );
        assert_eq!(
            text(Grammar::Label, "__a"),
            r#""__a" is not the name of a label: it begins with __, which is reserved"#
        );
        let long = text(Grammar::Label, &"x".repeat(65));
        assert!(long.ends_with(": it has 65 bytes, and may have 64"), "{long}");
    }
}
