//! What telemetry counts about itself.

use std::sync::Arc;

use foundation_core::Counter;

/// Counters of the hub's own, under the names that they have in a snapshot.
pub(super) struct Own {
    /// Handlers that were taken out because they panicked.
    pub(super) detached: Arc<Counter>,
    /// Events that no handler was told of, as handlers emitted within one another without end.
    pub(super) nested_too_deep: Arc<Counter>,
    /// What could not be recorded: its name is no name or belongs to another kind of instrument, its labels are refused, or
    /// there are too many.
    pub(super) unrecorded: Arc<Counter>,
    /// Series that were taken out because they were idle.
    pub(super) retired: Arc<Counter>,
    /// Exports that failed.
    pub(super) failed_exports: Arc<Counter>,
    /// Numbers that an exporter did not get, as it was still at work when the next ones came.
    pub(super) skipped_exports: Arc<Counter>,
}

impl Own {
    pub(super) fn new(mut make: impl FnMut(&str) -> Arc<Counter>) -> Self {
        Self {
            detached: make("telemetry.handlers_detached"),
            nested_too_deep: make("telemetry.events_nested_too_deep"),
            unrecorded: make("telemetry.unrecorded"),
            retired: make("telemetry.series_retired"),
            failed_exports: make("telemetry.failed_exports"),
            skipped_exports: make("telemetry.skipped_exports"),
        }
    }
}
