//! Candidates: what a choice knows of an instance.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::load::{Figures, LoadReading};
use crate::health::InstanceStatus;
use crate::instance::{InstanceName, InstanceRecord, Zone};

/// The smallest share of its weight that a new instance has.
const MIN_RAMP: f64 = 0.1;

/// An instance that fits, with the figures by which it is chosen or not. Borrows from its [`InstanceRecord`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate<'a> {
    record: &'a InstanceRecord,
    load: LoadReading,
    age: Option<Duration>,
    ejected: bool,
}

/// Why an instance is not in rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OutReason {
    /// Its checks fail.
    Unhealthy,
    /// Its calls fail.
    Ejected,
    /// It is about to leave. It is not chosen even if all others are out.
    Draining,
    /// Its actor has ended, or has lost its name, as the registry is about to say.
    Ended,
}

/// No instance that fits can be chosen, with how many are out of rotation and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct NoneInRotationError {
    /// How many instances are out for which reason.
    pub out: BTreeMap<OutReason, usize>,
}

impl<'a> Candidate<'a> {
    /// An instance with this load.
    pub fn new(record: &'a InstanceRecord, load: LoadReading) -> Self {
        Self { record, load, age: None, ejected: false }
    }

    /// How long it has been there, for the [slow start](super::Choice::slow_start). Without an age it is not new.
    pub fn age(self, age: Duration) -> Self {
        Self { age: Some(age), ..self }
    }

    /// Whether it is [ejected](super::Outliers::ejection).
    pub fn ejected(self, ejected: bool) -> Self {
        Self { ejected, ..self }
    }

    /// The instance.
    pub fn record(&self) -> &'a InstanceRecord {
        self.record
    }

    /// Its name.
    pub fn name(&self) -> &'a InstanceName {
        self.record.name()
    }

    /// Where it runs.
    pub fn zone(&self) -> Option<&'a Zone> {
        self.record.instance.zone()
    }

    /// Its load.
    pub fn load(&self) -> &LoadReading {
        &self.load
    }

    /// Why it is not in rotation; `None` if it is.
    pub fn out(&self) -> Option<OutReason> {
        match self.record.status() {
            InstanceStatus::Draining => Some(OutReason::Draining),
            InstanceStatus::Unhealthy => Some(OutReason::Unhealthy),
            _ => self.ejected.then_some(OutReason::Ejected),
        }
    }

    /// With this latency, if none of its own has been measured yet.
    pub(super) fn assuming(mut self, latency: impl FnOnce() -> Duration) -> Self {
        self.load.latency = Some(self.load.latency.unwrap_or_else(latency));
        self
    }

    /// Whether its weight still grows.
    pub(crate) fn is_ramping(&self, slow_start: Duration) -> bool {
        self.age.is_some_and(|age| age < slow_start)
    }

    /// Its weight, which grows from a tenth to the whole during its slow start.
    pub(crate) fn ramped_weight(&self, slow_start: Duration) -> f64 {
        let weight = f64::from(self.record.instance.weight());
        match self.age {
            Some(age) if age < slow_start => weight * (age.as_secs_f64() / slow_start.as_secs_f64()).max(MIN_RAMP),
            _ => weight,
        }
    }
}

/// The instances that a rotation is made of, by their places in a list. Their loads are read when a policy compares them.
pub(crate) trait Instances {
    fn name(&self, at: usize) -> &str;
    fn in_flight(&self, at: usize) -> u32;
    fn figures(&self, at: usize) -> Figures;
    fn idle(&self, at: usize) -> Option<Duration>;
    /// All that is known of one, for scores of users; `None` if it is no instance.
    fn candidate(&self, at: usize) -> Option<Candidate<'_>>;
}

impl Instances for [Candidate<'_>] {
    fn name(&self, at: usize) -> &str {
        self[at].name().as_str()
    }

    fn in_flight(&self, at: usize) -> u32 {
        self[at].load.in_flight
    }

    fn figures(&self, at: usize) -> Figures {
        self[at].load().figures()
    }

    fn idle(&self, at: usize) -> Option<Duration> {
        self[at].load().idle
    }

    fn candidate(&self, at: usize) -> Option<Candidate<'_>> {
        Some(self[at])
    }
}

impl fmt::Display for OutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
            Self::Draining => "draining",
            Self::Ended => "ended",
        })
    }
}

impl NoneInRotationError {
    pub(super) fn of(candidates: &[Candidate<'_>]) -> Self {
        Self::counting(candidates.iter().filter_map(Candidate::out))
    }

    /// With the reason of each instance.
    pub(crate) fn counting(reasons: impl IntoIterator<Item = OutReason>) -> Self {
        let mut out = BTreeMap::new();
        for reason in reasons {
            *out.entry(reason).or_insert(0) += 1;
        }
        Self { out }
    }
}

impl fmt::Display for NoneInRotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: usize = self.out.values().sum();
        if total == 0 {
            return f.write_str("there is no instance to choose from");
        }
        let reasons: Vec<_> = self.out.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        write!(f, "none of {total} instances is in rotation: {}", reasons.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples::records;

    proptest! {
        #[test]
        fn a_weight_grows_with_the_age_up_to_the_whole(record in records(), age in 0..60_u64, more in 0..60_u64) {
            let slow_start = Duration::from_secs(30);
            let candidate = Candidate::new(&record, LoadReading::IDLE);
            let weight = |age| candidate.age(Duration::from_secs(age)).ramped_weight(slow_start);
            let whole = f64::from(record.instance.weight());
            prop_assert_eq!(candidate.ramped_weight(slow_start), whole);
            prop_assert!(weight(age) >= whole * MIN_RAMP && weight(age) <= weight(age + more));
            prop_assert_eq!(weight(30 + age), whole);
            prop_assert_eq!(candidate.age(Duration::ZERO).ramped_weight(Duration::ZERO), whole, "no slow start");
        }

        #[test]
        fn a_candidate_is_in_rotation_if_its_status_is_and_it_is_not_ejected(record in records(), ejected: bool) {
            let candidate = Candidate::new(&record, LoadReading::IDLE).ejected(ejected);
            prop_assert_eq!(candidate.out().is_none(), record.status().is_in_rotation() && !ejected);
        }
    }
}
