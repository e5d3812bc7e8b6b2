//! The measures of one namespace, by name.
//!
//! 1. A name has at most one series, and all that measure under it have a share of it.
//! 2. A series outlives its actors, so that the next one under the name goes on with it.
//! 3. There are never more series than [`MAX_UNSWEPT_SERIES`], or twice as many as have an actor: the others are
//!    removed when a new name is added.

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::measurement::Measurement;
use super::series::Series;
use super::service_measures::ServiceMeasures;
use crate::namespace::{Namespace, ServiceName};

/// The largest number of series that is not worth a search for unused ones.
const MAX_UNSWEPT_SERIES: usize = 1_024;

/// The series of one namespace.
pub(crate) struct Measures {
    namespace: Namespace,
    /// For services without a setting of their own.
    measurement: Measurement,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_name: HashMap<ServiceName, Arc<Series>>,
    /// The number of series at which to remove unused ones.
    sweep_at: usize,
}

impl Measures {
    pub(crate) fn new(namespace: Namespace, measurement: Measurement) -> Self {
        Self { namespace, measurement, kept: Mutex::default() }
    }

    pub(super) fn namespace(&self) -> Namespace {
        self.namespace
    }

    pub(super) fn measurement(&self) -> Measurement {
        self.measurement
    }

    /// The series of a name, made if there is none.
    pub(super) fn series(&self, name: &ServiceName) -> Arc<Series> {
        let mut kept = self.kept.lock();
        if let Some(series) = kept.by_name.get(name) {
            return Arc::clone(series);
        }
        kept.make_room();
        let series = Arc::new(Series::new());
        kept.by_name.insert(name.clone(), Arc::clone(&series));
        series
    }

    /// The measures of a name, if there are any.
    pub(crate) fn of(&self, name: &ServiceName, now: Instant) -> Option<ServiceMeasures> {
        // Read outside the lock, which delays the first message of other services.
        let series = self.kept.lock().by_name.get(name).cloned();
        series.map(|series| series.read(now))
    }

    /// The measures of each name, sorted by name.
    pub(crate) fn all(&self, now: Instant) -> Vec<(ServiceName, ServiceMeasures)> {
        let kept = self.kept.lock();
        let mut all: Vec<_> = kept.by_name.iter().map(|(name, series)| (name.clone(), Arc::clone(series))).collect();
        drop(kept);
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.into_iter().map(|(name, series)| (name, series.read(now))).collect()
    }
}

impl Kept {
    fn make_room(&mut self) {
        if self.by_name.len() >= self.sweep_at.max(MAX_UNSWEPT_SERIES) {
            self.by_name.retain(|_, series| Arc::strong_count(series) > 1);
            self.sweep_at = self.by_name.len() * 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measures() -> Measures {
        Measures::new(Namespace::test(), Measurement::default())
    }

    fn name(n: usize) -> ServiceName {
        ServiceName::new(format!("service-{n}")).unwrap()
    }

    #[test]
    fn a_name_has_one_series_that_outlives_its_users() {
        let measures = measures();
        let (one, same) = (measures.series(&name(1)), measures.series(&name(1)));
        assert!(Arc::ptr_eq(&one, &same));
        one.begin(1);
        drop((one, same));
        measures.series(&name(1)).begin(1);
        let all = measures.all(Instant::now());
        assert_eq!(all.iter().map(|(_, it)| it.messages).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn figures_come_in_the_order_of_the_names() {
        let measures = measures();
        ('a'..='z').rev().for_each(|name| drop(measures.series(&ServiceName::new(name.to_string()).unwrap())));
        let names: String = measures.all(Instant::now()).iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ('a'..='z').collect::<String>());
    }

    #[test]
    fn unused_series_make_room_and_those_in_use_stay() {
        let measures = measures();
        let used: Vec<_> = (0..100).map(|n| measures.series(&name(n))).collect();
        for n in 100..50_000 {
            drop(measures.series(&name(n)));
            assert!(measures.all_len() <= MAX_UNSWEPT_SERIES);
        }
        assert!(used.iter().enumerate().all(|(n, series)| Arc::ptr_eq(series, &measures.series(&name(n)))));
    }

    #[test]
    fn there_are_as_many_series_as_are_in_use_however_many_these_are() {
        let measures = measures();
        let used: Vec<_> = (0..3 * MAX_UNSWEPT_SERIES).map(|n| measures.series(&name(n))).collect();
        assert_eq!(measures.all_len(), used.len());
        drop(used);
        (0..4 * MAX_UNSWEPT_SERIES).for_each(|n| drop(measures.series(&name(100_000 + n))));
        assert!(measures.all_len() <= MAX_UNSWEPT_SERIES, "the crowd is forgotten");
    }

    impl Measures {
        fn all_len(&self) -> usize {
            self.kept.lock().by_name.len()
        }
    }
}
