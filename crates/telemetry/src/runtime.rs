//! The tokio runtime, as gauges.

use std::sync::Arc;

use foundation_kernel::Gauge;
use tokio::runtime::Handle;

use super::error::TelemetryError;
use super::hub::Hub;

/// The runtime metrics that tokio has without unstable features.
pub(super) struct RuntimeGauges {
    workers: Arc<Gauge>,
    alive_tasks: Arc<Gauge>,
    global_queue_depth: Arc<Gauge>,
}

impl RuntimeGauges {
    /// Gauges that show the runtime from the start: otherwise a first scrape would show a runtime without workers.
    pub(super) fn of(hub: &Hub) -> Result<Self, TelemetryError> {
        let gauges = Self {
            workers: hub.instrument("tokio.workers")?,
            alive_tasks: hub.instrument("tokio.alive_tasks")?,
            global_queue_depth: hub.instrument("tokio.global_queue_depth")?,
        };
        gauges.sample();
        Ok(gauges)
    }

    /// Reads the runtime that the caller runs on, if any.
    pub(super) fn sample(&self) {
        let Ok(runtime) = Handle::try_current() else { return };
        let metrics = runtime.metrics();
        self.workers.set(metrics.num_workers() as f64);
        self.alive_tasks.set(metrics.num_alive_tasks() as f64);
        self.global_queue_depth.set(metrics.global_queue_depth() as f64);
    }
}
