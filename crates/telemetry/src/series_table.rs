//! All series of one name.
//!
//! # Invariants
//!
//! 1. There are never more labelled series than the limit, and each has a place of the namespace's budget. Counts under
//!    new labels without room go to one series, that of the overflow.
//! 2. A series is removed only when it has no other holder and still shows the reading that was seen last: no count is
//!    lost unseen.
//! 3. A retired series rests until the next tick, and continues where it was if it comes back before then. A reader at
//!    each tick either sees a series continue, or sees a tick without it before it begins at zero.
//! 4. No foreign code runs while the lock is held: a warning is logged after it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use foundation_kernel::containment::report;
use foundation_kernel::{Bounds, Namespace};
use parking_lot::RwLock;

use super::budget::Budget;
use super::instrument::{Reads, mark};
use super::labels::Labels;
use super::scrape::Series;

/// The default number of labelled series that a name may have.
const DEFAULT_LIMIT: usize = 1_000;

/// The series of one name, bounded in number.
pub struct SeriesTable<K> {
    namespace: Namespace,
    name: Box<str>,
    budget: Arc<Budget>,
    limit: OnceLock<usize>,
    /// The bounds at which histograms count besides; fixed with the first series at the latest, so that all have the
    /// same.
    bounds: OnceLock<Option<Bounds>>,
    bare: OnceLock<Arc<K>>,
    overflow: OnceLock<Arc<K>>,
    /// Whether zero is shown before anything was counted.
    shown: bool,
    warned: AtomicBool,
    labelled: RwLock<Labelled<K>>,
}

struct Labelled<K> {
    live: HashMap<Labels, Arc<K>>,
    resting: HashMap<Labels, Arc<K>>,
}

impl<K> Default for Labelled<K> {
    fn default() -> Self {
        Self { live: HashMap::new(), resting: HashMap::new() }
    }
}

impl<K: Reads> SeriesTable<K> {
    pub(super) fn new(namespace: Namespace, name: &str, budget: &Arc<Budget>) -> Self {
        Self {
            namespace,
            name: name.into(),
            budget: Arc::clone(budget),
            limit: OnceLock::new(),
            bounds: OnceLock::new(),
            bare: OnceLock::new(),
            overflow: OnceLock::new(),
            shown: false,
            warned: AtomicBool::new(false),
            labelled: RwLock::default(),
        }
    }

    /// The same, with a series without labels that is shown from the start and made when it is first used.
    pub(super) fn shown(namespace: Namespace, name: &str, budget: &Arc<Budget>) -> Self {
        Self { shown: true, ..Self::new(namespace, name, budget) }
    }

    /// The first limit is final.
    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.get_or_init(|| limit);
    }

    /// False if other bounds, or none, are fixed.
    pub(super) fn set_bounds(&self, bounds: Bounds) -> bool {
        *self.bounds.get_or_init(|| Some(bounds.clone())) == Some(bounds)
    }

    fn new_series(&self) -> Arc<K> {
        Arc::new(K::with_bounds(self.bounds.get_or_init(|| None).as_ref()))
    }

    /// The series without labels.
    pub(super) fn bare(&self) -> &Arc<K> {
        self.bare.get_or_init(|| self.new_series())
    }

    /// The series of these labels, made if there is room; otherwise that of the overflow.
    pub(super) fn series(&self, labels: &Labels) -> Arc<K> {
        if labels.is_empty() {
            return Arc::clone(self.bare());
        }
        let known = self.labelled.read().live.get(labels).cloned();
        known.or_else(|| self.make(labels)).unwrap_or_else(|| self.overflowing())
    }

    fn make(&self, labels: &Labels) -> Option<Arc<K>> {
        let limit = *self.limit.get_or_init(|| DEFAULT_LIMIT);
        let mut labelled = self.labelled.write();
        if let Some(known) = labelled.live.get(labels) {
            return Some(Arc::clone(known));
        }
        if labelled.live.len() >= limit || !self.budget.take() {
            return None;
        }
        let series = labelled.resting.remove(labels).unwrap_or_else(|| self.new_series());
        labelled.live.insert(labels.clone(), Arc::clone(&series));
        Some(series)
    }

    fn overflowing(&self) -> Arc<K> {
        if !self.warned.swap(true, Ordering::Relaxed) {
            let (namespace, name, series) = (self.namespace, &*self.name, self.labelled.read().live.len());
            report(|| {
                tracing::warn!(%namespace, name, series, "there is no room for more series: further labels count in one");
            });
        }
        Arc::clone(self.overflow.get_or_init(|| self.new_series()))
    }

    /// Removes a series, even if it is held; false if there is none.
    pub(super) fn remove(&self, labels: &Labels) -> bool {
        let removed = self.labelled.write().live.remove(labels);
        removed.inspect(|_| self.budget.give_back()).is_some()
    }

    /// Retires a series if it has no holder and still shows this mark (invariants 2, 3).
    pub(super) fn retire(&self, labels: &Labels, seen: u64) -> bool {
        let mut labelled = self.labelled.write();
        // With the lock held no caller can get hold of it, and `get_mut`, unlike the bare number of holders, makes all
        // that the last other holder counted visible here.
        let held_by_nobody = labelled.live.get_mut(labels).and_then(Arc::get_mut);
        if held_by_nobody.is_none_or(|series| mark(&series.read()) != seen) {
            return false;
        }
        let retired = labelled.live.remove_entry(labels);
        labelled.resting.extend(retired);
        self.budget.give_back();
        true
    }

    /// All series, in the order of their labels.
    pub(super) fn read(&self) -> Vec<Series> {
        self.readings(self.labelled.read().list())
    }

    /// The same, at a tick: series that are resting now will not come back.
    pub(super) fn read_at_tick(&self) -> Vec<Series> {
        // In one step: a series that came back in between would begin anew without a tick that lacks it (invariant 3).
        let live = {
            let mut labelled = self.labelled.write();
            labelled.resting.clear();
            labelled.list()
        };
        self.readings(live)
    }

    /// Outside of the lock: a histogram takes microseconds to read.
    fn readings(&self, live: Vec<(Labels, Arc<K>)>) -> Vec<Series> {
        let series = |(labels, it): (Labels, Arc<K>)| Series::new(labels, it.read());
        let unused = || self.shown.then(|| K::with_bounds(None).read());
        let bare = self.bare.get().map(|it| it.read()).or_else(unused).map(|it| Series::new(Labels::default(), it));
        let overflow = self.overflow.get().map(|it| Series::new(Labels::overflow(), it.read()));
        let mut all: Vec<_> = live.into_iter().map(series).chain(bare).chain(overflow).collect();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        all
    }
}

impl<K> Labelled<K> {
    fn list(&self) -> Vec<(Labels, Arc<K>)> {
        self.live.iter().map(|(labels, series)| (labels.clone(), Arc::clone(series))).collect()
    }
}

#[cfg(test)]
mod tests {
    use foundation_kernel::{Counter, Reading};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn table(limit: usize, places: usize) -> SeriesTable<Counter> {
        let table = SeriesTable::new(Namespace::Production, "requests", &Arc::new(Budget::new(places)));
        table.set_limit(limit);
        table
    }

    fn labels(value: &str) -> Labels {
        Labels::new([("user", value)]).unwrap()
    }

    fn total(table: &SeriesTable<Counter>) -> u64 {
        table.read().iter().map(|series| mark(&series.reading)).sum()
    }

    #[test]
    fn a_series_that_is_held_is_not_retired() {
        let table = table(2, 2);
        let held = table.series(&labels("a"));
        assert!(!table.retire(&labels("a"), 0));
        drop(held);
        assert!(table.retire(&labels("a"), 0));
        assert!(table.read().is_empty());
    }

    #[test]
    fn a_series_that_counted_since_it_was_seen_is_not_retired() {
        let table = table(2, 2);
        table.series(&labels("a")).increment();
        assert!(!table.retire(&labels("a"), 0));
        assert!(table.retire(&labels("a"), 1));
    }

    #[test]
    fn what_comes_back_before_the_next_tick_goes_on_and_later_begins_anew() {
        let table = table(2, 2);
        table.series(&labels("a")).add(7);
        assert!(table.retire(&labels("a"), 7));
        assert!(table.read().is_empty());
        table.series(&labels("a")).increment();
        assert_eq!(total(&table), 8);
        assert!(table.retire(&labels("a"), 8));
        assert!(table.read_at_tick().is_empty());
        table.series(&labels("a")).increment();
        assert_eq!(total(&table), 1);
    }

    #[test]
    fn the_first_limit_stays() {
        let table = table(1, 10);
        table.set_limit(10);
        ["a", "b"].into_iter().for_each(|user| table.series(&labels(user)).increment());
        assert_eq!(table.read()[0].labels, Labels::overflow());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Count(u8),
        Remove(u8),
        Retire(u8),
        Tick,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = |user| prop_oneof![4 => Just(Step::Count(user)), 1 => Just(Step::Remove(user)), 1 => Just(Step::Retire(user))];
        vec(prop_oneof![9 => (0..20u8).prop_flat_map(step), 1 => Just(Step::Tick)], 0..100)
    }

    proptest! {
        #[test]
        fn there_are_never_more_series_than_there_may_be(steps in steps(), limit in 0..8usize, places in 0..8usize) {
            let table = table(limit, places);
            for step in steps {
                match step {
                    Step::Count(user) => table.series(&labels(&user.to_string())).increment(),
                    Step::Remove(user) => drop(table.remove(&labels(&user.to_string()))),
                    Step::Retire(user) => drop(table.retire(&labels(&user.to_string()), 1)),
                    Step::Tick => drop(table.read_at_tick()),
                }
                let series = table.read();
                let labelled = series.iter().filter(|series| series.labels != Labels::overflow()).count();
                prop_assert!(labelled <= limit.min(places));
                prop_assert_eq!(labelled + table.budget.free(), places);
                prop_assert!(series.iter().all(|series| matches!(series.reading, Reading::Counter(_))));
            }
        }
    }
}
