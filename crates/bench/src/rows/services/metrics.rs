//! The peer of our instruments: the `metrics` facade with its Prometheus recorder.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::stage::started;

/// The usual form: the series is looked up at each use.
pub(super) const MACRO: &str = "metrics with Prometheus";
/// The form that avoids the look-up.
pub(super) const HANDLE: &str = "metrics with Prometheus, handle kept";

/// Installs the recorder; its macros know one per process. It has neither a server nor a thread.
pub(super) fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        started(metrics::set_global_recorder(recorder));
        handle
    })
}
