//! What is recorded of supervision: which reports become events, and how these are made to fit into a log.

use foundation_kernel::supervision::{ChildEvent, Report, Stopped};
use foundation_kernel::text::shortened_to;
use serde_json::{Map, Value, json};

use super::path_source::source_of;
use foundation_events::json::{is_deeper_than, json_bytes};
use foundation_events::{EventKind, EventLimits, NewEvent};

/// How much of what supervisors report is recorded as events of their namespace; all of it goes to `tracing` in any
/// case.
///
/// Each event has the supervisor's path as its source, and the `supervisor`, the `child` and what belongs to its kind
/// in its payload:
///
/// | kind | recorded as [`Failures`](Self::Failures) | besides in the payload |
/// |---|---|---|
/// | [`child_exited`](Self::CHILD_EXITED) | if it was killed or failed | `actor`, `reason`, `escalation` |
/// | [`child_start_failed`](Self::CHILD_START_FAILED) | yes | `cause` |
/// | [`child_name_taken`](Self::CHILD_NAME_TAKEN): another actor has its name | yes | `cause`, `rule`: `wait` or `rest` |
/// | [`child_restarted`](Self::CHILD_RESTARTED) | yes | `actor`, `cause` |
/// | [`child_killed`](Self::CHILD_KILLED): it did not stop in time | yes | `actor` |
/// | [`supervisor_gave_up`](Self::SUPERVISOR_GAVE_UP) | yes | `intensity`, `cause`, `said` |
/// | [`supervisor_auto_shutdown`](Self::SUPERVISOR_AUTO_SHUTDOWN) | yes | `mode` |
/// | [`supervision_reports_lost`](Self::SUPERVISION_REPORTS_LOST): a gap | yes | `lost` |
/// | [`child_started`](Self::CHILD_STARTED) | no | `actor` |
/// | [`child_stopped`](Self::CHILD_STOPPED) | no | `actor`, `brutally` |
/// | [`child_not_wanted`](Self::CHILD_NOT_WANTED): its start was ignored | no | |
///
/// A payload that is too long for the log is shortened, and has `shortened`. While the event store is away the latest
/// [reports](crate::Limits::kept_reports) are kept; earlier ones are lost, which is recorded as a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Recording {
    /// Nothing.
    Nothing,
    /// Failures, and the reactions to them.
    #[default]
    Failures,
    /// Every start and every end as well: two events for each task, and for each child that comes and goes.
    Everything,
}

impl Recording {
    /// A child has ended without having been asked to.
    pub const CHILD_EXITED: EventKind = EventKind::from_static("child_exited");
    /// A child did not stop in its time and had to be killed.
    pub const CHILD_KILLED: EventKind = EventKind::from_static("child_killed");
    /// A child was to be restarted and another actor has its name: it waits until that is free, or is left stopped, by
    /// its [rule](foundation_kernel::supervision::ChildSpec::on_name_taken).
    pub const CHILD_NAME_TAKEN: EventKind = EventKind::from_static("child_name_taken");
    /// A start was ignored: the child is not wanted now.
    pub const CHILD_NOT_WANTED: EventKind = EventKind::from_static("child_not_wanted");
    /// A child was started again.
    pub const CHILD_RESTARTED: EventKind = EventKind::from_static("child_restarted");
    /// A child was started by request.
    pub const CHILD_STARTED: EventKind = EventKind::from_static("child_started");
    /// A child did not start.
    pub const CHILD_START_FAILED: EventKind = EventKind::from_static("child_start_failed");
    /// A child was stopped by its supervisor.
    pub const CHILD_STOPPED: EventKind = EventKind::from_static("child_stopped");
    /// Some reports are not recorded, since the event store was away for too long.
    pub const SUPERVISION_REPORTS_LOST: EventKind = EventKind::from_static("supervision_reports_lost");
    /// A supervisor has stopped since a significant child had ended.
    pub const SUPERVISOR_AUTO_SHUTDOWN: EventKind = EventKind::from_static("supervisor_auto_shutdown");
    /// A supervisor has stopped since there were too many restarts.
    pub const SUPERVISOR_GAVE_UP: EventKind = EventKind::from_static("supervisor_gave_up");

    /// The event that is recorded of a report, if one is.
    pub(super) fn event(self, report: &Report, limits: &EventLimits) -> Option<NewEvent> {
        let everything = match self {
            Self::Nothing => return None,
            Self::Failures => false,
            Self::Everything => true,
        };
        let (kind, details) = described(&report.happened, everything)?;
        let mut payload = Map::new();
        payload.insert("supervisor".to_owned(), json!(&*report.supervisor));
        payload.insert("child".to_owned(), json!(report.child.as_str()));
        payload.extend(details.as_object().cloned().unwrap_or_default());
        let source = shortened_to(&source_of(&report.supervisor), limits.source_bytes());
        // A JSON value can always be written as JSON.
        NewEvent::of(kind).source(source).payload(fitting(payload.into(), "child", limits)).ok()
    }
}

fn described(happened: &ChildEvent, everything: bool) -> Option<(EventKind, Value)> {
    Some(match happened {
        ChildEvent::Exited { actor, reason, escalation }
            if everything || reason.is_abnormal() || escalation.is_some() =>
        {
            let mut details = json!({ "actor": actor.to_string(), "reason": reason });
            if let Some(below) = escalation {
                details["escalation"] = json!(**below);
            }
            (Recording::CHILD_EXITED, details)
        }
        ChildEvent::Started { actor, cause: Some(cause), .. } => {
            (Recording::CHILD_RESTARTED, json!({ "actor": actor.to_string(), "cause": **cause }))
        }
        ChildEvent::StartFailed { cause } => (Recording::CHILD_START_FAILED, json!({ "cause": cause })),
        ChildEvent::NameTaken { cause, rule } => (Recording::CHILD_NAME_TAKEN, json!({ "cause": cause, "rule": rule })),
        ChildEvent::Stopped { actor, how: Stopped::Killed } => {
            (Recording::CHILD_KILLED, json!({ "actor": actor.to_string() }))
        }
        ChildEvent::GaveUp { cause } => {
            let (intensity, said) = (cause.intensity.to_string(), cause.to_string());
            (Recording::SUPERVISOR_GAVE_UP, json!({ "intensity": intensity, "cause": **cause, "said": said }))
        }
        ChildEvent::AutoShutdown { mode } => (Recording::SUPERVISOR_AUTO_SHUTDOWN, json!({ "mode": mode })),
        ChildEvent::Started { actor, .. } if everything => {
            (Recording::CHILD_STARTED, json!({ "actor": actor.to_string() }))
        }
        ChildEvent::Stopped { actor, how } if everything => {
            let brutally = *how == Stopped::Brutally;
            (Recording::CHILD_STOPPED, json!({ "actor": actor.to_string(), "brutally": brutally }))
        }
        ChildEvent::Ignored if everything => (Recording::CHILD_NOT_WANTED, json!({})),
        _ => return None,
    })
}

// ---- fitting into a log ----

/// The longest texts kept of a payload that is too long, tried one after the other.
const TEXTS: [usize; 4] = [4_096, 512, 128, 32];
/// The replacement for text that is left out.
const LEFT_OUT: &str = "…";

/// The payload, shortened until the log takes it; at worst only the field that says what it is of is left, if it has one.
pub(super) fn fitting(mut payload: Value, subject: &str, limits: &EventLimits) -> Value {
    let fits = |payload: &Value| {
        !is_deeper_than(limits.payload_depth(), payload) && json_bytes(payload) <= limits.payload_bytes()
    };
    if fits(&payload) {
        return payload;
    }
    payload["shortened"] = true.into();
    for longest in TEXTS {
        payload = shortened(payload, longest, limits.payload_depth());
        if fits(&payload) {
            return payload;
        }
    }
    let smallest = payload[subject].as_str().map(|name| json!({ subject: shortened_to(name, 32) }));
    smallest.filter(fits).unwrap_or(Value::Null)
}

/// The same value with long texts, and values that are too deep, cut off.
fn shortened(value: Value, longest: usize, depth: usize) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) if depth == 0 => LEFT_OUT.into(),
        Value::Array(items) => items.into_iter().map(|item| shortened(item, longest, depth - 1)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, field)| (name, shortened(field, longest, depth - 1))).collect()
        }
        Value::String(text) => shortened_to(&text, longest).into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use foundation_kernel::ractor::ActorId;
    use foundation_kernel::supervision::ExitReason;
    use proptest::prelude::*;

    use super::*;

    fn report(happened: ChildEvent) -> Report {
        Report::new("registry/production", "clerk", happened)
    }

    fn exited(reason: ExitReason) -> Report {
        report(ChildEvent::Exited { actor: ActorId::Local(1), reason, escalation: None })
    }

    fn kind(recording: Recording, report: &Report) -> Option<EventKind> {
        recording.event(report, &EventLimits::default()).map(|event| event.kind().clone())
    }

    #[test]
    fn what_went_wrong_is_recorded_by_default_and_what_did_not_only_with_everything() {
        let started = report(ChildEvent::Started { actor: ActorId::Local(1), restarts: 0, cause: None });
        for uneventful in [started, exited(ExitReason::Normal), exited(ExitReason::Shutdown("done".into()))] {
            assert_eq!(kind(Recording::default(), &uneventful), None);
            assert!(kind(Recording::Everything, &uneventful).is_some());
        }
        assert_eq!(kind(Recording::default(), &exited(ExitReason::Killed)), Some(Recording::CHILD_EXITED));
        let killed = report(ChildEvent::Stopped { actor: ActorId::Local(1), how: Stopped::Killed });
        assert_eq!(kind(Recording::default(), &killed), Some(Recording::CHILD_KILLED));
        assert_eq!(kind(Recording::Nothing, &killed), None);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![".{0,400}".prop_map(Value::from), any::<i64>().prop_map(Value::from)];
        leaf.prop_recursive(6, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,8}", inner, 0..6)
                    .prop_map(|fields| fields.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_reported_fits_into_the_log(
            said in json(), path in ".{0,600}", max_payload_bytes in 4usize..5_000, max_payload_depth in 0usize..6,
            max_source_bytes in 0usize..300,
        ) {
            let limits = EventLimits::new().max_payload_bytes(max_payload_bytes).max_payload_depth(max_payload_depth).max_source_bytes(max_source_bytes);
            let payload = fitting(json!({ "child": "clerk", "cause": said }), "child", &limits);
            let event = NewEvent::of(Recording::CHILD_EXITED).source(shortened_to(&path, max_source_bytes));
            prop_assert!(limits.check(&[event.payload(payload).unwrap()]).is_ok());
        }

        #[test]
        fn what_fits_is_left_as_it_is(said in json()) {
            let payload = json!({ "child": "clerk", "cause": said });
            prop_assert_eq!(fitting(payload.clone(), "child", &EventLimits::default()), payload);
        }
    }

    #[test]
    fn a_long_reason_is_shortened_and_says_so() {
        let long: Arc<str> = "x".repeat(2 << 20).into();
        let report = report(ChildEvent::StartFailed { cause: long.to_string() });
        let event = Recording::Failures.event(&report, &EventLimits::default()).unwrap();
        let event = event.record(foundation_events::EventId::FIRST, "production", std::time::UNIX_EPOCH);
        assert_eq!((&event.payload["shortened"], &event.payload["child"]), (&json!(true), &json!("clerk")));
        assert!(event.payload["cause"].as_str().unwrap().starts_with("xxxx"));
    }
}
