//! Units of measurement.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use crate::name::{Grammar, MetricNameError};

/// The unit of the values of a family, by the word that names end in: `seconds`, `bytes`, `requests`.
///
/// A family whose name ends in `ns`, `ms`, `nanoseconds`, `microseconds`, `milliseconds`, `seconds` or `bytes` has this unit.
/// Any other may be given one by [`Telemetry::unit`](crate::Telemetry::unit).
///
/// ```
/// use foundation_telemetry::Unit;
///
/// assert_eq!((Unit::SECONDS.as_str(), &*Unit::SECONDS.ucum()), ("seconds", "s"));
/// assert_eq!(Unit::new("requests")?.ucum(), "{requests}");
/// # Ok::<_, foundation_telemetry::MetricNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Unit(Cow<'static, str>);

/// The last words of names that are a unit.
const ENDINGS: [(&str, Unit); 7] = [
    ("ns", Unit::NANOSECONDS),
    ("ms", Unit::MILLISECONDS),
    ("nanoseconds", Unit::NANOSECONDS),
    ("microseconds", Unit::MICROSECONDS),
    ("milliseconds", Unit::MILLISECONDS),
    ("seconds", Unit::SECONDS),
    ("bytes", Unit::BYTES),
];

/// The symbols of words in the Unified Code for Units of Measure, which OTLP has.
const SYMBOLS: [(&str, &str); 22] = [
    ("amperes", "A"),
    ("bits", "bit"),
    ("bytes", "By"),
    ("celsius", "Cel"),
    ("count", "1"),
    ("days", "d"),
    ("gibibytes", "GiBy"),
    ("grams", "g"),
    ("hertz", "Hz"),
    ("hours", "h"),
    ("joules", "J"),
    ("kibibytes", "KiBy"),
    ("mebibytes", "MiBy"),
    ("meters", "m"),
    ("microseconds", "us"),
    ("milliseconds", "ms"),
    ("minutes", "min"),
    ("nanoseconds", "ns"),
    ("percent", "%"),
    ("ratio", "1"),
    ("seconds", "s"),
    ("volts", "V"),
];

impl Unit {
    /// `nanoseconds`, the unit of names in `…_ns`.
    pub const NANOSECONDS: Self = Self(Cow::Borrowed("nanoseconds"));
    /// `microseconds`.
    pub const MICROSECONDS: Self = Self(Cow::Borrowed("microseconds"));
    /// `milliseconds`, the unit of names in `…_ms`.
    pub const MILLISECONDS: Self = Self(Cow::Borrowed("milliseconds"));
    /// `seconds`.
    pub const SECONDS: Self = Self(Cow::Borrowed("seconds"));
    /// `bytes`.
    pub const BYTES: Self = Self(Cow::Borrowed("bytes"));
    /// `ratio`: a fraction of one.
    pub const RATIO: Self = Self(Cow::Borrowed("ratio"));

    /// The unit of this word: at most 64 ASCII letters, digits and `_`, of which the first is no digit.
    ///
    /// # Errors
    /// [`MetricNameError`] says what is wrong with the word.
    pub fn new(word: &str) -> Result<Self, MetricNameError> {
        Grammar::Unit.check(word)?;
        Ok(Self(Cow::Owned(word.to_owned())))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The symbol in the Unified Code for Units of Measure, as OTLP wants it: `ns`, `s`, `By`; of words that have none the
    /// word in braces, which that code allows for things that are counted.
    pub fn ucum(&self) -> Cow<'static, str> {
        match SYMBOLS.binary_search_by(|(word, _)| (*word).cmp(&self.0)) {
            Ok(position) => Cow::Borrowed(SYMBOLS[position].1),
            Err(_) => Cow::Owned(format!("{{{}}}", self.0)),
        }
    }

    /// The unit that Prometheus wants instead, and how many of these it has.
    pub(crate) fn base(&self) -> (Self, f64) {
        match &*self.0 {
            "nanoseconds" => (Self::SECONDS, 1e9),
            "microseconds" => (Self::SECONDS, 1e6),
            "milliseconds" => (Self::SECONDS, 1e3),
            _ => (self.clone(), 1.0),
        }
    }

    /// The unit that a name ends in, and the name without it.
    pub(crate) fn split_from(name: &str) -> Option<(&str, Self)> {
        ENDINGS.into_iter().find_map(|(word, unit)| Some((without(name, word)?, unit)))
    }

    /// The unit that the name of an instrument of this kind ends in.
    pub(crate) fn of_name(name: &str, kind: &str) -> Option<Self> {
        Self::split_from(without_total(name, kind)).map(|(_, unit)| unit)
    }
}

/// The name of a counter without its `total`.
pub(crate) fn without_total<'a>(name: &'a str, kind: &str) -> &'a str {
    let total = || without(name, "total");
    if kind == "counter" { total().unwrap_or(name) } else { name }
}

/// What stands before the last word of a name, if that is this one and something stands before it.
fn without<'a>(name: &'a str, word: &str) -> Option<&'a str> {
    let rest = name.strip_suffix(word)?.strip_suffix(|it: char| !it.is_ascii_alphanumeric())?;
    (!rest.is_empty()).then_some(rest)
}

/// The word.
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_unit_that_its_last_word_is() {
        let unit = |name, kind| Unit::of_name(name, kind).map(|unit| unit.to_string());
        assert_eq!(unit("service.handling_ns", "histogram").as_deref(), Some("nanoseconds"));
        assert_eq!(unit("took.microseconds", "gauge").as_deref(), Some("microseconds"));
        assert_eq!(unit("busy_ms.total", "counter").as_deref(), Some("milliseconds"));
        assert_eq!(unit("heap-bytes", "gauge").as_deref(), Some("bytes"));
        // A gauge has no `total`, a whole name is not a unit, and neither is a word that ends like one.
        for (name, kind) in [("busy_ms.total", "gauge"), ("seconds", "gauge"), ("_ms", "gauge"), ("spasms", "counter")]
        {
            assert_eq!(unit(name, kind), None, "{name}");
        }
    }

    #[test]
    fn each_unit_has_a_symbol_of_otlp() {
        assert!(SYMBOLS.is_sorted());
        let symbols =
            ["nanoseconds", "seconds", "bytes", "percent", "jobs"].map(|word| Unit::new(word).unwrap().ucum());
        assert_eq!(symbols, ["ns", "s", "By", "%", "{jobs}"]);
    }

    #[test]
    fn a_unit_is_one_word() {
        for word in ["", "1s", "kilo byte", "{s}", "s\n", "°C", &"x".repeat(65)] {
            assert!(Unit::new(word).is_err(), "{word:?}");
        }
    }
}
