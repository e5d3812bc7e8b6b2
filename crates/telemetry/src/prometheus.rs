//! The names that an instrument has in Prometheus' text and in OpenMetrics: a function of its own name and kind, and of
//! nothing else.
//!
//! Two instruments must never share one of these names, or each would change the names of the other. So a name is
//! refused at its registration if it would; see `names`.

use crate::unit::{Unit, without_total};

pub(crate) mod text;

const TOTAL: &str = "_total";

/// The name of an instrument in Prometheus' text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExposedName {
    /// As it stands in HELP and TYPE; of a counter without its `_total`.
    base: String,
    kind: &'static str,
    /// The divisor that converts its values to the base unit.
    divisor: f64,
}

impl ExposedName {
    /// Characters that Prometheus does not have become `_`, and a unit at the end becomes its base unit.
    pub(crate) fn new(name: &str, kind: &'static str) -> Self {
        let allowed = |it: char| if it.is_ascii_alphanumeric() || it == '_' { it } else { '_' };
        let name = without_total(name, kind);
        let (name, unit) = Unit::split_from(name).map_or((name, None), |(rest, unit)| (rest, Some(unit.base())));
        let mut base: String = name.chars().map(allowed).collect();
        if !base.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            base.insert(0, '_');
        }
        let divisor = unit.map_or(1.0, |(unit, many)| {
            base.extend(["_", unit.as_str()]);
            many
        });
        Self { base, kind, divisor }
    }

    /// The name of the family in Prometheus' text.
    fn family(&self) -> String {
        if self.kind == "counter" { format!("{}{TOTAL}", self.base) } else { self.base.clone() }
    }

    /// The name of the family in OpenMetrics.
    fn base(&self) -> &str {
        &self.base
    }

    /// Whether the name ends in a unit, as OpenMetrics demands of one that it names.
    fn ends_in(&self, unit: &Unit) -> bool {
        self.base.strip_suffix(unit.as_str()).is_some_and(|rest| rest.ends_with('_'))
    }

    /// The name itself, the one with a `_`, or that with a `_` and a number.
    fn number(&self, number: u32) -> Self {
        let base = match number {
            1 => self.base.clone(),
            2 => format!("{}_", self.base),
            more => format!("{}_{more}", self.base),
        };
        Self { base, ..self.clone() }
    }

    /// All names that nothing else may have: those of its samples, and that of the family in every version of the
    /// format.
    pub(crate) fn claims(&self) -> impl Iterator<Item = String> + '_ {
        suffixes(self.kind).iter().map(|suffix| format!("{}{suffix}", self.base))
    }

    /// The first name that both claim.
    pub(crate) fn in_common_with(&self, base: &str, kind: &str) -> Option<String> {
        self.claims().find(|claim| claim.strip_prefix(base).is_some_and(|rest| suffixes(kind).contains(&rest)))
    }
}

fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["", TOTAL, "_created"],
        "histogram" => &["", "_bucket", "_sum", "_count", "_created"],
        _ => &[""],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(name: &str, kind: &'static str) -> Vec<String> {
        ExposedName::new(name, kind).claims().collect()
    }

    #[test]
    fn names_are_in_the_grammar_of_prometheus_and_in_base_units() {
        let exposed = |name, kind| {
            let name = ExposedName::new(name, kind);
            (name.family(), name.divisor)
        };
        assert_eq!(exposed("http.requests", "counter"), ("http_requests_total".into(), 1.0));
        assert_eq!(exposed("http.requests_total", "counter"), ("http_requests_total".into(), 1.0));
        assert_eq!(exposed("a:b/c-d", "gauge"), ("a_b_c_d".into(), 1.0));
        assert_eq!(exposed("pricing.stop.duration_ms", "histogram"), ("pricing_stop_duration_seconds".into(), 1e3));
        assert_eq!(exposed("service.handling_ns", "histogram"), ("service_handling_seconds".into(), 1e9));
        assert_eq!(exposed("busy_milliseconds", "counter"), ("busy_seconds_total".into(), 1e3));
        // A word that ends like a unit is not a unit, and neither is a whole name.
        assert_eq!(exposed("spasms", "gauge"), ("spasms".into(), 1.0));
        assert_eq!(exposed("_ms", "gauge"), ("_ms".into(), 1.0));
        assert_eq!(exposed("_total", "counter"), ("_total_total".into(), 1.0));
    }

    #[test]
    fn a_name_claims_those_of_its_samples() {
        assert_eq!(claims("a", "gauge"), ["a"]);
        assert_eq!(claims("a.total", "counter"), ["a", "a_total", "a_created"]);
        assert_eq!(claims("a", "histogram"), ["a", "a_bucket", "a_sum", "a_count", "a_created"]);
        let sum = ExposedName::new("a.sum", "gauge");
        assert_eq!(sum.in_common_with("a", "histogram").as_deref(), Some("a_sum"));
        assert_eq!(sum.in_common_with("a", "counter"), None);
    }
}
