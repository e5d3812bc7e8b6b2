//! Prometheus' text format, version 0.0.4.
//!
//! # Invariants
//!
//! 1. All lines of a name stand together, after one HELP and one TYPE.
//! 2. No two families write a sample of one name. Within a namespace names cannot clash (see `names`). Where two
//!    namespaces use one name for different kinds, the one of the scrape that comes first keeps it, and the other gets
//!    a `_` and, from the third on, a number.
//! 3. The bounds of a histogram depend on its name and on the bounds that were chosen for it, never on its values: so
//!    they are the same in all series and at every scrape.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Write};
use std::ops::RangeInclusive;

use foundation_kernel::instruments::{HistogramSnapshot, Reading};

use super::ExposedName;
use crate::labels::{Labels, escaped};
use crate::scrape::{MetricFamily, Scrape};

/// The numbers of any namespaces in Prometheus' text format, to be served as `text/plain; version=0.0.4`.
///
/// Each series has the label `namespace`. Characters that Prometheus does not have in names of metrics become `_`, and
/// counters end in `_total`. Durations are in seconds: a name in `…_ns`, `…_ms`, `…_nanoseconds`, `…_microseconds`
/// or `…_milliseconds` here is `…_seconds` there, and its values are converted. Counters and gauges of any other unit
/// keep it.
///
/// # Buckets
///
/// The counts of all buckets are exact. A histogram has the bounds that
/// [`Telemetry::bucket_bounds`](crate::Telemetry::bucket_bounds) chose for it, and otherwise powers of two that are a
/// factor of four apart, the same in all series and at every scrape:
///
/// | name | bounds |
/// |---|---|
/// | a duration, by the endings above or `_seconds` | 14, from about 1 µs to about 1 min |
/// | `…_bytes` | 13, from 64 B to 1 GiB |
/// | any other | 14, from 1/64 to 1,048,576 |
///
/// ```
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
/// use foundation_telemetry::{Telemetry, TelemetryOptions, prometheus_text};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let root = ProcessRegistry::builder()
/// #     .service(Telemetry::service(TelemetryOptions::new()))
/// #     .start().await?;
/// # let telemetry = Telemetry::of(&root.namespace(Namespace::Production).await?);
/// telemetry.count("orders.placed");
/// let text = prometheus_text(&[telemetry.scrape()]);
/// assert!(text.contains("# TYPE orders_placed_total counter\n"));
/// assert!(text.contains("orders_placed_total{namespace=\"production\"} 1\n"));
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub fn prometheus_text(scrapes: &[Scrape]) -> String {
    let mut text = String::new();
    for (name, MetricGroup { kind, members }) in named(grouped(scrapes)) {
        // Writing to a string cannot fail.
        let _ = write_family(&mut text, &name, kind, &members);
    }
    text
}

/// A family of one namespace.
type Member<'a> = (String, &'a MetricFamily);

/// The series of one name and kind, from all namespaces.
struct MetricGroup<'a> {
    kind: &'static str,
    members: Vec<Member<'a>>,
}

/// The groups with the names that they want, in the order of the scrapes.
fn grouped(scrapes: &[Scrape]) -> Vec<(ExposedName, MetricGroup<'_>)> {
    let (mut groups, mut positions) = (Vec::<(ExposedName, MetricGroup<'_>)>::new(), HashMap::new());
    for scrape in scrapes {
        for family in scrape.families.iter().filter(|family| !family.series.is_empty()) {
            let (name, kind) = (ExposedName::new(&family.name, family.kind), family.kind);
            let position = *positions.entry((name.family(), kind)).or_insert(groups.len());
            if position == groups.len() {
                groups.push((name, MetricGroup { kind, members: Vec::new() }));
            }
            groups[position].1.members.push((scrape.namespace.to_string(), family));
        }
    }
    groups
}

/// The groups in the order of their names, none of which writes a sample of another's (invariant 2).
fn named(groups: Vec<(ExposedName, MetricGroup<'_>)>) -> BTreeMap<String, MetricGroup<'_>> {
    let mut taken = HashSet::<String>::new();
    let named = groups.into_iter().map(|(wanted, group)| {
        let mut tries = (1..).map(|number| wanted.number(number));
        let free = |name: &ExposedName| !name.claims().any(|claim| taken.contains(&claim));
        let name = tries.find(free).unwrap_or(wanted);
        taken.extend(name.claims());
        (name.family(), group)
    });
    named.collect()
}

fn write_family(text: &mut String, name: &str, kind: &str, members: &[Member<'_>]) -> fmt::Result {
    let original = members.first().map_or("", |(_, family)| &*family.name);
    let help = members
        .iter()
        .find_map(|(_, family)| family.help.as_deref())
        .filter(|it| !it.trim().is_empty())
        .unwrap_or(original);
    writeln!(text, "# HELP {name} {}", Help(help))?;
    writeln!(text, "# TYPE {name} {kind}")?;
    for (namespace, family) in members {
        let exposed = Exposed::of(family);
        for series in &family.series {
            let line = Line { name, namespace, exposed: &exposed, labels: &series.labels };
            line.reading(text, &series.reading)?;
        }
    }
    Ok(())
}

/// The properties of values that follow from the name of their family.
struct Exposed {
    /// The divisor that converts them to the base unit.
    divisor: f64,
    /// The powers of two that are the bounds of a histogram if none were chosen.
    exponents: RangeInclusive<i32>,
}

impl Exposed {
    fn of(family: &MetricFamily) -> Self {
        let divisor = ExposedName::new(&family.name, family.kind).divisor;
        let exponents = match &*family.name {
            // About a microsecond to about a minute, in any unit.
            _ if divisor == 1e9 => 10..=36,
            _ if divisor == 1e6 => 0..=26,
            _ if divisor == 1e3 => -10..=16,
            name if name.ends_with("seconds") => -20..=6,
            name if name.ends_with("bytes") => 6..=30,
            _ => -6..=20,
        };
        Self { divisor, exponents }
    }
}

/// The lines of one series.
struct Line<'a> {
    name: &'a str,
    namespace: &'a str,
    exposed: &'a Exposed,
    labels: &'a Labels,
}

impl Line<'_> {
    fn reading(&self, text: &mut String, reading: &Reading) -> fmt::Result {
        match reading {
            Reading::Counter(value) if self.exposed.divisor == 1.0 => self.sample(text, "", None, value),
            Reading::Counter(value) => self.sample(text, "", None, &self.in_base_units(*value as f64)),
            Reading::Gauge(value) => self.sample(text, "", None, &self.in_base_units(*value)),
            Reading::Histogram(summary) => self.histogram(text, summary),
            _ => Ok(()),
        }
    }

    fn in_base_units(&self, value: f64) -> Number {
        Number(value / self.exposed.divisor)
    }

    fn histogram(&self, text: &mut String, summary: &HistogramSnapshot) -> fmt::Result {
        for (bound, count) in self.buckets(summary) {
            self.sample(text, "_bucket", Some(&self.in_base_units(bound)), &count)?;
        }
        self.sample(text, "_bucket", Some(&"+Inf"), &summary.count)?;
        self.sample(text, "_sum", None, &self.in_base_units(summary.sum))?;
        self.sample(text, "_count", None, &summary.count)
    }

    /// How many values are at most as great as each bound (invariant 3).
    fn buckets(&self, summary: &HistogramSnapshot) -> Vec<(f64, u64)> {
        if !summary.bounds.is_empty() {
            return summary.bounds.clone();
        }
        let at = |exponent: i32| {
            // Both bounds of each octave that holds a value are listed; any other bound has the count of the one below
            // it.
            let below = summary.buckets.partition_point(|(known, _)| *known <= exponent);
            (f64::from(exponent).exp2(), below.checked_sub(1).map_or(0, |last| summary.buckets[last].1))
        };
        self.exposed.exponents.clone().step_by(2).map(at).collect()
    }

    fn sample(
        &self,
        text: &mut String,
        suffix: &str,
        le: Option<&dyn fmt::Display>,
        value: &dyn fmt::Display,
    ) -> fmt::Result {
        write!(text, "{}{suffix}{{namespace=\"{}\"", self.name, escaped(self.namespace))?;
        for (key, value) in self.labels.iter() {
            write!(text, ",{key}=\"{}\"", escaped(value))?;
        }
        if let Some(bound) = le {
            write!(text, ",le=\"{bound}\"")?;
        }
        writeln!(text, "}} {value}")
    }
}

/// A number as Prometheus writes it.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value if value.is_nan() => f.write_str("NaN"),
            value => write!(f, "{value:e}"),
        }
    }
}

/// A description on one line: backslash and line feed are escaped, and nothing else is.
struct Help<'a>(&'a str);

impl fmt::Display for Help<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\\' => f.write_str(r"\\"),
            '\n' => f.write_str(r"\n"),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
