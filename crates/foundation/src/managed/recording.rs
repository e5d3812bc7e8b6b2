//! What is recorded of the lifecycles of managed services.

use foundation_events::{EventKind, EventLimits, NewEvent};
use foundation_managed::{ServiceChange, ServiceState, ServiceStatus};
use serde_json::json;

use crate::recording::fitting;

/// How much of the lifecycles of managed services is recorded as events of their namespace, besides what is wanted of them,
/// which always is.
///
/// Each event has the source `managed`:
///
/// | kind | recorded as [`Failures`](Self::Failures) | in the payload |
/// |---|---|---|
/// | [`service_status_changed`](Self::SERVICE_STATUS_CHANGED) | if the service is unhealthy now, or was | `service`, `from`, `to`, `cause` |
/// | [`managed_events_lost`](Self::MANAGED_EVENTS_LOST): a gap | yes | `lost` |
///
/// While the event store is away the latest [events](crate::Limits::kept_reports) are kept; earlier ones are lost, which is
/// recorded as a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ManagedRecording {
    /// Nothing.
    Nothing,
    /// What goes wrong, and that it is well again.
    Failures,
    /// Every change as well.
    #[default]
    Changes,
}

impl ManagedRecording {
    /// Some changes are not recorded, since the event store was away.
    pub const MANAGED_EVENTS_LOST: EventKind = EventKind::from_static("managed_events_lost");
    /// A service has another status, or is unhealthy for another cause.
    pub const SERVICE_STATUS_CHANGED: EventKind = EventKind::from_static("service_status_changed");

    /// The event that is recorded of a change, if one is.
    pub(super) fn event(self, change: &ServiceChange, limits: &EventLimits) -> Option<NewEvent> {
        let is_recorded = match self {
            Self::Nothing => false,
            Self::Failures => is_failure(change),
            Self::Changes => true,
        };
        let (from, to) = (change.change.from, &change.change.to);
        let cause = match to {
            ServiceState::Unhealthy(cause) => Some(cause.to_string()),
            _ => None,
        };
        let payload = json!({ "service": change.name, "from": from, "to": to.status(), "cause": cause });
        // A JSON value can always be written as JSON.
        let event = || NewEvent::of(Self::SERVICE_STATUS_CHANGED).source(SOURCE);
        is_recorded.then(|| event().payload(fitting(payload, "service", limits)).ok()).flatten()
    }
}

const SOURCE: &str = "managed";

fn is_failure(change: &ServiceChange) -> bool {
    [change.change.from, change.change.to.status()].contains(&ServiceStatus::Unhealthy)
}
