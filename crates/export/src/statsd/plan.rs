//! A batch as datagrams, and when each is due: functions of values.

use std::collections::HashSet;
use std::time::Duration;

use foundation_kernel::instruments::{HistogramSnapshot, Reading};
use foundation_telemetry::{MetricFamily, Series};

use super::line::{Dialect, MAX_DATAGRAM, SeriesName};
use super::sent::{Count, SentCounts, SeriesId};
use crate::batch::Batch;

/// What of a batch is to be sent.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) datagrams: Vec<Datagram>,
    /// Counters of which nothing is to be sent: they have not grown, or are older than the exporter.
    pub(super) settled: Vec<(SeriesId, Count)>,
    /// All counters of the batch.
    pub(super) present: HashSet<SeriesId>,
    /// Values that are no finite numbers.
    not_finite: usize,
    /// Lines that are longer than a datagram.
    too_long: usize,
    /// The series that one of these belongs to.
    left_out: usize,
}

/// Lines that are sent together.
#[derive(Debug, Default)]
pub(super) struct Datagram {
    pub(super) text: String,
    /// The counters that have been sent up to these values once it has left.
    pub(super) counters: Vec<(SeriesId, Count)>,
}

/// The datagrams of a batch, given what has been sent.
pub(super) fn plan(batch: &Batch, dialect: Dialect, prefix: &str, sent: &SentCounts) -> Plan {
    let mut plan = Plan::default();
    let namespace = batch.scrape().namespace.to_string();
    for family in &batch.scrape().families {
        for series in &family.series {
            let before = (plan.not_finite, plan.too_long);
            let labels: Vec<_> = series.labels.iter().collect();
            match SeriesName::new(dialect, prefix, &namespace, &family.name, &labels) {
                Some(name) => plan.add(family, series, &name, sent),
                None => plan.too_long += 1,
            }
            plan.left_out += usize::from(before != (plan.not_finite, plan.too_long));
        }
    }
    plan
}

/// How long after its beginning an export sends the n-th of so many datagrams, the first being 0: evenly, so that the receiver
/// reads as fast as they come.
pub(super) fn due(nth: usize, of: usize, over: Duration) -> Duration {
    over.mul_f64(nth as f64 / of.max(1) as f64)
}

impl Plan {
    /// The series that have a value that is not sent, and why not.
    pub(super) fn left_out(&self) -> Option<(usize, String)> {
        let Self { not_finite, too_long, left_out, .. } = self;
        let reason = || {
            format!(
                "values that are no finite numbers: {not_finite}; lines of more than {MAX_DATAGRAM} bytes: {too_long}"
            )
        };
        (*left_out > 0).then(|| (*left_out, reason()))
    }

    fn add(&mut self, family: &MetricFamily, series: &Series, name: &SeriesName, sent: &SentCounts) {
        match &series.reading {
            Reading::Counter(value) => {
                let id = SeriesId { name: family.name.clone(), labels: series.labels.clone() };
                self.present.insert(id.clone());
                let now = Count { since: series.since, value: *value };
                match sent.growth(&id, now) {
                    0 => self.settled.push((id, now)),
                    growth => self.push(&name.count(growth), Some((id, now))),
                }
            }
            Reading::Gauge(value) => self.gauge(name, "", *value),
            Reading::Histogram(HistogramSnapshot { p50, p99, max, .. }) => {
                for (suffix, value) in [(".p50", p50), (".p99", p99), (".max", max)] {
                    value.iter().for_each(|value| self.gauge(name, suffix, *value));
                }
            }
            _ => {}
        }
    }

    fn gauge(&mut self, name: &SeriesName, suffix: &str, value: f64) {
        match value.is_finite() {
            true => self.push(&name.gauge(suffix, value), None),
            false => self.not_finite += 1,
        }
    }

    /// Adds lines that belong together to the last datagram, or to a new one.
    fn push(&mut self, lines: &str, counter: Option<(SeriesId, Count)>) {
        if lines.len() > MAX_DATAGRAM {
            self.too_long += 1;
            return;
        }
        let has_room = |last: &&mut Datagram| last.text.len() + 1 + lines.len() <= MAX_DATAGRAM;
        match self.datagrams.last_mut().filter(has_room) {
            Some(last) => {
                last.text.push('\n');
                last.text.push_str(lines);
                last.counters.extend(counter);
            }
            None => {
                let counters = counter.into_iter().collect();
                self.datagrams.push(Datagram { text: lines.to_owned(), counters });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn datagrams_are_due_evenly_over_the_time_that_they_have() {
        let second = Duration::from_secs(1);
        let times: Vec<_> = (0..4).map(|nth| due(nth, 4, 2 * second)).collect();
        assert_eq!(times, [Duration::ZERO, second / 2, second, second + second / 2]);
        assert_eq!((due(0, 1, second), due(0, 0, second)), (Duration::ZERO, Duration::ZERO));
    }

    proptest! {
        #[test]
        fn no_datagram_is_too_long_and_no_line_is_split_or_lost(lengths in vec(1usize..2_000, 0..100)) {
            let mut plan = Plan::default();
            let lines: Vec<_> = lengths.iter().map(|length| "x".repeat(*length)).collect();
            lines.iter().for_each(|line| plan.push(line, None));
            prop_assert!(plan.datagrams.iter().all(|it| (1..=MAX_DATAGRAM).contains(&it.text.len())));
            let sent: Vec<_> = plan.datagrams.iter().flat_map(|it| it.text.split('\n')).collect();
            let fitting: Vec<_> = lines.iter().filter(|line| line.len() <= MAX_DATAGRAM).collect();
            prop_assert_eq!(&sent, &fitting);
            prop_assert_eq!(plan.too_long, lines.len() - sent.len());
        }

        #[test]
        fn all_datagrams_are_due_before_the_time_is_over_and_in_order(of in 1usize..5_000, over in 1u64..100_000) {
            let over = Duration::from_millis(over);
            let times: Vec<_> = (0..of).map(|nth| due(nth, of, over)).collect();
            prop_assert!(times.is_sorted() && times.iter().all(|time| *time < over));
        }
    }
}
