//! Telemetry's own metrics.

use std::ops::Deref;
use std::sync::Arc;

use foundation_kernel::Counter;

use super::series_table::SeriesTable;

/// Counters of the hub itself, under the names that they have in a snapshot.
pub(super) struct SelfMetrics {
    /// Handlers that were removed because they panicked.
    pub(super) detached: SelfCounter,
    /// Events that were delivered to no handler, as handlers emitted within one another without end.
    pub(super) nested_too_deep: SelfCounter,
    /// Measurements that could not be recorded: the name is invalid or belongs to another kind of instrument, the
    /// labels are refused, or there are too many instruments.
    pub(super) unrecorded: SelfCounter,
    /// Series that were removed because they were idle.
    pub(super) retired: SelfCounter,
    /// Exports that failed.
    pub(super) failed_exports: SelfCounter,
    /// Numbers that an exporter did not get, as it was still busy when the next ones came.
    pub(super) skipped_exports: SelfCounter,
}

impl SelfMetrics {
    pub(super) fn new(mut table: impl FnMut(&str) -> Arc<SeriesTable<Counter>>) -> Self {
        let mut make = |name: &str| SelfCounter(table(name));
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

/// A counter that allocates nothing while it is zero, as most of these always are: half a kilobyte each.
#[derive(Clone)]
pub(super) struct SelfCounter(Arc<SeriesTable<Counter>>);

impl Deref for SelfCounter {
    type Target = Counter;

    fn deref(&self) -> &Counter {
        self.0.bare()
    }
}
