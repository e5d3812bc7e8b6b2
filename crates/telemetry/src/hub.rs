//! The instruments and handlers of one namespace; they belong to the namespace and outlive the actor.
//!
//! 1. There are never more than `MAX_INSTRUMENTS` names and labelled series together, besides the built-in ones and one
//!    overflow series a name.
//! 2. No foreign code runs while a lock is held: a subscriber of `tracing` is foreign code, too.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::report;
use foundation_kernel::{Bounds, Counter, Histogram, Namespace};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use tokio::time::Instant;

use super::any_series::{AnySeries, Instrument, Kind};
use super::budget::Budget;
use super::built_in::BuiltIn;
use super::error::TelemetryError;
use super::family::Family;
use super::handler::TelemetryEvent;
use super::handlers::{Handlers, TooDeep};
use super::name::Grammar;
use super::names::{Names, wrong_kind};
use super::scrape::{MetricFamily, Scrape, Series};
use super::self_metrics::SelfMetrics;
use super::series_table::SeriesTable;
use super::tick_history::TickHistory;

/// How many names and labelled series a namespace may have.
pub(super) const MAX_INSTRUMENTS: usize = 10_000;
/// How many characters a description may have.
const MAX_HELP: usize = 1_000;

pub(crate) struct Hub {
    namespace: Namespace,
    budget: Arc<Budget>,
    names: RwLock<Names>,
    help: RwLock<HashMap<Box<str>, Arc<str>>>,
    history: Mutex<TickHistory>,
    pub(super) handlers: Handlers,
    pub(super) self_metrics: SelfMetrics,
}

impl Hub {
    pub(super) fn new(namespace: Namespace) -> Self {
        let budget = Arc::new(Budget::new(MAX_INSTRUMENTS));
        let mut names = Names::new();
        let self_metrics = SelfMetrics::new(|name| {
            let table = Arc::new(SeriesTable::shown(namespace, name, &budget));
            names.insert_built_in(name, AnySeries::Counter(Arc::clone(&table)));
            table
        });
        Self {
            namespace,
            budget,
            names: RwLock::new(names),
            help: RwLock::default(),
            history: Mutex::new(TickHistory::new(Instant::now())),
            handlers: Handlers::default(),
            self_metrics,
        }
    }

    pub(super) fn namespace(&self) -> Namespace {
        self.namespace
    }

    // ---- instruments ----

    /// The series of a name, made if there are none.
    pub(super) fn table<K: Kind>(&self, name: &str) -> Result<Arc<SeriesTable<K>>, TelemetryError> {
        let names = self.names.read();
        if let Some(known) = names.get(name) {
            return of_kind(name, known);
        }
        Grammar::Instrument.check(name)?;
        // Here, too: a caller that counts under a refused name again and again must not hold up all others. Under the
        // same lock as the check before: a name that another thread gives to an instrument in between would be refused
        // because of itself.
        let refusal = names.refusal::<K>(name);
        drop(names);
        refusal.map_or_else(|| self.make(name), Err)
    }

    fn make<K: Kind>(&self, name: &str) -> Result<Arc<SeriesTable<K>>, TelemetryError> {
        let mut names = self.names.write();
        if let Some(known) = names.get(name) {
            return of_kind(name, known);
        }
        if let Some(refusal) = names.refusal::<K>(name) {
            return Err(refusal);
        }
        if BuiltIn::of(name).is_none() && !self.budget.take() {
            return Err(TelemetryError::TooManyInstruments { name: name.to_owned(), limit: MAX_INSTRUMENTS });
        }
        let table = Arc::new(SeriesTable::new(self.namespace, name, &self.budget));
        names.insert(name, K::wrap(Arc::clone(&table)));
        Ok(table)
    }

    /// Sets the bounds at which a histogram counts.
    pub(super) fn choose_bounds(&self, name: &str, bounds: Bounds) -> Result<(), TelemetryError> {
        let accepted = self.table::<Histogram>(name)?.set_bounds(bounds);
        if accepted { Ok(()) } else { Err(TelemetryError::BoundsFixed { name: name.to_owned() }) }
    }

    /// The instruments of a name, distinguished by labels, at most `limit`, or the limit given before.
    pub(super) fn family<K: Instrument>(&self, name: &str, limit: usize) -> Result<Family<K>, TelemetryError> {
        let table = self.table::<K>(name)?;
        table.set_limit(limit);
        Ok(Family::new(name, table, &self.self_metrics.unrecorded))
    }

    pub(super) fn instrument<K: Kind>(&self, name: &str) -> Result<Arc<K>, TelemetryError> {
        self.table(name).map(|table| Arc::clone(table.bare()))
    }

    pub(super) fn count(&self, name: &str) {
        self.recording::<Counter>(name, Counter::increment);
    }

    fn record(&self, name: &str, value: f64) {
        self.recording::<Histogram>(name, |histogram| histogram.record(value));
    }

    /// Telemetry must not fail its caller: a measurement that cannot be recorded is counted.
    fn recording<K: Kind>(&self, name: &str, record: impl FnOnce(&K)) {
        match self.table::<K>(name) {
            Ok(table) => record(table.bare()),
            Err(_) => self.self_metrics.unrecorded.increment(),
        }
    }

    /// Sets the description of a name; a later one replaces an earlier one. Control characters become spaces.
    pub(super) fn describe(&self, name: &str, help: &str) -> Result<(), TelemetryError> {
        Grammar::Instrument.check(name)?;
        let help: String = help.chars().take(MAX_HELP).map(|it| if it.is_control() { ' ' } else { it }).collect();
        let mut known = self.help.write();
        if known.len() >= MAX_INSTRUMENTS && !known.contains_key(name) {
            return Err(TelemetryError::TooManyInstruments { name: name.to_owned(), limit: MAX_INSTRUMENTS });
        }
        known.insert(name.into(), help.into());
        Ok(())
    }

    // ---- reading ----

    /// Everything now, with the rates of the last tick; `others` are the families of other components.
    pub(super) fn scrape(&self, others: Vec<MetricFamily>) -> Scrape {
        let mut scrape = self.read(others, AnySeries::read);
        self.history.lock().annotate(&mut scrape);
        scrape
    }

    /// The same, and notes it for the next rates.
    pub(super) fn tick(&self, now: Instant, others: Vec<MetricFamily>) -> Scrape {
        let mut scrape = self.read(others, AnySeries::read_at_tick);
        self.history.lock().tick(now, &mut scrape);
        scrape
    }

    /// Removes series that have been idle for so long.
    pub(super) fn retire(&self, now: Instant, after: Duration) {
        let idle = self.history.lock().idle(now, after);
        let tables = self.tables();
        let retired =
            idle.iter().filter(|idle| tables.get(&idle.name).is_some_and(|it| it.retire(&idle.labels, idle.mark)));
        // Not by zero: a counter that was never used takes no memory.
        match retired.count() as u64 {
            0 => {}
            retired => self.self_metrics.retired.add(retired),
        }
    }

    fn tables(&self) -> HashMap<Arc<str>, AnySeries> {
        self.names.read().all()
    }

    fn read(&self, others: Vec<MetricFamily>, series: impl Fn(&AnySeries) -> Vec<Series>) -> Scrape {
        let other = |family: MetricFamily| (Arc::clone(&family.name), family);
        let named =
            |(name, it): (Arc<str>, AnySeries)| (Arc::clone(&name), MetricFamily::new(name, it.kind(), series(&it)));
        let all: BTreeMap<_, _> = others.into_iter().map(other).chain(self.tables().into_iter().map(named)).collect();
        let help = self.help.read();
        let described = all.into_values().filter(|family| !family.series.is_empty()).map(|mut family| {
            let built_in = || BuiltIn::of(&family.name).map(|it| it.help.into());
            family.help = help.get(&*family.name).cloned().or_else(built_in);
            family
        });
        Scrape { namespace: self.namespace, families: described.collect() }
    }

    // ---- events ----

    pub(super) fn execute(&self, name: &str, measurements: &[(&str, f64)], metadata: &Value) {
        self.count(name);
        for (measurement, value) in measurements {
            self.record(&format!("{name}.{measurement}"), *value);
        }
        let event = TelemetryEvent { name, namespace: self.namespace, measurements, metadata };
        match self.handlers.dispatch(&event) {
            Ok(detached) => detached.iter().for_each(|id| self.report_detached(id, name)),
            Err(TooDeep { first }) => self.report_too_deep(name, first),
        }
    }

    fn report_detached(&self, handler: &str, event: &str) {
        self.self_metrics.detached.increment();
        let namespace = self.namespace;
        report(|| tracing::warn!(%namespace, handler, event, "a telemetry handler panicked and is detached"));
    }

    fn report_too_deep(&self, event: &str, first: bool) {
        self.self_metrics.nested_too_deep.increment();
        let namespace = self.namespace;
        if first {
            report(|| {
                tracing::warn!(%namespace, event, "telemetry handlers emit within one another without end: no handler is called");
            });
        }
    }
}

fn of_kind<K: Kind>(name: &str, series: &AnySeries) -> Result<Arc<SeriesTable<K>>, TelemetryError> {
    K::unwrap(series).cloned().ok_or_else(|| wrong_kind::<K>(name, series.kind()))
}
