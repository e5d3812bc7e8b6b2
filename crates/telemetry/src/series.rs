//! All series of one name, of any kind of instrument.
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
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use foundation_kernel::containment::report;
use foundation_kernel::instruments::{Bounds, Counter, Gauge, Histogram, Reading};
use foundation_kernel::names::Namespace;
use parking_lot::RwLock;

use super::labels::Labels;

pub(crate) mod family;
pub(crate) mod names;

/// The default number of labelled series that a name may have.
const DEFAULT_LIMIT: usize = 1_000;

/// A kind of instrument that can be had by name and that a [`Family`](crate::Family) may consist of: [`Counter`],
/// [`Gauge`] or [`Histogram`].
pub trait Instrument: sealed::Kind {}

mod sealed {
    use super::{AnySeries, Arc, Bounds, Reading, SeriesTable};

    /// An instrument that begins at zero and can be read.
    pub trait Kind: Default + Send + Sync + 'static {
        /// The name of the kind.
        #[doc(hidden)]
        const KIND: &'static str;
        #[doc(hidden)]
        fn read(&self) -> Reading;
        /// One at zero; only a histogram uses the bounds.
        #[doc(hidden)]
        fn with_bounds(_: Option<&Bounds>) -> Self {
            Self::default()
        }
        #[doc(hidden)]
        fn wrap(table: Arc<SeriesTable<Self>>) -> AnySeries;
        #[doc(hidden)]
        fn unwrap(series: &AnySeries) -> Option<&Arc<SeriesTable<Self>>>;
    }
}

macro_rules! instrument {
    ($kind:ident, $name:literal $(, $with_bounds:item)?) => {
        impl Instrument for $kind {}

        impl sealed::Kind for $kind {
            const KIND: &'static str = $name;

            fn read(&self) -> Reading {
                Reading::from(self)
            }

            $($with_bounds)?

            fn wrap(table: Arc<SeriesTable<Self>>) -> AnySeries {
                AnySeries::$kind(table)
            }

            fn unwrap(series: &AnySeries) -> Option<&Arc<SeriesTable<Self>>> {
                match series {
                    AnySeries::$kind(table) => Some(table),
                    _ => None,
                }
            }
        }
    };
}
instrument!(Counter, "counter");
instrument!(Gauge, "gauge");
instrument!(
    Histogram,
    "histogram",
    fn with_bounds(bounds: Option<&Bounds>) -> Self {
        bounds.cloned().map_or_else(Self::new, Self::with_bounds)
    }
);

/// What a series shows.
#[derive(Debug)]
pub(crate) struct SeriesReading {
    pub(crate) labels: Labels,
    /// When it began at zero.
    pub(crate) since: SystemTime,
    pub(crate) reading: Reading,
}

/// The series of one name, which belongs to one kind.
#[derive(Debug, Clone)]
pub enum AnySeries {
    Counter(Arc<SeriesTable<Counter>>),
    Gauge(Arc<SeriesTable<Gauge>>),
    Histogram(Arc<SeriesTable<Histogram>>),
}

/// The same for each kind.
macro_rules! each {
    ($any:expr, $table:ident => $does:expr) => {
        match $any {
            AnySeries::Counter($table) => $does,
            AnySeries::Gauge($table) => $does,
            AnySeries::Histogram($table) => $does,
        }
    };
}

impl AnySeries {
    fn kind(&self) -> &'static str {
        each!(self, table => table.kind())
    }

    fn read(&self) -> Vec<SeriesReading> {
        each!(self, table => table.read())
    }

    fn read_at_tick(&self) -> Vec<SeriesReading> {
        each!(self, table => table.read_at_tick())
    }

    fn retire(&self, labels: &Labels, seen: u64) -> bool {
        each!(self, table => table.retire(labels, seen))
    }
}

/// A number that differs whenever something was counted or recorded in between; for a reading that only grows, its
/// size.
pub(crate) fn mark(reading: &Reading) -> u64 {
    match reading {
        Reading::Counter(value) => *value,
        Reading::Gauge(value) => value.to_bits(),
        Reading::Histogram(summary) => summary.count.wrapping_add(summary.rejected),
        _ => 0,
    }
}

/// The number of series that a namespace may still add.
struct Budget {
    free: AtomicUsize,
}

impl Budget {
    fn new(places: usize) -> Self {
        Self { free: AtomicUsize::new(places) }
    }

    /// Takes a place; false if there is none.
    fn take(&self) -> bool {
        // Relaxed: the number orders nothing else; the tables have locks of their own.
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1)).is_ok()
    }

    fn give_back(&self) {
        self.free.fetch_add(1, Ordering::Relaxed);
    }
}

/// The series of one name, bounded in number.
pub struct SeriesTable<K> {
    namespace: Namespace,
    name: Box<str>,
    budget: Arc<Budget>,
    /// When it was made: since then the series without labels and that of the overflow count.
    begun: SystemTime,
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

impl<K> fmt::Debug for SeriesTable<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeriesTable").field("name", &self.name).finish_non_exhaustive()
    }
}

struct Labelled<K> {
    live: HashMap<Labels, LabelledSeries<K>>,
    resting: HashMap<Labels, LabelledSeries<K>>,
}

struct LabelledSeries<K> {
    /// When it began at zero.
    since: SystemTime,
    instrument: Arc<K>,
}

impl<K> Clone for LabelledSeries<K> {
    fn clone(&self) -> Self {
        Self { since: self.since, instrument: Arc::clone(&self.instrument) }
    }
}

impl<K> Default for Labelled<K> {
    fn default() -> Self {
        Self { live: HashMap::new(), resting: HashMap::new() }
    }
}

impl<K: Instrument> SeriesTable<K> {
    fn new(namespace: Namespace, name: &str, budget: &Arc<Budget>) -> Self {
        Self {
            namespace,
            name: name.into(),
            budget: Arc::clone(budget),
            begun: SystemTime::now(),
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
    fn shown(namespace: Namespace, name: &str, budget: &Arc<Budget>) -> Self {
        Self { shown: true, ..Self::new(namespace, name, budget) }
    }

    /// The first limit is final.
    fn set_limit(&self, limit: usize) {
        self.limit.get_or_init(|| limit);
    }

    /// False if other bounds, or none, are fixed.
    pub(crate) fn set_bounds(&self, bounds: Bounds) -> bool {
        *self.bounds.get_or_init(|| Some(bounds.clone())) == Some(bounds)
    }

    fn kind(&self) -> &'static str {
        K::KIND
    }

    fn new_series(&self) -> Arc<K> {
        Arc::new(K::with_bounds(self.bounds.get_or_init(|| None).as_ref()))
    }

    /// The series without labels.
    pub(crate) fn bare(&self) -> &Arc<K> {
        self.bare.get_or_init(|| self.new_series())
    }

    /// The series of these labels, made if there is room; otherwise that of the overflow.
    pub(crate) fn series(&self, labels: &Labels) -> Arc<K> {
        if labels.is_empty() {
            return Arc::clone(self.bare());
        }
        let known = self.labelled.read().live.get(labels).map(|known| Arc::clone(&known.instrument));
        known.or_else(|| self.make(labels)).unwrap_or_else(|| self.overflowing())
    }

    fn make(&self, labels: &Labels) -> Option<Arc<K>> {
        let limit = *self.limit.get_or_init(|| DEFAULT_LIMIT);
        let mut labelled = self.labelled.write();
        if let Some(known) = labelled.live.get(labels) {
            return Some(Arc::clone(&known.instrument));
        }
        if labelled.live.len() >= limit || !self.budget.take() {
            return None;
        }
        let begin = || LabelledSeries { since: SystemTime::now(), instrument: self.new_series() };
        let series = labelled.resting.remove(labels).unwrap_or_else(begin);
        let instrument = Arc::clone(&series.instrument);
        labelled.live.insert(labels.clone(), series);
        Some(instrument)
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
    fn remove(&self, labels: &Labels) -> bool {
        let removed = self.labelled.write().live.remove(labels);
        removed.inspect(|_| self.budget.give_back()).is_some()
    }

    /// Retires a series if it has no holder and still shows this mark (invariants 2, 3). A reader is a holder for as long
    /// as it reads.
    fn retire(&self, labels: &Labels, seen: u64) -> bool {
        let mut labelled = self.labelled.write();
        // With the lock held no caller can get hold of it, and `get_mut`, unlike the bare number of holders, makes all
        // that the last other holder counted visible here.
        let unheld = labelled.live.get_mut(labels).and_then(|series| Arc::get_mut(&mut series.instrument));
        if unheld.is_none_or(|series| mark(&series.read()) != seen) {
            return false;
        }
        let retired = labelled.live.remove_entry(labels);
        labelled.resting.extend(retired);
        self.budget.give_back();
        true
    }

    /// All series, in the order of their labels.
    fn read(&self) -> Vec<SeriesReading> {
        self.readings(self.labelled.read().list())
    }

    /// The same, at a tick: series that are resting now will not come back.
    fn read_at_tick(&self) -> Vec<SeriesReading> {
        // In one step: a series that came back in between would begin anew without a tick that lacks it (invariant 3).
        let live = {
            let mut labelled = self.labelled.write();
            labelled.resting.clear();
            labelled.list()
        };
        self.readings(live)
    }

    /// Outside of the lock: a histogram takes microseconds to read. Sorted before, as readings are ten times as large.
    fn readings(&self, mut live: Vec<(Labels, LabelledSeries<K>)>) -> Vec<SeriesReading> {
        live.sort_by(|(a, _), (b, _)| a.cmp(b));
        let series = |(labels, it): (Labels, LabelledSeries<K>)| SeriesReading {
            labels,
            since: it.since,
            reading: it.instrument.read(),
        };
        let unused = || self.shown.then(|| K::with_bounds(None).read());
        let bare = self.bare.get().map(|it| it.read()).or_else(unused).map(|it| (Labels::default(), it));
        let overflow = self.overflow.get().map(|it| (Labels::overflow(), it.read()));
        let other = |(labels, reading)| SeriesReading { labels, since: self.begun, reading };
        // No labels stand before all others.
        let mut all: Vec<_> = bare.map(other).into_iter().chain(live.into_iter().map(series)).collect();
        if let Some(overflow) = overflow.map(other) {
            all.insert(all.partition_point(|it| it.labels < overflow.labels), overflow);
        }
        all
    }
}

impl<K> Labelled<K> {
    fn list(&self) -> Vec<(Labels, LabelledSeries<K>)> {
        self.live.iter().map(|(labels, series)| (labels.clone(), series.clone())).collect()
    }
}

#[cfg(test)]
#[path = "series/series_tests.rs"]
mod tests;
