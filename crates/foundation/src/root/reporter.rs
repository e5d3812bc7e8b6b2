//! What supervisors report, as events.

use std::mem;

use foundation_core::{Happened, Report, Reporter, TracingReporter};
use parking_lot::Mutex;
use serde_json::json;

use super::path_source::source_of;
use crate::events::{EventKind, EventStore, NewEvent};

const CHILD_EXITED: EventKind = EventKind::from_static("child_exited");
const CHILD_RESTARTED: EventKind = EventKind::from_static("child_restarted");
const CHILD_START_FAILED: EventKind = EventKind::from_static("child_start_failed");
const SUPERVISOR_AUTO_SHUTDOWN: EventKind = EventKind::from_static("supervisor_auto_shutdown");
const SUPERVISOR_GAVE_UP: EventKind = EventKind::from_static("supervisor_gave_up");

/// How many events are kept for a store that is not there.
const KEPT: usize = 100;

/// Writes what went wrong, and what was done about it, into the event store of its own namespace, and everything into
/// `tracing`.
///
/// Without waiting: a supervisor does not stand still for its own records. The store may be the child that ended; what
/// happens until it is back is kept and recorded then.
pub(super) struct EventReporter {
    events: EventStore,
    kept: Mutex<Vec<NewEvent>>,
}

impl EventReporter {
    pub(super) fn new(events: EventStore) -> Self {
        Self { events, kept: Mutex::default() }
    }

    fn record(&self, event: Option<NewEvent>) {
        let mut kept = self.kept.lock();
        kept.extend(event);
        if kept.is_empty() {
            return;
        }
        if let Err(error) = self.events.note(mem::take(&mut *kept)) {
            *kept = error.into_batch();
            let surplus = kept.len().saturating_sub(KEPT);
            for event in kept.drain(..surplus) {
                tracing::warn!(kind = %event.kind(), "an event is not recorded: the event store has been away for too long");
            }
        }
    }
}

impl Reporter for EventReporter {
    fn report(&self, report: &Report) {
        TracingReporter.report(report);
        // Also without an event: the report may be that the store has been started.
        self.record(event(report));
    }

    fn report_on_demand(&self, report: &Report) {
        TracingReporter.report_on_demand(report);
        self.record(event(report));
    }
}

fn event(Report { supervisor, child, happened }: &Report) -> Option<NewEvent> {
    let (supervisor, id) = (&**supervisor, child.as_str());
    let (kind, payload) = match happened {
        Happened::Exited { actor, reason, escalation } => {
            let actor = actor.to_string();
            let mut payload = json!({ "supervisor": supervisor, "child": id, "actor": actor, "reason": reason });
            if let Some(below) = escalation {
                payload["escalation"] = json!(**below);
            }
            (CHILD_EXITED, payload)
        }
        Happened::Started { actor, cause: Some(cause), .. } => {
            let (actor, cause) = (actor.to_string(), &**cause);
            (CHILD_RESTARTED, json!({ "supervisor": supervisor, "child": id, "actor": actor, "cause": cause }))
        }
        Happened::StartFailed { cause } => {
            (CHILD_START_FAILED, json!({ "supervisor": supervisor, "child": id, "cause": cause }))
        }
        Happened::GaveUp { cause } => {
            let (intensity, chain) = (cause.intensity.to_string(), &**cause);
            let said = cause.to_string();
            let payload =
                json!({ "supervisor": supervisor, "child": id, "intensity": intensity, "cause": chain, "said": said });
            (SUPERVISOR_GAVE_UP, payload)
        }
        Happened::AutoShutdown { mode } => {
            (SUPERVISOR_AUTO_SHUTDOWN, json!({ "supervisor": supervisor, "child": id, "mode": mode }))
        }
        _ => return None,
    };
    // A JSON value always has a form in JSON.
    NewEvent::of(kind).source(&*source_of(supervisor)).payload(payload).ok()
}
