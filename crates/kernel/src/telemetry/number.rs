//! Formatting of numbers: for display, and for formats that have no NaN and no infinity.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number with four significant digits, for display.
pub(super) struct Figures(pub(super) f64);

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        match value.abs() {
            size if size.is_nan() || size.is_infinite() || size == 0.0 => write!(f, "{value}"),
            size if (1e-3..1e15).contains(&size) => write!(f, "{value:.*}", decimals(size)),
            _ => write!(f, "{value:.3e}"),
        }
    }
}

fn decimals(size: f64) -> usize {
    // The cast turns the negative numbers of long ones into zero.
    (3.0 - size.log10().floor()) as usize
}

/// For `#[serde(with)]`. In text formats the numbers that are not finite become the texts `NaN`, `inf` and `-inf`:
/// JSON would turn them into `null`, which does not come back as a number.
pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() || !serializer.is_human_readable() {
        value.serialize(serializer)
    } else {
        serializer.collect_str(value)
    }
}

/// For `#[serde(with)]`: the opposite of [`serialize`].
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_any(NumberOrText)
    } else {
        f64::deserialize(deserializer)
    }
}

struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, \"NaN\", \"inf\" or \"-inf\"")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        match text {
            "NaN" => Ok(f64::NAN),
            "inf" => Ok(f64::INFINITY),
            "-inf" => Ok(f64::NEG_INFINITY),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_four_significant_digits() {
        let shown = [0.0, 0.5, 12.345, 99.999, 123_456.7, 2.5e-9, -1.0, f64::NAN, f64::NEG_INFINITY]
            .map(|value| Figures(value).to_string());
        let expected = ["0", "0.5000", "12.35", "100.00", "123457", "2.500e-9", "-1.000", "NaN", "-inf"];
        assert_eq!(shown, expected);
    }
}
