//! The readings of many instruments.

use std::collections::{BTreeMap, btree_map};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::reading::{HistogramSnapshot, Reading};

/// The readings of many instruments by name, in the order of the names.
///
/// It is plain data, apart from the instruments: to compare, to print (as a table), to serialise (as one object with a
/// field for each name) and to join with the snapshots of other components. The readings are taken one after the other,
/// not at one instant. Insertion and lookup cost what a `BTreeMap` of strings costs.
///
/// ```
/// use foundation_kernel::instruments::{Counter, Gauge, Snapshot};
///
/// let (calls, load) = (Counter::new(), Gauge::new());
/// calls.increment();
///
/// let mut snapshot = Snapshot::new();
/// snapshot.insert("registry.calls", &calls);
/// snapshot.insert("registry.load", &load);
/// assert_eq!(snapshot.counter("registry.calls"), Some(1));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Snapshot {
    readings: BTreeMap<String, Reading>,
}

impl Snapshot {
    /// A snapshot without readings.
    ///
    /// ```
    /// use foundation_kernel::instruments::Snapshot;
    ///
    /// assert!(Snapshot::new().is_empty());
    /// ```
    pub const fn new() -> Self {
        Self { readings: BTreeMap::new() }
    }

    /// Adds the reading of an instrument, or a reading; returns the one that had the name before.
    ///
    /// ```
    /// use foundation_kernel::instruments::{Reading, Snapshot};
    ///
    /// let mut snapshot = Snapshot::new();
    /// assert_eq!(snapshot.insert("calls", Reading::Counter(1)), None);
    /// assert_eq!(snapshot.insert("calls", Reading::Counter(2)), Some(Reading::Counter(1)));
    /// ```
    pub fn insert(&mut self, name: impl Into<String>, reading: impl Into<Reading>) -> Option<Reading> {
        self.readings.insert(name.into(), reading.into())
    }

    /// The reading with this name.
    ///
    /// ```
    /// use foundation_kernel::instruments::{Reading, Snapshot};
    ///
    /// let mut snapshot = Snapshot::new();
    /// snapshot.insert("load", Reading::Gauge(0.5));
    /// assert_eq!(snapshot.get("load"), Some(&Reading::Gauge(0.5)));
    /// ```
    pub fn get(&self, name: &str) -> Option<&Reading> {
        self.readings.get(name)
    }

    /// The value of the counter with this name; `None` if there is none or it is no counter.
    ///
    /// ```
    /// use foundation_kernel::instruments::{Reading, Snapshot};
    ///
    /// let mut snapshot = Snapshot::new();
    /// snapshot.insert("calls", Reading::Counter(1));
    /// assert_eq!(snapshot.counter("calls"), Some(1));
    /// assert_eq!(snapshot.counter("clals"), None);
    /// ```
    pub fn counter(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Reading::Counter(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of the gauge with this name; `None` if there is none or it is no gauge.
    ///
    /// ```
    /// use foundation_kernel::instruments::{Reading, Snapshot};
    ///
    /// let mut snapshot = Snapshot::new();
    /// snapshot.insert("load", Reading::Gauge(0.5));
    /// assert_eq!(snapshot.gauge("load"), Some(0.5));
    /// ```
    pub fn gauge(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Reading::Gauge(value) => Some(*value),
            _ => None,
        }
    }

    /// The summary of the histogram with this name; `None` if there is none or it is no histogram.
    ///
    /// ```
    /// use foundation_kernel::instruments::{Histogram, Snapshot};
    ///
    /// let mut snapshot = Snapshot::new();
    /// snapshot.insert("latency", &Histogram::new());
    /// assert_eq!(snapshot.histogram("latency").map(|it| it.count), Some(0));
    /// ```
    pub fn histogram(&self, name: &str) -> Option<&HistogramSnapshot> {
        match self.get(name)? {
            Reading::Histogram(summary) => Some(summary),
            _ => None,
        }
    }

    /// All readings, in the order of their names.
    ///
    /// ```
    /// use foundation_kernel::instruments::{Reading, Snapshot};
    ///
    /// let mut snapshot = Snapshot::new();
    /// snapshot.insert("b", Reading::Counter(2));
    /// snapshot.insert("a", Reading::Counter(1));
    /// let names: Vec<&str> = snapshot.iter().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["a", "b"]);
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Reading)> {
        self.readings.iter().map(|(name, reading)| (name.as_str(), reading))
    }

    /// The number of readings.
    ///
    /// ```
    /// use foundation_kernel::instruments::Snapshot;
    ///
    /// assert_eq!(Snapshot::new().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.readings.len()
    }

    /// Whether there are no readings.
    ///
    /// ```
    /// use foundation_kernel::instruments::{Reading, Snapshot};
    ///
    /// let mut snapshot = Snapshot::new();
    /// snapshot.insert("calls", Reading::Counter(0));
    /// assert!(!snapshot.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }
}

/// Joins another snapshot, or any readings, to this one. Where a name occurs in both, the new reading replaces
/// the old one; nothing is added up.
///
/// ```
/// use foundation_kernel::instruments::{Reading, Snapshot};
///
/// let mut all: Snapshot = [("calls".to_owned(), Reading::Counter(1))].into_iter().collect();
/// let newer: Snapshot = [("calls".to_owned(), Reading::Counter(2))].into_iter().collect();
/// all.extend(newer);
/// assert_eq!(all.counter("calls"), Some(2));
/// ```
impl Extend<(String, Reading)> for Snapshot {
    fn extend<I: IntoIterator<Item = (String, Reading)>>(&mut self, readings: I) {
        self.readings.extend(readings);
    }
}

impl FromIterator<(String, Reading)> for Snapshot {
    fn from_iter<I: IntoIterator<Item = (String, Reading)>>(readings: I) -> Self {
        Self { readings: readings.into_iter().collect() }
    }
}

impl IntoIterator for Snapshot {
    type Item = (String, Reading);
    type IntoIter = btree_map::IntoIter<String, Reading>;

    fn into_iter(self) -> Self::IntoIter {
        self.readings.into_iter()
    }
}

/// For people: a line for each reading, with name, kind and value in columns.
///
/// ```
/// use foundation_kernel::instruments::{Reading, Snapshot};
///
/// let mut snapshot = Snapshot::new();
/// snapshot.insert("registry.calls", Reading::Counter(12));
/// snapshot.insert("load", Reading::Gauge(0.5));
/// assert_eq!(snapshot.to_string(), "\
/// load            gauge      0.5000
/// registry.calls  counter    12
/// ");
/// ```
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Padding counts characters, and so must the width.
        let width = self.readings.keys().map(|name| name.chars().count()).max();
        let width = width.unwrap_or(0);
        self.iter().try_for_each(|(name, reading)| writeln!(f, "{name:<width$}  {:<9}  {reading}", reading.kind()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;
    use crate::instruments::{Counter, Histogram};

    fn through_json(snapshot: &Snapshot) -> Snapshot {
        let json = serde_json::to_string(snapshot).unwrap();
        serde_json::from_str(&json).unwrap()
    }

    fn latency_of(values: &[f64]) -> Histogram {
        let histogram = Histogram::new();
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    #[test]
    fn the_json_form_is_stable() {
        let mut snapshot = Snapshot::new();
        snapshot.insert("calls", Reading::Counter(3));
        snapshot.insert("load", Reading::Gauge(f64::NEG_INFINITY));
        snapshot.insert("empty", &Histogram::new());
        let json = serde_json::to_string(&snapshot).unwrap();
        let expected = concat!(
            r#"{"calls":{"counter":3},"#,
            r#""empty":{"histogram":{"count":0,"rejected":0,"sum":0.0,"min":null,"max":null,"mean":null,"#,
            r#""p50":null,"p90":null,"p99":null,"p999":null}},"#,
            r#""load":{"gauge":"-inf"}}"#,
        );
        assert_eq!(json, expected);
        assert_eq!(through_json(&snapshot), snapshot);
    }

    #[test]
    fn a_gauge_that_is_not_a_number_survives_json() {
        let mut snapshot = Snapshot::new();
        snapshot.insert("ratio", Reading::Gauge(f64::NAN));
        assert!(through_json(&snapshot).gauge("ratio").is_some_and(f64::is_nan));
    }

    #[test]
    fn a_gauge_written_by_hand_may_be_a_whole_number() {
        let read: Snapshot = serde_json::from_str(r#"{"a":{"gauge":-5},"b":{"gauge":5}}"#).unwrap();
        assert_eq!((read.gauge("a"), read.gauge("b")), (Some(-5.0), Some(5.0)));
    }

    #[test]
    fn a_gauge_that_is_some_other_text_is_refused() {
        let refusal = serde_json::from_str::<Snapshot>(r#"{"a":{"gauge":"much"}}"#).unwrap_err();
        assert!(refusal.to_string().contains("expected a number"));
    }

    #[test]
    fn a_typed_query_finds_only_its_own_kind() {
        let mut snapshot = Snapshot::new();
        snapshot.insert("calls", &Counter::new());
        assert_eq!(snapshot.counter("calls"), Some(0));
        assert_eq!(snapshot.gauge("calls"), None);
        assert_eq!(snapshot.histogram("calls"), None);
    }

    #[test]
    fn the_table_is_aligned_whatever_the_script_of_the_names() {
        let mut snapshot = Snapshot::new();
        snapshot.insert("größe", Reading::Gauge(1.0));
        snapshot.insert("latency", &latency_of(&[1.0, 2.0]));
        let table = snapshot.to_string();
        let column = |line: &str, word: &str| line.chars().count() - line[line.find(word).unwrap()..].chars().count();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(column(lines[0], "gauge"), column(lines[1], "histogram"));
        assert_eq!(column(lines[0], "1.000"), column(lines[1], "count"));
    }

    #[test]
    fn an_empty_snapshot_prints_nothing() {
        assert_eq!(Snapshot::new().to_string(), "");
    }

    fn any_reading() -> impl Strategy<Value = Reading> {
        // Quarters below 2^40, which no parser rounds: some read decimal fractions only to the last bit but one.
        let quarter = || (-(1i64 << 42)..1 << 42).prop_map(|n| n as f64 / 4.0);
        let values = prop::collection::vec(0..1u32 << 20, 0..5);
        prop_oneof![
            any::<u64>().prop_map(Reading::Counter),
            quarter().prop_map(Reading::Gauge),
            values.prop_map(|values| {
                let values: Vec<f64> = values.into_iter().map(|n| f64::from(n) * 60.0).collect();
                Reading::from(&latency_of(&values))
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_snapshot_survives_json(readings in btree_map(any::<String>(), any_reading(), 0..20)) {
            let snapshot: Snapshot = readings.into_iter().collect();
            prop_assert_eq!(through_json(&snapshot), snapshot);
        }
    }
}
