//! The instruments and handlers of one namespace; they belong to the namespace and outlive the actor.
//!
//! The modules below are the ways to it: they use its fields, and nothing else can. No foreign code runs while a lock
//! is held: a subscriber of `tracing` is foreign code, too.

use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::report;
use foundation_kernel::instruments::{Counter, Gauge, Histogram};
use foundation_kernel::names::{Namespace, ServiceRegistry};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::error::TelemetryError;
use crate::handlers::{Dispatched, Handlers, TelemetryEvent};
use crate::scrape::{MetricFamily, Scrape};
use crate::series::family::Family;
use crate::series::names::Names;
use crate::series::{Instrument, SeriesTable};
use crate::tick_history::TickHistory;

pub(crate) mod client;
pub(crate) mod early;
pub(crate) mod exporter;
#[cfg(feature = "metrics")]
pub(crate) mod recorder;
pub(crate) mod service;
pub(crate) mod span;
#[cfg(feature = "tracing-layer")]
pub(crate) mod tracing_layer;

struct Hub {
    namespace: Namespace,
    names: Names,
    history: Mutex<TickHistory>,
    handlers: Handlers,
    self_metrics: SelfMetrics,
    /// The runtime that the next reading samples: since the start of the service or a tick none has.
    runtime: Mutex<Option<Handle>>,
}

/// Counters of the hub itself, under the names that they have in a snapshot. They allocate nothing while they are zero,
/// as most of them always are: half a kilobyte each.
struct SelfMetrics {
    /// Handlers that were removed because they panicked.
    detached: Arc<SeriesTable<Counter>>,
    /// Events that were delivered to no handler, as handlers emitted within one another without end.
    nested_too_deep: Arc<SeriesTable<Counter>>,
    /// Measurements that could not be recorded: the name is invalid or belongs to another kind of instrument, the
    /// labels are refused, or there are too many instruments.
    unrecorded: Arc<SeriesTable<Counter>>,
    /// Series that were removed because they were idle.
    retired: Arc<SeriesTable<Counter>>,
    /// Exports that failed.
    failed_exports: Arc<SeriesTable<Counter>>,
    /// Numbers that an exporter did not get, as it was still busy when the next ones came.
    skipped_exports: Arc<SeriesTable<Counter>>,
}

impl SelfMetrics {
    fn new(names: &Names) -> Self {
        Self {
            detached: names.shown("telemetry.handlers_detached"),
            nested_too_deep: names.shown("telemetry.events_nested_too_deep"),
            unrecorded: names.shown("telemetry.unrecorded"),
            retired: names.shown("telemetry.series_retired"),
            failed_exports: names.shown("telemetry.failed_exports"),
            skipped_exports: names.shown("telemetry.skipped_exports"),
        }
    }
}

impl Hub {
    fn new(namespace: Namespace) -> Self {
        let names = Names::new(namespace);
        let self_metrics = SelfMetrics::new(&names);
        let history = Mutex::new(TickHistory::new(Instant::now()));
        Self { namespace, names, history, handlers: Handlers::default(), self_metrics, runtime: Mutex::default() }
    }

    // ---- instruments ----

    fn instrument<K: Instrument>(&self, name: &str) -> Result<Arc<K>, TelemetryError> {
        self.names.table(name).map(|table| Arc::clone(table.bare()))
    }

    /// The instruments of a name, distinguished by labels, at most `limit`, or the limit given before.
    fn family<K: Instrument>(&self, name: &str, limit: usize) -> Result<Family<K>, TelemetryError> {
        Ok(Family::new(name, limit, self.names.table(name)?, &self.self_metrics.unrecorded))
    }

    fn count(&self, name: &str) {
        self.recording::<Counter>(name, Counter::increment);
    }

    fn record(&self, name: &str, value: f64) {
        self.recording::<Histogram>(name, |histogram| histogram.record(value));
    }

    /// Telemetry must not fail its caller: a measurement that cannot be recorded is counted.
    fn recording<K: Instrument>(&self, name: &str, record: impl FnOnce(&K)) {
        match self.names.table::<K>(name) {
            Ok(table) => record(table.bare()),
            Err(_) => self.self_metrics.unrecorded.bare().increment(),
        }
    }

    // ---- reading ----

    /// Everything now, with the rates of the last tick.
    fn scrape(&self, registry: &ServiceRegistry) -> Scrape {
        self.sample_runtime();
        let families = self.names.read(MetricFamily::of_registry(registry));
        let mut scrape = Scrape { namespace: self.namespace, families };
        self.history.lock().annotate(&mut scrape);
        scrape
    }

    /// The same, and notes it for the next rates. Then removes series that have been idle for so long: one that is
    /// removed has been seen with its last value.
    fn tick(&self, registry: &ServiceRegistry, idle_after: Option<Duration>) -> Scrape {
        let now = Instant::now();
        self.sample_runtime();
        let families = self.names.read_at_tick(MetricFamily::of_registry(registry));
        let mut scrape = Scrape { namespace: self.namespace, families };
        self.history.lock().tick(now, &mut scrape);
        if let Some(after) = idle_after {
            self.retire(now, after);
        }
        scrape
    }

    fn retire(&self, now: Instant, after: Duration) {
        let idle = self.history.lock().idle(now, after);
        let retired = idle.iter().filter(|(name, labels, seen)| self.names.retire(name, labels, *seen));
        // Not by zero: a counter that was never used takes no memory.
        match retired.count() as u64 {
            0 => {}
            retired => self.self_metrics.retired.bare().add(retired),
        }
    }

    // ---- the runtime ----

    /// Has the next reading sample a runtime: the namespaces of most tests are never read.
    fn sample_next(&self, runtime: Handle) {
        *self.runtime.lock() = Some(runtime);
    }

    /// Shows the runtime as gauges, by the metrics that tokio has without unstable features.
    fn sample_runtime(&self) {
        // Held meanwhile: another first reading waits until the gauges are there.
        let mut next = self.runtime.lock();
        let Some(runtime) = next.take() else { return };
        let metrics = runtime.metrics();
        let shown = [
            ("tokio.workers", metrics.num_workers()),
            ("tokio.alive_tasks", metrics.num_alive_tasks()),
            ("tokio.global_queue_depth", metrics.global_queue_depth()),
        ];
        for (name, value) in shown {
            self.recording::<Gauge>(name, |gauge| gauge.set(value as f64));
        }
    }

    // ---- events ----

    fn execute(&self, name: &str, measurements: &[(&str, f64)], metadata: &Value) {
        self.count(name);
        for (measurement, value) in measurements {
            self.record(&format!("{name}.{measurement}"), *value);
        }
        let event = TelemetryEvent { name, namespace: self.namespace, measurements, metadata };
        match self.handlers.dispatch(&event) {
            Dispatched::Called { removed } => removed.iter().for_each(|id| self.report_detached(id, name)),
            Dispatched::TooDeep { first } => self.report_too_deep(name, first),
        }
    }

    fn report_detached(&self, handler: &str, event: &str) {
        self.self_metrics.detached.bare().increment();
        let namespace = self.namespace;
        report(|| tracing::warn!(%namespace, handler, event, "a telemetry handler panicked and is detached"));
    }

    fn report_too_deep(&self, event: &str, first: bool) {
        self.self_metrics.nested_too_deep.bare().increment();
        let namespace = self.namespace;
        if first {
            report(|| {
                tracing::warn!(%namespace, event, "telemetry handlers emit within one another without end: no handler is called");
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_under_a_refused_name_are_counted() {
        let hub = Hub::new(Namespace::Production);
        hub.count("cache.hits");
        (0..3).for_each(|_| hub.count("cache-hits"));
        assert_eq!(
            (hub.self_metrics.unrecorded.bare().value(), hub.instrument::<Counter>("cache.hits").unwrap().value()),
            (3, 1)
        );
    }
}
