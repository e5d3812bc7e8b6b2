//! What is recorded of discovery: which of its events become events of the log.

use foundation_discovery::health::{InstanceHealth, InstanceStatus};
use foundation_discovery::{DiscoveryEvent, InstanceRecord, RemovalCause};
use foundation_events::{EventKind, EventLimits, NewEvent};
use foundation_kernel::text::shortened_to;
use serde_json::{Map, Value, json};

use crate::recording::fitting;

/// How much of what happens to instances is recorded as events of their namespace.
///
/// Each event has the source `discovery`, and in its payload the `service`, the `instance`, its `actor`, and what belongs to
/// its kind:
///
/// | kind | recorded as [`Failures`](Self::Failures) | besides in the payload |
/// |---|---|---|
/// | [`instance_added`](Self::INSTANCE_ADDED) | no | `status`, `version`, `endpoint` |
/// | [`instance_updated`](Self::INSTANCE_UPDATED): what it says of itself | no | `status`, `version`, `endpoint` |
/// | [`instance_removed`](Self::INSTANCE_REMOVED) | if its actor was killed or failed, or the cause is not known | `cause` |
/// | [`status_changed`](Self::STATUS_CHANGED) | if it is unhealthy or degraded now, or was | `from`, `to`, `cause` |
/// | [`instance_ejected`](Self::INSTANCE_EJECTED): calls of it fail | yes | `cause`, `lasts_ms` |
/// | [`preservation_began`](Self::PRESERVATION_BEGAN): leases do not expire for now | yes | `expected`, `renewed` |
/// | [`preservation_ended`](Self::PRESERVATION_ENDED) | yes | `lasted_ms`, `expired` |
/// | [`restart_withheld`](Self::RESTART_WITHHELD): too many were restarted | yes | `check` |
/// | [`discovery_events_lost`](Self::DISCOVERY_EVENTS_LOST): a gap | yes | `lost` |
///
/// While the event store is away the latest [events](crate::Limits::kept_reports) are kept; earlier ones are lost, which is
/// recorded as a gap. The service of discovery that is started again goes on where the one before it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DiscoveryRecording {
    /// Nothing.
    Nothing,
    /// What goes wrong, and the reactions to it.
    Failures,
    /// Every change as well.
    #[default]
    Changes,
}

impl DiscoveryRecording {
    /// Some events of discovery are not recorded, since the event store was away, or the service of discovery too slow.
    pub const DISCOVERY_EVENTS_LOST: EventKind = EventKind::from_static("discovery_events_lost");
    /// An instance is there.
    pub const INSTANCE_ADDED: EventKind = EventKind::from_static("instance_added");
    /// An instance is out of rotation for a while, since calls of it fail.
    pub const INSTANCE_EJECTED: EventKind = EventKind::from_static("instance_ejected");
    /// An instance is gone.
    pub const INSTANCE_REMOVED: EventKind = EventKind::from_static("instance_removed");
    /// The owner of an instance has changed what it says of itself.
    pub const INSTANCE_UPDATED: EventKind = EventKind::from_static("instance_updated");
    /// Too many leases were not renewed at the same time: none expires for now.
    pub const PRESERVATION_BEGAN: EventKind = EventKind::from_static("preservation_began");
    /// Leases that are not renewed expire again.
    pub const PRESERVATION_ENDED: EventKind = EventKind::from_static("preservation_ended");
    /// An instance is not restarted although a check asks for it.
    pub const RESTART_WITHHELD: EventKind = EventKind::from_static("restart_withheld");
    /// An instance has another status.
    pub const STATUS_CHANGED: EventKind = EventKind::from_static("status_changed");

    /// The event that is recorded of one of discovery, if one is.
    pub(super) fn event(self, event: &DiscoveryEvent, limits: &EventLimits) -> Option<NewEvent> {
        let is_recorded = match self {
            Self::Nothing => false,
            Self::Failures => is_failure(event),
            Self::Changes => true,
        };
        let (kind, payload) = described(event).filter(|_| is_recorded)?;
        // A JSON value can always be written as JSON.
        let source = shortened_to(SOURCE, limits.source_bytes());
        NewEvent::of(kind).source(source).payload(fitting(payload, "instance", limits)).ok()
    }
}

const SOURCE: &str = "discovery";

fn is_failure(event: &DiscoveryEvent) -> bool {
    match event {
        DiscoveryEvent::InstanceAdded { .. } | DiscoveryEvent::InstanceUpdated { .. } => false,
        DiscoveryEvent::StatusChanged { from, instance } => is_unwell(from) || is_unwell(&instance.health),
        DiscoveryEvent::InstanceRemoved { cause, .. } => match cause {
            RemovalCause::Ended(reason) => reason.as_ref().is_none_or(|reason| reason.is_abnormal()),
            RemovalCause::Withdrawn | RemovalCause::Unregistered | RemovalCause::HandedOver { .. } => false,
            _ => true,
        },
        _ => true,
    }
}

fn is_unwell(health: &InstanceHealth) -> bool {
    matches!(health.status, InstanceStatus::Unhealthy | InstanceStatus::Degraded)
}

fn described(event: &DiscoveryEvent) -> Option<(EventKind, Value)> {
    Some(match event {
        DiscoveryEvent::InstanceAdded { instance } => (DiscoveryRecording::INSTANCE_ADDED, described_now(instance)),
        DiscoveryEvent::InstanceUpdated { instance } => (DiscoveryRecording::INSTANCE_UPDATED, described_now(instance)),
        DiscoveryEvent::StatusChanged { from, instance } => {
            let cause = instance.health.reason.as_ref().map(ToString::to_string);
            let details = json!({ "from": from.status, "to": instance.health.status, "cause": cause });
            (DiscoveryRecording::STATUS_CHANGED, of_instance(instance, details))
        }
        DiscoveryEvent::InstanceRemoved { instance, cause } => {
            let details = json!({ "cause": cause.to_string() });
            (DiscoveryRecording::INSTANCE_REMOVED, of_instance(instance, details))
        }
        DiscoveryEvent::InstanceEjected { instance, actor, cause, lasts } => {
            let service = instance.service();
            let payload = json!({ "service": service, "instance": instance.as_str(), "actor": actor.to_string(),
                "cause": cause.to_string(), "lasts_ms": lasts.as_secs_f64() * 1e3 });
            (DiscoveryRecording::INSTANCE_EJECTED, payload)
        }
        DiscoveryEvent::PreservationBegan { expected, renewed } => {
            (DiscoveryRecording::PRESERVATION_BEGAN, json!({ "expected": expected, "renewed": renewed }))
        }
        DiscoveryEvent::PreservationEnded { lasted, expired } => {
            let payload = json!({ "lasted_ms": lasted.as_secs_f64() * 1e3, "expired": expired });
            (DiscoveryRecording::PRESERVATION_ENDED, payload)
        }
        DiscoveryEvent::RestartWithheld { instance, check } => {
            let payload = json!({ "service": instance.service(), "instance": instance.as_str(), "check": check });
            (DiscoveryRecording::RESTART_WITHHELD, payload)
        }
        DiscoveryEvent::Missed { events } => (DiscoveryRecording::DISCOVERY_EVENTS_LOST, json!({ "lost": events })),
        _ => return None,
    })
}

fn described_now(instance: &InstanceRecord) -> Value {
    let (version, endpoint) = (instance.instance.version(), instance.instance.endpoint());
    let (version, endpoint) = (version.map(ToString::to_string), endpoint.map(ToString::to_string));
    of_instance(instance, json!({ "status": instance.status(), "version": version, "endpoint": endpoint }))
}

fn of_instance(instance: &InstanceRecord, details: Value) -> Value {
    let (service, name) = (json!(instance.service()), json!(instance.name().as_str()));
    let mut payload = Map::from_iter([("service".to_owned(), service), ("instance".to_owned(), name)]);
    payload.insert("actor".to_owned(), json!(instance.actor.to_string()));
    payload.extend(details.as_object().cloned().unwrap_or_default());
    payload.into()
}

#[cfg(test)]
mod tests {
    use foundation_discovery::Instance;
    use foundation_kernel::ractor::ActorId;
    use foundation_kernel::supervision::ExitReason;

    use super::*;

    fn record(status: InstanceStatus) -> InstanceRecord {
        let instance = Instance::builder("orders", "a").version("1.4.2").build().unwrap();
        InstanceRecord::new(instance, ActorId::Local(7)).with_health(InstanceHealth::new(status))
    }

    fn removed(cause: RemovalCause) -> DiscoveryEvent {
        DiscoveryEvent::InstanceRemoved { instance: record(InstanceStatus::Healthy), cause }
    }

    fn changed(from: InstanceStatus, to: InstanceStatus) -> DiscoveryEvent {
        DiscoveryEvent::StatusChanged { from: InstanceHealth::new(from), instance: record(to) }
    }

    fn payload(event: &DiscoveryEvent) -> Value {
        DiscoveryRecording::Changes.event(event, &EventLimits::default()).unwrap().payload_value().clone()
    }

    #[test]
    fn failures_are_recorded_by_themselves_and_with_changes_and_neither_with_nothing() {
        let limits = EventLimits::default();
        let failures = [
            removed(RemovalCause::Ended(Some(ExitReason::Killed))),
            changed(InstanceStatus::Healthy, InstanceStatus::Unhealthy),
            changed(InstanceStatus::Unhealthy, InstanceStatus::Healthy),
        ];
        let changes = [
            removed(RemovalCause::Ended(Some(ExitReason::Normal))),
            removed(RemovalCause::Withdrawn),
            changed(InstanceStatus::Unknown, InstanceStatus::Healthy),
            DiscoveryEvent::InstanceAdded { instance: record(InstanceStatus::Unknown) },
        ];
        assert!(failures.iter().all(|it| DiscoveryRecording::Failures.event(it, &limits).is_some()));
        assert!(changes.iter().all(|it| DiscoveryRecording::Failures.event(it, &limits).is_none()));
        let mut all = failures.iter().chain(&changes);
        assert!(all.clone().all(|it| DiscoveryRecording::Changes.event(it, &limits).is_some()));
        assert!(all.all(|it| DiscoveryRecording::Nothing.event(it, &limits).is_none()));
    }

    #[test]
    fn a_payload_says_which_instance_and_what() {
        let added = DiscoveryEvent::InstanceAdded { instance: record(InstanceStatus::Unknown) };
        let expected = json!({ "service": "orders", "instance": "orders.a", "actor": ActorId::Local(7).to_string(),
            "status": "unknown", "version": "1.4.2", "endpoint": null });
        assert_eq!(payload(&added), expected);
        let changed = payload(&changed(InstanceStatus::Healthy, InstanceStatus::Unhealthy));
        assert_eq!((&changed["from"], &changed["to"]), (&json!("healthy"), &json!("unhealthy")));
    }

    #[test]
    fn each_event_fits_into_the_narrowest_log_and_says_nothing_of_an_instance_that_it_is_not_of() {
        let began = DiscoveryEvent::PreservationBegan { expected: 9, renewed: 1 };
        for payload_bytes in 4..60 {
            let limits = EventLimits::new().max_payload_bytes(payload_bytes).max_source_bytes(3);
            for event in [&began, &removed(RemovalCause::Withdrawn)] {
                let recorded = DiscoveryRecording::Changes.event(event, &limits).unwrap();
                assert!(limits.check(std::slice::from_ref(&recorded)).is_ok(), "{recorded:?} within {limits:?}");
            }
            let payload = DiscoveryRecording::Changes.event(&began, &limits).unwrap().payload_value().clone();
            assert_eq!(payload.get("instance"), None, "{payload}");
        }
    }

    #[test]
    fn a_payload_that_is_too_long_is_shortened_and_names_the_instance() {
        let limits = EventLimits::new().max_payload_bytes(60);
        let event = DiscoveryRecording::Changes.event(&removed(RemovalCause::Withdrawn), &limits).unwrap();
        assert_eq!(event.payload_value()["instance"], "orders.a");
    }
}
