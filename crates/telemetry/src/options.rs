//! The periodic work of the telemetry actor.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::exporter::{AnyExporter, Exporter, any_exporter};

/// The shortest time between two ticks.
const MIN_TICK: Duration = Duration::from_millis(1);

/// What a telemetry service does at each tick.
///
/// | | default |
/// |---|---|
/// | [`tick_every`](Self::tick_every) | 10 s |
/// | [`idle_after`](Self::idle_after) | 1 h |
/// | [`runtime_metrics`](Self::runtime_metrics) | yes |
/// | [`exporter`](Self::exporter) | none |
#[derive(Clone)]
pub struct TelemetryOptions {
    pub(super) tick_every: Duration,
    pub(super) idle_after: Option<Duration>,
    pub(super) runtime_metrics: bool,
    pub(super) exporters: Vec<Arc<AnyExporter>>,
}

impl Default for TelemetryOptions {
    fn default() -> Self {
        Self {
            tick_every: Duration::from_secs(10),
            idle_after: Some(Duration::from_secs(3_600)),
            runtime_metrics: true,
            exporters: Vec::new(),
        }
    }
}

impl TelemetryOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time between two ticks, on tokio's clock; at least 1 ms. Rates are those between two ticks.
    pub fn tick_every(mut self, period: Duration) -> Self {
        self.tick_every = period.max(MIN_TICK);
        self
    }

    /// How long a labelled counter or histogram without a holder may stay unchanged before it is retired; `None` for
    /// ever. Gauges are never idle, and series without labels stay.
    pub fn idle_after(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.idle_after = time.into();
        self
    }

    /// Whether the gauges `tokio.workers`, `tokio.alive_tasks` and `tokio.global_queue_depth` show, as of the start or
    /// the last tick, the runtime that the service runs on. It is shared by all namespaces on it.
    pub fn runtime_metrics(mut self, wanted: bool) -> Self {
        self.runtime_metrics = wanted;
        self
    }

    /// Adds an exporter, in each namespace.
    pub fn exporter(mut self, exporter: impl Exporter) -> Self {
        self.exporters.push(any_exporter(exporter));
        self
    }
}

impl fmt::Debug for TelemetryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryOptions")
            .field("tick_every", &self.tick_every)
            .field("idle_after", &self.idle_after)
            .field("runtime_metrics", &self.runtime_metrics)
            .field("exporters", &self.exporters.len())
            .finish()
    }
}
