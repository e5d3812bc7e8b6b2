//! The instruments and handlers of one namespace; they belong to the namespace and outlive the actor.
//!
//! The modules below are the ways to it: they use its fields, and nothing else can. No foreign code runs while a lock
//! is held: a subscriber of `tracing` is foreign code, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use foundation_kernel::containment::{drop_contained, report};
use foundation_kernel::instruments::{Counter, Gauge, Histogram};
use foundation_kernel::names::{Namespace, ServiceRegistry};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::built_in;
use crate::error::TelemetryError;
use crate::handlers::{Dispatched, Handlers, TelemetryEvent};
use crate::name::MetricNameError;
use crate::scrape::{MetricFamily, Scrape};
use crate::series::family::Family;
use crate::series::names::Names;
use crate::series::{Instrument, SeriesTable};
use crate::service_limit::ServiceLimit;
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
    /// Since when it, and the registry, count.
    begun: SystemTime,
    names: Names,
    history: Mutex<TickHistory>,
    /// Which services have series of their own.
    services: Mutex<ServiceLimit>,
    handlers: Handlers,
    self_metrics: SelfMetrics,
    /// The runtime that the next reading samples: since the start of the service or a tick none has.
    runtime: Mutex<Option<Handle>>,
    /// Whether it has been reported that an event had an invalid name.
    reported_invalid: AtomicBool,
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
            detached: names.shown(built_in::TELEMETRY_HANDLERS_DETACHED),
            nested_too_deep: names.shown(built_in::TELEMETRY_EVENTS_NESTED_TOO_DEEP),
            unrecorded: names.shown(built_in::TELEMETRY_UNRECORDED),
            retired: names.shown(built_in::TELEMETRY_SERIES_RETIRED),
            failed_exports: names.shown(built_in::TELEMETRY_FAILED_EXPORTS),
            skipped_exports: names.shown(built_in::TELEMETRY_SKIPPED_EXPORTS),
        }
    }
}

/// What a tick has read.
struct Tick {
    scrape: Scrape,
    /// Whether series have been retired, whose last values the scrape has.
    retired: bool,
}

impl Hub {
    fn new(namespace: Namespace) -> Self {
        let names = Names::new(namespace);
        let self_metrics = SelfMetrics::new(&names);
        let history = Mutex::new(TickHistory::new(Instant::now()));
        let (services, handlers, runtime, reported_invalid) = Default::default();
        Self {
            namespace,
            begun: SystemTime::now(),
            names,
            history,
            services,
            handlers,
            self_metrics,
            runtime,
            reported_invalid,
        }
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
        let families = self.names.read(MetricFamily::of_registry(registry, self.begun, &self.services));
        let mut scrape = Scrape { namespace: self.namespace, taken_at: SystemTime::now(), families };
        self.history.lock().annotate(&mut scrape);
        scrape
    }

    /// The same, and notes it for the next rates. Then removes series that have been idle for so long: one that is
    /// removed has been seen with its last value.
    fn tick(&self, registry: &ServiceRegistry, idle_after: Option<Duration>) -> Tick {
        let now = Instant::now();
        self.sample_runtime();
        let families = self.names.read_at_tick(MetricFamily::of_registry(registry, self.begun, &self.services));
        let mut scrape = Scrape { namespace: self.namespace, taken_at: SystemTime::now(), families };
        self.history.lock().tick(now, &mut scrape);
        let retired = idle_after.is_some_and(|after| self.retire(now, after));
        Tick { scrape, retired }
    }

    /// Whether there was any to retire.
    fn retire(&self, now: Instant, after: Duration) -> bool {
        let idle = self.history.lock().idle(now, after);
        let retired = idle.iter().filter(|(name, labels, seen)| self.names.retire(name, labels, *seen));
        // Not by zero: a counter that was never used takes no memory.
        match retired.count() as u64 {
            0 => false,
            retired => {
                self.self_metrics.retired.bare().add(retired);
                true
            }
        }
    }

    // ---- the runtime ----

    /// Has the next reading sample a runtime: the namespaces of most tests are never read.
    fn sample_next(&self, runtime: Handle) {
        let before = self.runtime.lock().replace(runtime);
        drop_runtime(before);
    }

    /// Shows the runtime as gauges, by the metrics that tokio has without unstable features.
    fn sample_runtime(&self) {
        // Held meanwhile: another first reading waits until the gauges are there.
        let mut next = self.runtime.lock();
        let runtime = next.take();
        if let Some(runtime) = &runtime {
            let metrics = runtime.metrics();
            let shown = [
                (built_in::TOKIO_WORKERS, metrics.num_workers()),
                (built_in::TOKIO_ALIVE_TASKS, metrics.num_alive_tasks()),
                (built_in::TOKIO_GLOBAL_QUEUE_DEPTH, metrics.global_queue_depth()),
            ];
            for (name, value) in shown {
                self.recording::<Gauge>(name, |gauge| gauge.set(value as f64));
            }
        }
        drop(next);
        drop_runtime(runtime);
    }

    // ---- events ----

    /// An event with an invalid name, which no handler can be attached to, is only counted.
    fn execute(&self, name: &str, measurements: &[(&str, f64)], metadata: &Value) {
        match self.names.table::<Counter>(name) {
            Ok(table) => table.bare().increment(),
            Err(TelemetryError::InvalidName(error)) => return self.report_invalid(&error),
            Err(_) => self.self_metrics.unrecorded.bare().increment(),
        }
        for (measurement, value) in measurements {
            self.record(&format!("{name}.{measurement}"), *value);
        }
        let event = TelemetryEvent { name, namespace: self.namespace, measurements, metadata };
        match self.handlers.dispatch(&event) {
            Dispatched::Called { removed } => removed.iter().for_each(|id| self.report_detached(id, name)),
            Dispatched::TooDeep { first } => self.report_too_deep(name, first),
        }
    }

    fn report_invalid(&self, error: &MetricNameError) {
        self.self_metrics.unrecorded.bare().increment();
        let namespace = self.namespace;
        if !self.reported_invalid.swap(true, Ordering::Relaxed) {
            report(|| tracing::warn!(%namespace, %error, "a telemetry event has no valid name and is not delivered"));
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

/// The last handle on a runtime drops what its owner has put into it, its hooks for example: not under a lock.
fn drop_runtime(runtime: Option<Handle>) {
    drop_contained("a handle on a runtime", runtime);
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;

    /// Notes whether the lock of the runtime is free when it is dropped.
    struct LockProbe {
        hub: Weak<Hub>,
        was_free: Arc<Mutex<Vec<bool>>>,
    }

    impl Drop for LockProbe {
        fn drop(&mut self) {
            let was_free = self.hub.upgrade().is_none_or(|hub| hub.runtime.try_lock().is_some());
            self.was_free.lock().push(was_free);
        }
    }

    /// The last handle on a runtime whose hook owns the probe.
    fn last_handle(probe: LockProbe) -> Handle {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).on_thread_start(move || {
            let _ = &probe;
        });
        let runtime = builder.build().unwrap();
        // The builder has the hook, too.
        drop(builder);
        runtime.handle().clone()
    }

    #[test]
    fn no_runtime_is_dropped_under_the_lock_of_the_next_reading() {
        let (hub, was_free) = (Arc::new(Hub::new(Namespace::Production)), Arc::default());
        let probe = || LockProbe { hub: Arc::downgrade(&hub), was_free: Arc::clone(&was_free) };
        hub.sample_next(last_handle(probe()));
        hub.sample_next(last_handle(probe()));
        assert_eq!(*was_free.lock(), [true], "the second handle takes the place of the first");
        hub.sample_runtime();
        assert_eq!(*was_free.lock(), [true, true]);
    }

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
