//! Supervisors' reports, as events.

use std::sync::Arc;

use foundation_kernel::supervision::{Report, Reporter, TracingReporter};

use super::record_queue::RecordQueue;
use super::recording::Recording;
use foundation_events::{EventLimits, EventStore};

/// Writes reports that are to be recorded into the event store of its own namespace, and all of them to `tracing`.
///
/// Without waiting: a supervisor is not held up by its own records. The store may be the child that ended; reports are
/// kept until it is back, and recorded then. Each report is an append of its own, so none fails with another.
pub(super) struct EventReporter {
    recording: Recording,
    limits: EventLimits,
    records: Arc<RecordQueue>,
}

impl EventReporter {
    /// `capacity` is how many reports are kept for a store that is away.
    pub(super) fn new(events: EventStore, recording: Recording, limits: EventLimits, capacity: usize) -> Self {
        Self { recording, limits, records: RecordQueue::new(events, Recording::SUPERVISION_REPORTS_LOST, capacity) }
    }
}

impl Reporter for EventReporter {
    fn report(&self, report: &Report) {
        TracingReporter.report(report);
        self.record(report);
    }

    fn report_on_demand(&self, report: &Report) {
        TracingReporter.report_on_demand(report);
        self.record(report);
    }
}

impl EventReporter {
    /// Also without an event: the report may be that the store has been started.
    fn record(&self, report: &Report) {
        self.records.record(self.recording.event(report, &self.limits));
    }
}
