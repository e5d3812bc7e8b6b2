//! One comparison and its result.

use std::fmt;

use serde::Serialize;

use crate::measure::Effort;

/// The first line of the table.
pub(crate) const HEADING: &str = "name                       ours ns      peer ns   ratio   limit  threads  peer";

/// A comparison that can be measured: the medians of ours and of the peer's, in nanoseconds.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) peer: &'static str,
    /// The ratio that is to be reached.
    pub(crate) limit: f64,
    pub(crate) threads: usize,
    pub(crate) run: fn(&Effort) -> (f64, f64),
}

#[derive(Serialize)]
pub(crate) struct Measured {
    name: &'static str,
    ours_ns: f64,
    peer: &'static str,
    peer_ns: f64,
    ratio: f64,
    limit: f64,
    threads: usize,
}

impl Row {
    pub(crate) fn measure(&self, effort: &Effort) -> Measured {
        let (ours_ns, peer_ns) = (self.run)(effort);
        let Self { name, peer, limit, threads, .. } = *self;
        Measured { name, ours_ns, peer, peer_ns, ratio: ours_ns / peer_ns, limit, threads }
    }
}

impl Measured {
    pub(crate) fn json(&self) -> String {
        // Numbers and literals always have a form in JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, ours_ns, peer, peer_ns, ratio, limit, threads } = self;
        write!(f, "{name:22} {ours_ns:>11.1} {peer_ns:>12.1} {ratio:>7.2} {limit:>7.2} {threads:>8}  {peer}")
    }
}
