//! The `metrics` facade, in a namespace.

use std::sync::Arc;

use foundation_kernel::instruments::{Counter, Gauge, Histogram};
use metrics::{CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::Hub;
use crate::labels::Labels;
use crate::series::Instrument;
use crate::unit::Unit as MeasurementUnit;

/// The counts of the macros of the `metrics` facade, as instruments of one namespace.
///
/// Install it for a scope by `metrics::with_local_recorder`, or for the process by `metrics::set_global_recorder`.
/// Names and labels obey the rules of [`Telemetry`](crate::Telemetry) and [`Labels`]; a refused one is only counted,
/// once for each time that its handle is made, in `telemetry.unrecorded`. A macro looks its series up each time; a
/// handle that is kept does not.
///
/// ```
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
/// use foundation_telemetry::{Telemetry, TelemetryOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let root = ProcessRegistry::builder()
/// #     .service(Telemetry::service(TelemetryOptions::new()))
/// #     .start().await?;
/// # let telemetry = Telemetry::of(&root.namespace(Namespace::Production).await?);
/// let recorder = telemetry.recorder();
/// metrics::with_local_recorder(&recorder, || metrics::counter!("orders", "shop" => "north").increment(2));
///
/// let snapshot = telemetry.snapshot();
/// assert_eq!(snapshot.counter(r#"orders{shop="north"}"#), Some(2));
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct TelemetryRecorder {
    hub: Arc<Hub>,
}

impl TelemetryRecorder {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// The instrument of a key; a refused key is counted.
    fn series<K: Instrument>(&self, key: &Key) -> Option<Arc<K>> {
        let labels = Labels::new(key.labels().map(|label| (label.key(), label.value())));
        let series = labels.ok().and_then(|labels| Some(self.hub.names.table::<K>(key.name()).ok()?.series(&labels)));
        if series.is_none() {
            self.hub.self_metrics.unrecorded.bare().increment();
        }
        series
    }

    fn describe(&self, name: &KeyName, unit: Option<Unit>, description: &str) {
        let unit = unit.map(|unit| unit.as_str());
        // A description is not a number: no count is lost.
        let _ = self.hub.names.describe(name.as_str(), &described(description, unit));
        if let Some(Ok(unit)) = unit.map(MeasurementUnit::new) {
            let _ = self.hub.names.unit(name.as_str(), unit);
        }
    }
}

impl Recorder for TelemetryRecorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(&name, unit, &description);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(&name, unit, &description);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(&name, unit, &description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> metrics::Counter {
        let counter = self.series(key).map(RecordedCounter);
        counter.map_or_else(metrics::Counter::noop, |it| metrics::Counter::from_arc(Arc::new(it)))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> metrics::Gauge {
        let gauge = self.series(key).map(RecordedGauge);
        gauge.map_or_else(metrics::Gauge::noop, |it| metrics::Gauge::from_arc(Arc::new(it)))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        let histogram = self.series(key).map(RecordedHistogram);
        histogram.map_or_else(metrics::Histogram::noop, |it| metrics::Histogram::from_arc(Arc::new(it)))
    }
}

/// The classic text of Prometheus has no other place for the unit.
fn described(description: &str, unit: Option<&str>) -> String {
    unit.map_or_else(|| description.to_owned(), |unit| format!("{description} ({unit})"))
}

struct RecordedCounter(Arc<Counter>);

impl CounterFn for RecordedCounter {
    fn increment(&self, value: u64) {
        self.0.add(value);
    }

    fn absolute(&self, value: u64) {
        // In the counter itself: each use of a macro makes a handle of its own.
        self.0.raise_to(value);
    }
}

struct RecordedGauge(Arc<Gauge>);

impl GaugeFn for RecordedGauge {
    fn increment(&self, value: f64) {
        self.0.add(value);
    }

    fn decrement(&self, value: f64) {
        self.0.sub(value);
    }

    fn set(&self, value: f64) {
        self.0.set(value);
    }
}

struct RecordedHistogram(Arc<Histogram>);

impl HistogramFn for RecordedHistogram {
    fn record(&self, value: f64) {
        self.0.record(value);
    }
}

impl std::fmt::Debug for TelemetryRecorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TelemetryRecorder")
    }
}
