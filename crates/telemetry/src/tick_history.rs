//! The readings at each tick: rates, and how long series have been idle.
//!
//! It outlives the actor, so a restart neither forgets how long a series has been idle nor makes a jump in a rate.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::instruments::Reading;
use tokio::time::Instant;

use crate::labels::Labels;
use crate::scrape::{Scrape, Series};
use crate::series::mark;

/// A series by its name and labels.
type SeriesId = (Arc<str>, Labels);

pub(crate) struct TickHistory {
    last: Instant,
    seen: HashMap<SeriesId, Seen>,
}

struct Seen {
    mark: u64,
    changed: Instant,
    rate: Option<f64>,
}

impl TickHistory {
    /// A history that begins now, when every count is zero.
    pub(crate) fn new(now: Instant) -> Self {
        Self { last: now, seen: HashMap::new() }
    }

    /// Notes all readings, and writes the rates since the previous tick.
    pub(crate) fn tick(&mut self, now: Instant, scrape: &mut Scrape) {
        let since = now.saturating_duration_since(self.last);
        // Two ticks at one time give no rate: the readings and rates of the previous tick stay.
        if !since.is_zero() {
            self.seen = ids(scrape)
                .map(|(id, series)| {
                    let seen = Seen::next(self.seen.get(&id), series, now, since);
                    (id, seen)
                })
                .collect();
            self.last = now;
        }
        self.annotate(scrape);
    }

    /// Writes the rates of the last tick into a scrape.
    pub(crate) fn annotate(&self, scrape: &mut Scrape) {
        if self.seen.is_empty() {
            return;
        }
        for family in &mut scrape.families {
            for series in &mut family.series {
                let id = (Arc::clone(&family.name), series.labels.clone());
                series.rate = self.seen.get(&id).and_then(|seen| seen.rate);
            }
        }
    }

    /// The labelled series that have not changed for so long: name, labels, and their mark during all that time. A level
    /// that stays is still a level: gauges are never idle.
    pub(crate) fn idle(&self, now: Instant, after: Duration) -> Vec<(Arc<str>, Labels, u64)> {
        let overflow = Labels::overflow();
        let is_idle = |((_, labels), seen): &(&SeriesId, &Seen)| {
            seen.rate.is_some()
                && !labels.is_empty()
                && *labels != overflow
                && now.saturating_duration_since(seen.changed) >= after
        };
        let idle = self.seen.iter().filter(is_idle);
        idle.map(|((name, labels), seen)| (Arc::clone(name), labels.clone(), seen.mark)).collect()
    }
}

fn ids(scrape: &Scrape) -> impl Iterator<Item = (SeriesId, &Series)> {
    let families = scrape.families.iter();
    families.flat_map(|family| family.series.iter().map(|it| ((Arc::clone(&family.name), it.labels.clone()), it)))
}

impl Seen {
    fn next(before: Option<&Self>, series: &Series, now: Instant, since: Duration) -> Self {
        let mark = mark(&series.reading);
        let changed = before.filter(|before| before.mark == mark).map_or(now, |before| before.changed);
        let grows = !matches!(series.reading, Reading::Gauge(_));
        let rate = grows.then(|| grown(before.map_or(0, |before| before.mark), mark) as f64 / since.as_secs_f64());
        Self { mark, changed, rate }
    }
}

/// A series that shows less than before was removed in between and has begun anew.
fn grown(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use foundation_kernel::names::Namespace;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::scrape::MetricFamily;

    const SECOND: Duration = Duration::from_secs(1);

    fn scrape(readings: &[(&str, Reading)]) -> Scrape {
        let series = |(user, reading): &(&str, Reading)| {
            let labels = if user.is_empty() { Labels::default() } else { Labels::new([("user", user)]).unwrap() };
            Series::new(labels, UNIX_EPOCH, reading.clone())
        };
        let families = vec![MetricFamily::new("x".into(), "counter", readings.iter().map(series))];
        Scrape { namespace: Namespace::Production, taken_at: UNIX_EPOCH, families }
    }

    fn rates(scrape: &Scrape) -> Vec<Option<f64>> {
        scrape.families[0].series.iter().map(|series| series.rate).collect()
    }

    #[test]
    fn a_rate_is_per_second_since_the_tick_before() {
        let begun = Instant::now();
        let mut history = TickHistory::new(begun);
        let mut first = scrape(&[("", Reading::Counter(10)), ("a", Reading::Gauge(1.0))]);
        history.tick(begun + 2 * SECOND, &mut first);
        assert_eq!(rates(&first), [Some(5.0), None]);
        let mut second = scrape(&[("", Reading::Counter(11)), ("a", Reading::Gauge(9.0))]);
        history.tick(begun + 6 * SECOND, &mut second);
        assert_eq!(rates(&second), [Some(0.25), None]);
    }

    #[test]
    fn a_second_tick_at_the_same_time_changes_nothing() {
        let begun = Instant::now();
        let mut history = TickHistory::new(begun);
        history.tick(begun + SECOND, &mut scrape(&[("", Reading::Counter(3))]));
        let mut again = scrape(&[("", Reading::Counter(5))]);
        history.tick(begun + SECOND, &mut again);
        assert_eq!(rates(&again), [Some(3.0)]);
        let mut later = scrape(&[("", Reading::Counter(5))]);
        history.tick(begun + 2 * SECOND, &mut later);
        assert_eq!(rates(&later), [Some(2.0)]);
    }

    #[test]
    fn idle_is_what_has_labels_and_does_not_change() {
        let begun = Instant::now();
        let mut history = TickHistory::new(begun);
        let all = [
            ("", Reading::Counter(1)),
            ("a", Reading::Counter(1)),
            ("b", Reading::Gauge(1.0)),
            ("c", Reading::Counter(1)),
        ];
        history.tick(begun + SECOND, &mut scrape(&all));
        assert!(history.idle(begun + SECOND, SECOND).is_empty());
        let all = [
            ("", Reading::Counter(1)),
            ("a", Reading::Counter(1)),
            ("b", Reading::Gauge(1.0)),
            ("c", Reading::Counter(2)),
        ];
        history.tick(begun + 2 * SECOND, &mut scrape(&all));
        let idle = history.idle(begun + 2 * SECOND, SECOND);
        assert_eq!(idle, [("x".into(), Labels::new([("user", "a")]).unwrap(), 1)]);
    }

    #[test]
    fn what_shows_less_than_before_has_begun_anew() {
        let begun = Instant::now();
        let mut history = TickHistory::new(begun);
        history.tick(begun + SECOND, &mut scrape(&[("a", Reading::Counter(7))]));
        let mut anew = scrape(&[("a", Reading::Counter(3))]);
        history.tick(begun + 2 * SECOND, &mut anew);
        assert_eq!(rates(&anew), [Some(3.0)]);
    }

    #[test]
    fn what_is_gone_is_forgotten_and_begins_anew() {
        let begun = Instant::now();
        let mut history = TickHistory::new(begun);
        history.tick(begun + SECOND, &mut scrape(&[("a", Reading::Counter(7))]));
        history.tick(begun + 2 * SECOND, &mut scrape(&[]));
        assert!(history.seen.is_empty());
        let mut anew = scrape(&[("a", Reading::Counter(3))]);
        history.tick(begun + 3 * SECOND, &mut anew);
        assert_eq!(rates(&anew), [Some(3.0)]);
    }

    proptest! {
        #[test]
        fn the_rates_add_up_to_what_was_counted(steps in vec((0..1000u64, 1..100_000u64), 1..30)) {
            let mut now = Instant::now();
            let (mut history, mut value, mut sum) = (TickHistory::new(now), 0, 0.0);
            for (counted, millis) in steps {
                let passed = Duration::from_millis(millis);
                (now, value) = (now + passed, value + counted);
                let mut scrape = scrape(&[("", Reading::Counter(value))]);
                history.tick(now, &mut scrape);
                let rate = rates(&scrape)[0].unwrap();
                prop_assert!(rate >= 0.0 && rate.is_finite());
                sum += rate * passed.as_secs_f64();
            }
            prop_assert!((sum - value as f64).abs() < 1e-6 * (1.0 + sum));
        }
    }
}
