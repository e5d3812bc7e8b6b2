//! What telemetry counts about itself.

use std::sync::Arc;

use foundation_core::Counter;

/// Counters of the hub's own, under the names that they have in a snapshot.
pub(super) struct Own {
    /// Handlers that were taken out because they panicked.
    pub(super) detached: Arc<Counter>,
    /// What could not be recorded: its name is no name or belongs to another kind of instrument, its labels are refused, or
    /// there are too many.
    pub(super) unrecorded: Arc<Counter>,
    /// Series that were taken out because they were idle.
    pub(super) retired: Arc<Counter>,
    /// Exports that failed.
    pub(super) failed_exports: Arc<Counter>,
}

impl Own {
    pub(super) fn new(mut make: impl FnMut(&str) -> Arc<Counter>) -> Self {
        Self {
            detached: make("telemetry.handlers_detached"),
            unrecorded: make("telemetry.unrecorded"),
            retired: make("telemetry.series_retired"),
            failed_exports: make("telemetry.failed_exports"),
        }
    }
}
