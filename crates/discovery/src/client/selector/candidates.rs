//! The candidates of a selector, for people.

use std::fmt;
use std::time::Duration;

use foundation_kernel::written::{millis, text};
use serde::Serialize;
use tokio::time::Instant;

use super::fitting::Fitting;
use crate::choice::{LoadReading, Locality, OutReason, Short};
use crate::health::InstanceStatus;
use crate::instance::InstanceName;

/// An instance that fits a [`Selector`](crate::Selector), with the figures by which it is chosen or not, at one time.
///
/// As JSON or as a line of a table: `{}` writes one, and [`HEADING`](Self::HEADING) the names of its columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CandidateReport {
    /// The instance.
    #[serde(serialize_with = "text")]
    pub name: InstanceName,
    /// Its status.
    pub status: InstanceStatus,
    /// Why it is not in rotation; `None` if it is.
    pub out: Option<OutReason>,
    /// Whether it takes part in choices: it is in rotation, or the choice fails open.
    pub takes_part: bool,
    /// How near it is; `None` if the choice does not look at zones.
    pub locality: Option<Locality>,
    /// Its weight after the slow start, or its whole weight if it takes no part.
    pub weight: f64,
    /// Since when it is known.
    #[serde(rename = "age_ms", serialize_with = "millis")]
    pub age: Duration,
    /// Its load.
    pub load: LoadReading,
    /// What one more call costs there: the lower, the better. `None` if it takes no part, or the policy compares no scores.
    pub score: Option<f64>,
}

impl CandidateReport {
    /// The names of the columns of the line that `Display` writes.
    pub const HEADING: &'static str = "instance                 status     rotation  weight       age     score  load";

    /// One that takes no part.
    pub(in crate::client) fn of<M>(fitting: &Fitting<M>, now: Instant) -> Self {
        let candidate = fitting.candidate(now);
        Self {
            name: candidate.name().clone(),
            status: candidate.record().status(),
            out: candidate.out(),
            takes_part: false,
            locality: None,
            weight: f64::from(candidate.record().instance.weight()),
            age: now.saturating_duration_since(fitting.calls.since),
            load: *candidate.load(),
            score: None,
        }
    }

    pub(in crate::client) fn near(self, locality: Option<Locality>) -> Self {
        Self { locality, ..self }
    }

    pub(in crate::client) fn taking_part(self, weight: f64, score: Option<f64>) -> Self {
        Self { takes_part: true, weight, score, ..self }
    }
}

impl fmt::Display for CandidateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rotation = match (self.out, self.takes_part) {
            (Some(out), false) => out.to_string(),
            (Some(_), true) => "fail open".to_owned(),
            (None, _) => "in".to_owned(),
        };
        let score = self.score.map_or_else(|| "–".to_owned(), |score| Short(score).to_string());
        let (name, status, weight) = (self.name.as_str(), self.status, self.weight);
        let age = format!("{:.1} s", self.age.as_secs_f64());
        write!(f, "{name:<24} {status:<10} {rotation:<9} {weight:>6.0} {age:>9} {score:>9}  {}", self.load)
    }
}
