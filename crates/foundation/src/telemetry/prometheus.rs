//! Prometheus' text format, version 0.0.4.
//!
//! # Invariants
//!
//! 1. All lines of a name stand together, after one HELP and one TYPE.
//! 2. No two families write a sample of one name: where several of our names become one of Prometheus', the second gets a
//!    `_`, and those after it a `_` and a number. So however many there are, names stay as short as they are, and each is
//!    found at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Write};

use foundation_core::{HistogramSnapshot, Reading};

use super::labels::{Escaped, Labels};
use super::scrape::{MetricFamily, Scrape};

/// The numbers of any namespaces in Prometheus' text format, to be served as `text/plain; version=0.0.4`.
///
/// Each series has the label `namespace`. Characters that Prometheus does not have in names become `_`, and counters end in
/// `_total`. The buckets of a histogram are the powers of two around its values; their counts are exact.
///
/// ```
/// use foundation::{Foundation, prometheus_text};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let foundation = Foundation::builder().start().await?;
/// foundation.telemetry().count("orders.placed");
/// let text = prometheus_text(&[foundation.telemetry().scrape().await?]);
/// assert!(text.contains("# TYPE orders_placed_total counter\n"));
/// assert!(text.contains("orders_placed_total{namespace=\"production\"} 1\n"));
/// foundation.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub fn prometheus_text(scrapes: &[Scrape]) -> String {
    let mut text = String::new();
    let mut taken = Taken::default();
    for ((name, kind), members) in grouped(scrapes) {
        let name = free_name(name, kind, &mut taken);
        // Writing to a string cannot fail.
        let _ = write_family(&mut text, &name, kind, &members);
    }
    text
}

/// A family of one namespace.
type Member<'a> = (String, &'a MetricFamily);

/// What belongs together, from all namespaces, in the order of the names.
fn grouped(scrapes: &[Scrape]) -> BTreeMap<(&str, &str), Vec<Member<'_>>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for scrape in scrapes {
        for family in scrape.families.iter().filter(|family| !family.series.is_empty()) {
            let member = (scrape.namespace.to_string(), family);
            groups.entry((&*family.name, family.kind)).or_default().push(member);
        }
    }
    groups
}

/// A name that nobody else writes samples under.
fn free_name(name: &str, kind: &str, taken: &mut Taken) -> String {
    let wanted = prometheus_name(name, kind);
    let mut name = wanted.clone();
    while samples(&name, kind).iter().any(|sample| taken.samples.contains(sample)) {
        // Goes on where the last namesake has found a place: to try all of theirs again would take the square of their number.
        let tries = taken.tries.entry(wanted.clone()).or_insert(0);
        *tries += 1;
        name = if *tries == 1 { format!("{wanted}_") } else { format!("{wanted}_{tries}") };
    }
    taken.samples.extend(samples(&name, kind));
    name
}

/// The names that samples have been written under, and how often each name was wanted in vain.
#[derive(Default)]
struct Taken {
    samples: HashSet<String>,
    tries: HashMap<String, u32>,
}

fn prometheus_name(name: &str, kind: &str) -> String {
    let allowed = |it: char| if it.is_ascii_alphanumeric() || it == '_' || it == ':' { it } else { '_' };
    let mut allowed: String = name.chars().map(allowed).collect();
    if !allowed.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        allowed.insert(0, '_');
    }
    if kind == "counter" && !allowed.ends_with("_total") {
        allowed.push_str("_total");
    }
    allowed
}

/// The names of the samples that a family writes; its own is among them, as it stands in HELP and TYPE.
fn samples(name: &str, kind: &str) -> Vec<String> {
    let suffixes: &[&str] = if kind == "histogram" { &["", "_bucket", "_sum", "_count"] } else { &[""] };
    suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
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
        for series in &family.series {
            let line = Line { name, namespace, labels: &series.labels };
            line.reading(text, &series.reading)?;
        }
    }
    Ok(())
}

/// The beginning of the lines of one series.
struct Line<'a> {
    name: &'a str,
    namespace: &'a str,
    labels: &'a Labels,
}

impl Line<'_> {
    fn reading(&self, text: &mut String, reading: &Reading) -> fmt::Result {
        match reading {
            Reading::Counter(value) => self.sample(text, "", None, value),
            Reading::Gauge(value) => self.sample(text, "", None, &Number(*value)),
            Reading::Histogram(summary) => self.histogram(text, summary),
            _ => Ok(()),
        }
    }

    fn histogram(&self, text: &mut String, summary: &HistogramSnapshot) -> fmt::Result {
        for (exponent, count) in &summary.buckets {
            let bound = Number(f64::from(*exponent).exp2()).to_string();
            self.sample(text, "_bucket", Some(&bound), count)?;
        }
        self.sample(text, "_bucket", Some("+Inf"), &summary.count)?;
        self.sample(text, "_sum", None, &Number(summary.sum))?;
        self.sample(text, "_count", None, &summary.count)
    }

    fn sample(&self, text: &mut String, suffix: &str, le: Option<&str>, value: &dyn fmt::Display) -> fmt::Result {
        write!(text, "{}{suffix}{{namespace=\"{}\"", self.name, Escaped(self.namespace))?;
        for (key, value) in self.labels.iter() {
            write!(text, ",{key}=\"{}\"", Escaped(value))?;
        }
        if let Some(bound) = le {
            write!(text, ",le=\"{bound}\"")?;
        }
        writeln!(text, "}} {value}")
    }
}

/// In the words of Prometheus.
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
#[path = "prometheus_tests.rs"]
mod tests;
