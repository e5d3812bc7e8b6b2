//! What supervisors report, as events.

use foundation_core::{Happened, Report, Reporter, TracingReporter};
use serde_json::json;

use crate::events::{EventKind, EventStore, NewEvent};

const CHILD_EXITED: EventKind = EventKind::from_static("child_exited");
const CHILD_START_FAILED: EventKind = EventKind::from_static("child_start_failed");
const SUPERVISOR_GAVE_UP: EventKind = EventKind::from_static("supervisor_gave_up");

/// Writes what went wrong into the event store of its own namespace, and everything into `tracing`.
///
/// Without waiting: a supervisor does not stand still for its own records, and the store may be the child that ended.
pub(super) struct EventReporter {
    events: EventStore,
}

impl EventReporter {
    pub(super) fn new(events: EventStore) -> Self {
        Self { events }
    }
}

impl Reporter for EventReporter {
    fn report(&self, report: &Report) {
        TracingReporter.report(report);
        if let Some(event) = event(report) {
            self.events.note(event);
        }
    }
}

fn event(Report { supervisor, child, happened }: &Report) -> Option<NewEvent> {
    let (supervisor, id) = (&**supervisor, child.as_str());
    let (kind, payload) = match happened {
        Happened::Exited { actor, reason } => {
            let (actor, reason) = (actor.to_string(), reason.to_string());
            (CHILD_EXITED, json!({ "supervisor": supervisor, "child": id, "actor": actor, "reason": reason }))
        }
        Happened::StartFailed { cause } => {
            (CHILD_START_FAILED, json!({ "supervisor": supervisor, "child": id, "cause": cause }))
        }
        Happened::GaveUp { intensity } => {
            let intensity = intensity.to_string();
            (SUPERVISOR_GAVE_UP, json!({ "supervisor": supervisor, "child": id, "intensity": intensity }))
        }
        _ => return None,
    };
    // A JSON value always has a form in JSON.
    NewEvent::of(kind).source(supervisor).payload(payload).ok()
}
