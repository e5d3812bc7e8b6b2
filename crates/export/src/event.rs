//! What happens to exporters, as events.

use foundation_events::{EventKind, NewEvent};
use foundation_kernel::names::ServiceName;
use serde_json::{Value, json};

/// What happens to exporters.
///
/// Changes of state are events, repetitions are counters: an export by schedule that succeeds is an event only after one that
/// failed, and one that fails only if the one before has not.
///
/// | | in the event log as | executed in telemetry as |
/// |---|---|---|
/// | an exporter is registered | [`exporter_registered`](Self::REGISTERED) | `export.registered` |
/// | an exporter is removed | [`exporter_unregistered`](Self::UNREGISTERED) | `export.unregistered` |
/// | a caller asks for an export | [`export_requested`](Self::REQUESTED) | `export.requested` |
/// | an export was asked for, or is the first after a failure, and has succeeded | [`export_completed`](Self::COMPLETED) | `export.completed` |
/// | an export has failed, and the one before had not; of one that panicked, at the next start | [`export_failed`](Self::FAILED) | `export.failed` |
/// | the numbers were read for the exporters that are due | not at all | `export.batch_taken` |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ExportEvent {
    /// An exporter is registered.
    Registered {
        /// Its name.
        exporter: ServiceName,
        /// Its format.
        format: &'static str,
    },
    /// An exporter is removed.
    Unregistered {
        /// Its name.
        exporter: ServiceName,
    },
    /// A caller asks for an export.
    Requested {
        /// The exporter.
        exporter: ServiceName,
    },
    /// An export has succeeded that was asked for, or that is the first after a failure.
    Completed {
        /// The exporter.
        exporter: ServiceName,
        /// The series that were accepted.
        series: usize,
        /// The bytes that were sent.
        bytes: usize,
        /// The failures before it.
        failures: u64,
    },
    /// An export has failed, and the one before had not.
    Failed {
        /// The exporter.
        exporter: ServiceName,
        /// The attempts.
        attempts: u32,
        /// The error.
        cause: String,
    },
    /// The numbers were read for the exporters that are due.
    BatchTaken {
        /// The series.
        series: usize,
        /// The series that had no room.
        dropped: usize,
    },
}

impl ExportEvent {
    /// An exporter is registered.
    pub const REGISTERED: EventKind = EventKind::from_static("exporter_registered");
    /// An exporter is removed.
    pub const UNREGISTERED: EventKind = EventKind::from_static("exporter_unregistered");
    /// A caller asks for an export.
    pub const REQUESTED: EventKind = EventKind::from_static("export_requested");
    /// An export has succeeded.
    pub const COMPLETED: EventKind = EventKind::from_static("export_completed");
    /// An export has failed.
    pub const FAILED: EventKind = EventKind::from_static("export_failed");

    /// The name in telemetry.
    pub(crate) fn telemetry_name(&self) -> &'static str {
        match self {
            Self::Registered { .. } => "export.registered",
            Self::Unregistered { .. } => "export.unregistered",
            Self::Requested { .. } => "export.requested",
            Self::Completed { .. } => "export.completed",
            Self::Failed { .. } => "export.failed",
            Self::BatchTaken { .. } => "export.batch_taken",
        }
    }

    pub(crate) fn details(&self) -> Value {
        match self {
            Self::Registered { exporter, format } => json!({ "exporter": exporter.as_str(), "format": format }),
            Self::Unregistered { exporter } | Self::Requested { exporter } => json!({ "exporter": exporter.as_str() }),
            Self::Completed { exporter, series, bytes, failures } => {
                json!({ "exporter": exporter.as_str(), "series": series, "bytes": bytes, "failures": failures })
            }
            Self::Failed { exporter, attempts, cause } => {
                json!({ "exporter": exporter.as_str(), "attempts": attempts, "cause": cause })
            }
            Self::BatchTaken { series, dropped } => json!({ "series": series, "dropped": dropped }),
        }
    }

    /// The event of the log; `None` for one that is not recorded.
    pub(crate) fn recorded(&self) -> Option<NewEvent> {
        let kind = match self {
            Self::Registered { .. } => Self::REGISTERED,
            Self::Unregistered { .. } => Self::UNREGISTERED,
            Self::Requested { .. } => Self::REQUESTED,
            Self::Completed { .. } => Self::COMPLETED,
            Self::Failed { .. } => Self::FAILED,
            Self::BatchTaken { .. } => return None,
        };
        NewEvent::of(kind).source("exports").payload(self.details()).ok()
    }
}
