//! What is measured in one namespace, by name.
//!
//! 1. A name has at most one series, and whoever measures under it has a share of it.
//! 2. A series outlives its actors, so that the next one under the name goes on with it.
//! 3. There are never more series than [`KEPT`], or twice as many as have an actor: the others go when a new name comes.

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::measurement::Measurement;
use super::series::Series;
use super::service_measures::ServiceMeasures;
use crate::namespace::{Namespace, ServiceName};

/// So many series are not worth a look for those that nobody uses.
const KEPT: usize = 1_024;

/// The series of one namespace.
pub(crate) struct Measures {
    namespace: Namespace,
    /// Of services that say nothing else.
    measurement: Measurement,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_name: HashMap<ServiceName, Arc<Series>>,
    /// At how many series to let go of those that nobody uses.
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

    /// What was measured under a name, if anything was.
    pub(crate) fn of(&self, name: &ServiceName, now: Instant) -> Option<ServiceMeasures> {
        // Read outside the lock: it holds up the first message of others.
        let series = self.kept.lock().by_name.get(name).cloned();
        series.map(|series| series.read(now))
    }

    /// What was measured under each name, sorted by name.
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
        if self.by_name.len() >= self.sweep_at.max(KEPT) {
            self.by_name.retain(|_, series| Arc::strong_count(series) > 1);
            self.sweep_at = self.by_name.len() * 2;
        }
    }
}
