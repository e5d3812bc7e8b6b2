//! Prometheus' text format, version 0.0.4, and OpenMetrics, version 1.0.0.
//!
//! # Invariants
//!
//! 1. All lines of a name stand together, after one HELP and one TYPE.
//! 2. No two families write a sample of one name. Within a namespace names cannot clash (see `names`). Where two
//!    namespaces use one name for different kinds, the one of the scrape that comes first keeps it, and the other gets
//!    a `_` and, from the third on, a number.
//! 3. The bounds of a histogram depend on its name and on the bounds that were chosen for it, never on its values: so
//!    they are the same in all series and at every scrape.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Write};
use std::ops::RangeInclusive;
use std::time::UNIX_EPOCH;

use foundation_kernel::instruments::{HistogramSnapshot, Reading};

use super::ExposedName;
use crate::labels::escaped;
use crate::scrape::{MetricFamily, Scrape, Series};

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
pub fn prometheus_text<S: Borrow<Scrape>>(scrapes: &[S]) -> String {
    written(scrapes, Dialect::Prometheus)
}

/// The numbers of any namespaces as OpenMetrics, to be served as
/// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
///
/// Names, units and buckets are those of [`prometheus_text`]. Each counter and histogram also says
/// [since when](crate::Series::since) it counts, as `_created`. The [unit](crate::MetricFamily::unit) of a family is named if
/// the family's name ends in it: OpenMetrics has no other.
///
/// ```
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
/// use foundation_telemetry::{Telemetry, TelemetryOptions, open_metrics_text};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let root = ProcessRegistry::builder()
/// #     .service(Telemetry::service(TelemetryOptions::new()))
/// #     .start().await?;
/// # let telemetry = Telemetry::of(&root.namespace(Namespace::Production).await?);
/// telemetry.count("orders.placed");
/// let text = open_metrics_text(&[telemetry.scrape()]);
/// assert!(text.contains("# TYPE orders_placed counter\n"));
/// assert!(text.contains("orders_placed_total{namespace=\"production\"} 1\n"));
/// assert!(text.ends_with("# EOF\n"));
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub fn open_metrics_text<S: Borrow<Scrape>>(scrapes: &[S]) -> String {
    written(scrapes, Dialect::OpenMetrics)
}

/// What differs between the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Prometheus,
    OpenMetrics,
}

fn written<S: Borrow<Scrape>>(scrapes: &[S], dialect: Dialect) -> String {
    let mut text = String::new();
    for group in named(grouped(scrapes)).into_values() {
        // Writing to a string cannot fail.
        let _ = write_family(&mut text, &group, dialect);
    }
    if dialect == Dialect::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

/// A family of one namespace.
type Member<'a> = (String, &'a MetricFamily);

/// The series of one name and kind, from all namespaces.
struct MetricGroup<'a> {
    name: ExposedName,
    members: Vec<Member<'a>>,
}

/// The groups with the names that they want, in the order of the scrapes.
fn grouped<S: Borrow<Scrape>>(scrapes: &[S]) -> Vec<MetricGroup<'_>> {
    let (mut groups, mut positions) = (Vec::<MetricGroup<'_>>::new(), HashMap::new());
    for scrape in scrapes.iter().map(Borrow::borrow) {
        for family in scrape.families.iter().filter(|family| !family.series.is_empty()) {
            let name = ExposedName::new(&family.name, family.kind);
            let position = *positions.entry((name.family(), family.kind)).or_insert(groups.len());
            if position == groups.len() {
                groups.push(MetricGroup { name, members: Vec::new() });
            }
            groups[position].members.push((scrape.namespace.to_string(), family));
        }
    }
    groups
}

/// The groups in the order of their names, none of which writes a sample of another's (invariant 2).
fn named(groups: Vec<MetricGroup<'_>>) -> BTreeMap<String, MetricGroup<'_>> {
    let mut taken = HashSet::<String>::new();
    let named = groups.into_iter().map(|MetricGroup { name: wanted, members }| {
        let mut tries = (1..).map(|number| wanted.number(number));
        let free = |name: &ExposedName| !name.claims().any(|claim| taken.contains(&claim));
        let name = tries.find(free).unwrap_or(wanted);
        taken.extend(name.claims());
        (name.family(), MetricGroup { name, members })
    });
    named.collect()
}

fn write_family(text: &mut String, MetricGroup { name, members }: &MetricGroup<'_>, dialect: Dialect) -> fmt::Result {
    let original = members.first().map_or("", |(_, family)| &*family.name);
    let help = members
        .iter()
        .find_map(|(_, family)| family.help.as_deref())
        .filter(|it| !it.trim().is_empty())
        .unwrap_or(original);
    let in_prometheus = name.family();
    match dialect {
        Dialect::Prometheus => {
            writeln!(text, "# HELP {in_prometheus} {}", Help { text: help, quotes: false })?;
            writeln!(text, "# TYPE {in_prometheus} {}", name.kind)?;
        }
        Dialect::OpenMetrics => {
            let base = name.base();
            writeln!(text, "# TYPE {base} {}", name.kind)?;
            let units = members.iter().filter_map(|(_, family)| Some(family.unit.as_ref()?.base().0));
            if let Some(unit) = units.into_iter().find(|unit| name.ends_in(unit)) {
                writeln!(text, "# UNIT {base} {unit}")?;
            }
            writeln!(text, "# HELP {base} {}", Help { text: help, quotes: true })?;
        }
    }
    for (namespace, family) in members {
        let exposed = Exposed::of(family);
        let (labels, bounds) = (String::new(), Bounds::default());
        let names = (&*in_prometheus, name.base());
        let mut writer = SeriesWriter { text, names, namespace, exposed, labels, bounds, dialect };
        family.series.iter().try_for_each(|series| writer.series(series))?;
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

/// Writes the lines of the series of one family. What many lines have in common is formatted once.
struct SeriesWriter<'a> {
    text: &'a mut String,
    /// The name of the samples, and that without the `_total` of a counter.
    names: (&'a str, &'a str),
    namespace: &'a str,
    exposed: Exposed,
    /// Those of the current series, without the closing bracket.
    labels: String,
    bounds: Bounds,
    dialect: Dialect,
}

impl SeriesWriter<'_> {
    fn series(&mut self, series: &Series) -> fmt::Result {
        self.labels.clear();
        write!(self.labels, "{{namespace=\"{}\"", escaped(self.namespace))?;
        for (key, value) in series.labels.iter() {
            write!(self.labels, ",{key}=\"{}\"", escaped(value))?;
        }
        match &series.reading {
            Reading::Counter(value) if self.exposed.divisor == 1.0 => self.sample("", value)?,
            Reading::Counter(value) => self.sample("", self.in_base_units(*value as f64))?,
            Reading::Gauge(value) => return self.sample("", self.in_base_units(*value)),
            Reading::Histogram(summary) => self.histogram(summary)?,
            _ => return Ok(()),
        }
        match self.dialect {
            Dialect::Prometheus => Ok(()),
            Dialect::OpenMetrics => self.created(series),
        }
    }

    /// Since when the series counts, in seconds since 1970.
    fn created(&mut self, series: &Series) -> fmt::Result {
        let Ok(since) = series.since.duration_since(UNIX_EPOCH) else { return Ok(()) };
        self.text.extend([self.names.1, "_created", &self.labels]);
        writeln!(self.text, "}} {}.{:03}", since.as_secs(), since.subsec_millis())
    }

    fn in_base_units(&self, value: f64) -> Number {
        Number(value / self.exposed.divisor)
    }

    /// How many values are at most as great as each bound (invariant 3), and the sum of all.
    fn histogram(&mut self, summary: &HistogramSnapshot) -> fmt::Result {
        let bounds = summary.bounds.iter().copied();
        bounds.enumerate().try_for_each(|(position, (bound, count))| self.bucket(position, bound, count))?;
        if summary.bounds.is_empty() {
            for (position, exponent) in self.exposed.exponents.clone().step_by(2).enumerate() {
                // Both bounds of each octave that holds a value are listed; any other bound has the count of the one
                // below it.
                let below = summary.buckets.partition_point(|(known, _)| *known <= exponent);
                let count = below.checked_sub(1).map_or(0, |last| summary.buckets[last].1);
                self.bucket(position, f64::from(exponent).exp2(), count)?;
            }
        }
        self.text.extend([self.names.0, "_bucket", &self.labels]);
        writeln!(self.text, ",le=\"+Inf\"}} {}", summary.count)?;
        self.sample("_sum", self.in_base_units(summary.sum))?;
        self.sample("_count", summary.count)
    }

    fn bucket(&mut self, position: usize, bound: f64, count: u64) -> fmt::Result {
        let bound = self.bounds.text(position, bound / self.exposed.divisor, self.dialect);
        self.text.extend([self.names.0, "_bucket", &self.labels, ",le=\"", bound]);
        writeln!(self.text, "\"}} {count}")
    }

    fn sample(&mut self, suffix: &str, value: impl fmt::Display) -> fmt::Result {
        self.text.extend([self.names.0, suffix, &self.labels]);
        writeln!(self.text, "}} {value}")
    }
}

/// The bounds of the last histogram as they are written: the next one of the family mostly has the same.
#[derive(Default)]
struct Bounds(Vec<(f64, String)>);

impl Bounds {
    /// The text of the bound at this position.
    fn text(&mut self, position: usize, bound: f64, dialect: Dialect) -> &str {
        if self.0.get(position).is_none_or(|(known, _)| known.to_bits() != bound.to_bits()) {
            self.0.truncate(position);
            let text = match dialect {
                Dialect::Prometheus => Number(bound).to_string(),
                Dialect::OpenMetrics => Canonical(bound).to_string(),
            };
            self.0.push((bound, text));
        }
        self.0.get(position).map_or("", |(_, text)| text)
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

/// A bound as OpenMetrics wants it: a whole number has a fraction, and from a million on there is an exponent.
struct Canonical(f64);

impl fmt::Display for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            value if value == 0.0 || (1e-4..1e6).contains(&value) => write!(f, "{value:?}"),
            value => {
                let text = format!("{value:e}");
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
                write!(f, "{mantissa}e{sign}{digits:0>2}")
            }
        }
    }
}

/// A description on one line: backslash and line feed are escaped, in OpenMetrics also the quotation mark.
struct Help<'a> {
    text: &'a str,
    quotes: bool,
}

impl fmt::Display for Help<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.chars().try_for_each(|character| match character {
            '\\' => f.write_str(r"\\"),
            '\n' => f.write_str(r"\n"),
            '"' if self.quotes => f.write_str(r#"\""#),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
