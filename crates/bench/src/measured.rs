//! A measurement, as a line for people and as one for programs.

use std::fmt;

use serde::Serialize;

/// The first line of the table.
pub(crate) const HEADING: &str =
    "name                        threads        ours        peer   ratio       limit        peer is";

/// Ours beside one peer's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) threads: usize,
    pub(crate) peer: String,
    pub(crate) figures: Comparison,
    /// The limit to stay within; `None` where a peer is only shown.
    pub(crate) limit: Option<RowLimit>,
}

/// A measured figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Comparison {
    Nanoseconds { ours: f64, peer: f64 },
    Bytes { ours: f64, peer: f64 },
}

/// The limit that ours has to stay within.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RowLimit {
    /// At most this many times the peer's.
    Ratio(f64),
    /// At most this much more than the peer's.
    Beyond(f64),
    /// At most this much, whatever the peer needs.
    Total(f64),
}

impl Comparison {
    fn both(self) -> (f64, f64) {
        match self {
            Self::Nanoseconds { ours, peer } | Self::Bytes { ours, peer } => (ours, peer),
        }
    }

    fn ratio(self) -> f64 {
        let (ours, peer) = self.both();
        ours / peer
    }

    fn print(self, amount: f64) -> String {
        match self {
            Self::Nanoseconds { .. } => scaled(amount, 1e3, ["ns", "µs", "ms", "s"]),
            Self::Bytes { .. } => scaled(amount, 1024.0, ["B", "KiB", "MiB", "GiB"]),
        }
    }
}

/// At most four digits and a unit.
fn scaled(amount: f64, step: f64, units: [&str; 4]) -> String {
    let mut scaled = amount;
    let mut unit = 0;
    while scaled >= 1_000.0 && unit + 1 < units.len() {
        scaled /= step;
        unit += 1;
    }
    let digits = if scaled < 100.0 { 1 } else { 0 };
    format!("{scaled:.digits$} {}", units[unit])
}

/// A line for programs: a duration. A limit is a ratio, or a field whose name says nanoseconds.
#[derive(Serialize)]
struct Time<'a> {
    name: &'a str,
    ours_ns: f64,
    peer: &'a str,
    peer_ns: f64,
    ratio: f64,
    limit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_ns: Option<f64>,
    threads: usize,
}

/// A line for programs: memory.
#[derive(Serialize)]
struct MemoryLine<'a> {
    name: &'a str,
    ours_bytes: f64,
    peer: &'a str,
    peer_bytes: f64,
    ratio: f64,
    beyond_bytes: f64,
    limit_bytes: Option<f64>,
    threads: usize,
}

impl RowLimit {
    fn figure(self) -> f64 {
        match self {
            Self::Ratio(limit) | Self::Beyond(limit) | Self::Total(limit) => limit,
        }
    }
}

impl Measured {
    pub(crate) fn is_over(&self) -> bool {
        let (ours, peer) = self.figures.both();
        match self.limit {
            Some(RowLimit::Ratio(limit)) => self.figures.ratio() > limit,
            Some(RowLimit::Beyond(limit)) => ours - peer > limit,
            Some(RowLimit::Total(limit)) => ours > limit,
            None => false,
        }
    }

    pub(crate) fn json(&self) -> String {
        let Self { name, threads, ref peer, .. } = *self;
        let (ratio, limit) = (self.figures.ratio(), self.limit.map(RowLimit::figure));
        let line = match self.figures {
            Comparison::Nanoseconds { ours: ours_ns, peer: peer_ns } => {
                let (limit, limit_ns) = match self.limit {
                    Some(RowLimit::Ratio(ratio)) => (Some(ratio), None),
                    _ => (None, limit),
                };
                serde_json::to_string(&Time { name, ours_ns, peer, peer_ns, ratio, limit, limit_ns, threads })
            }
            Comparison::Bytes { ours: ours_bytes, peer: peer_bytes } => {
                let (beyond_bytes, limit_bytes) = (ours_bytes - peer_bytes, limit);
                let memory =
                    MemoryLine { name, ours_bytes, peer, peer_bytes, ratio, beyond_bytes, limit_bytes, threads };
                serde_json::to_string(&memory)
            }
        };
        // Numbers and texts always have a form in JSON.
        line.unwrap_or_default()
    }

    fn limit(&self) -> String {
        match self.limit {
            Some(RowLimit::Ratio(limit)) => format!("{limit}"),
            Some(RowLimit::Beyond(limit)) => format!("+{}", self.figures.print(limit)),
            Some(RowLimit::Total(limit)) => self.figures.print(limit),
            None => "-".to_owned(),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.limit {
            None => "",
            Some(_) if self.is_over() => "over",
            Some(_) => "ok",
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, threads, peer, figures, .. } = self;
        let (ours, theirs) = figures.both();
        let (ours, theirs, ratio) = (figures.print(ours), figures.print(theirs), figures.ratio());
        let (limit, verdict) = (self.limit(), self.verdict());
        write!(f, "{name:28}{threads:>7}{ours:>12}{theirs:>12}{ratio:>8.2}{limit:>12}  {verdict:4}  {peer}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn measured(figures: Comparison, limit: impl Into<Option<RowLimit>>) -> Measured {
        Measured { name: "row", threads: 1, peer: "a peer".to_owned(), figures, limit: limit.into() }
    }

    #[test]
    fn each_kind_of_limit_is_compared_with_its_own_figure() {
        let figures = Comparison::Bytes { ours: 1_500.0, peer: 1_000.0 };
        assert!(
            !measured(figures, RowLimit::Ratio(1.5)).is_over() && measured(figures, RowLimit::Ratio(1.4)).is_over()
        );
        assert!(
            !measured(figures, RowLimit::Beyond(500.0)).is_over()
                && measured(figures, RowLimit::Beyond(499.0)).is_over()
        );
        assert!(
            !measured(figures, RowLimit::Total(1_500.0)).is_over()
                && measured(figures, RowLimit::Total(1_499.0)).is_over()
        );
        assert!(!measured(figures, None).is_over());
    }

    #[test]
    fn a_line_for_programs_has_the_promised_fields_and_no_others() {
        let figures = Comparison::Nanoseconds { ours: 30.0, peer: 20.0 };
        let line: Value = serde_json::from_str(&measured(figures, RowLimit::Ratio(2.0)).json()).unwrap();
        let expected = json!({
            "name": "row", "ours_ns": 30.0, "peer": "a peer", "peer_ns": 20.0, "ratio": 1.5, "limit": 2.0, "threads": 1
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn a_limit_in_nanoseconds_is_not_taken_for_one_of_the_ratio() {
        let slow = measured(Comparison::Nanoseconds { ours: 12.0, peer: 60.0 }, RowLimit::Total(10.0));
        let line: Value = serde_json::from_str(&slow.json()).unwrap();
        assert_eq!((&line["limit"], &line["limit_ns"]), (&Value::Null, &json!(10.0)));
        let line = slow.to_string();
        assert!(line.contains("10.0 ns  over"), "{line}");
    }

    #[test]
    fn a_line_for_people_has_units_and_a_verdict() {
        let slow =
            measured(Comparison::Nanoseconds { ours: 12_345.0, peer: 1_000_000.0 }, RowLimit::Ratio(0.001)).to_string();
        assert!(slow.contains("12.3 µs") && slow.contains("1.0 ms") && slow.contains("over"), "{slow}");
        let shown = measured(Comparison::Nanoseconds { ours: 1.0, peer: 2.0 }, None).to_string();
        assert!(!shown.contains("over") && !shown.contains("ok"), "{shown}");
    }
}
