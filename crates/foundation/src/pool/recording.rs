//! What is recorded of pools: which of their events become events of the log.

use foundation_events::{EventKind, EventLimits, NewEvent};
use foundation_kernel::text::shortened_to;
use foundation_pool::PoolEvent;
use serde_json::{Map, Value, json};

use crate::recording::fitting;

/// How much of what happens to pools is recorded as events of their namespace.
///
/// Each event has the source `pool`, and in its payload the `pool` and what belongs to its kind:
///
/// | kind | recorded as [`Failures`](Self::Failures) | besides in the payload |
/// |---|---|---|
/// | [`pool_resized`](Self::POOL_RESIZED) | no | `from`, `to` |
/// | [`worker_start_failed`](Self::WORKER_START_FAILED) | yes | `worker`, `cause` |
/// | [`worker_stuck`](Self::WORKER_STUCK): it does not get on with its job | yes | `worker`, `job`, `lasts_ms`, `blocking` |
/// | [`worker_replaced`](Self::WORKER_REPLACED): it was stuck for too long | yes | `worker` |
/// | [`pool_full`](Self::POOL_FULL): the queue has no room | yes | |
/// | [`job_died`](Self::JOB_DIED): it will not be done | yes | `job`, `attempts`, `cause` |
/// | [`pool_drained`](Self::POOL_DRAINED) | if jobs were not done | `returned`, `under_way` |
/// | [`pool_events_lost`](Self::POOL_EVENTS_LOST): a gap | yes | `lost` |
///
/// Starts and ends of workers are recorded as those of other children are, by [`Recording`](crate::Recording). While the event
/// store is away the latest [events](crate::Limits::kept_reports) of each pool are kept; earlier ones are lost, which is
/// recorded as a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PoolRecording {
    /// Nothing.
    Nothing,
    /// What goes wrong, and the reactions to it.
    #[default]
    Failures,
    /// Every change of the size as well.
    Changes,
}

impl PoolRecording {
    /// A job will not be done: it failed for good, expired, or gave way to others.
    pub const JOB_DIED: EventKind = EventKind::from_static("job_died");
    /// A pool has been drained.
    pub const POOL_DRAINED: EventKind = EventKind::from_static("pool_drained");
    /// Some events of a pool are not recorded, since the event store was away for too long.
    pub const POOL_EVENTS_LOST: EventKind = EventKind::from_static("pool_events_lost");
    /// The queue of a pool has no room.
    pub const POOL_FULL: EventKind = EventKind::from_static("pool_full");
    /// A pool has another number of workers.
    pub const POOL_RESIZED: EventKind = EventKind::from_static("pool_resized");
    /// A worker that was stuck for too long is made anew, and its job is tried again.
    pub const WORKER_REPLACED: EventKind = EventKind::from_static("worker_replaced");
    /// A worker could not begin.
    pub const WORKER_START_FAILED: EventKind = EventKind::from_static("worker_start_failed");
    /// A worker does not get on with its job.
    pub const WORKER_STUCK: EventKind = EventKind::from_static("worker_stuck");

    /// The event that is recorded of one of a pool, if one is.
    pub(super) fn event(self, pool: &str, event: &PoolEvent, limits: &EventLimits) -> Option<NewEvent> {
        let (kind, is_failure, details) = described(event)?;
        let is_recorded = match self {
            Self::Nothing => false,
            Self::Failures => is_failure,
            Self::Changes => true,
        };
        if !is_recorded {
            return None;
        }
        let mut payload = Map::from_iter([("pool".to_owned(), json!(pool))]);
        payload.extend(details.as_object().cloned().unwrap_or_default());
        // A JSON value can always be written as JSON.
        let source = shortened_to(SOURCE, limits.source_bytes());
        NewEvent::of(kind).source(source).payload(fitting(payload.into(), "pool", limits)).ok()
    }
}

const SOURCE: &str = "pool";

fn described(event: &PoolEvent) -> Option<(EventKind, bool, Value)> {
    let worker = |slot: &foundation_pool::Slot| slot.to_string();
    Some(match event {
        PoolEvent::Resized { from, to } => (PoolRecording::POOL_RESIZED, false, json!({ "from": from, "to": to })),
        PoolEvent::WorkerFailedToStart { slot, error } => {
            (PoolRecording::WORKER_START_FAILED, true, json!({ "worker": worker(slot), "cause": error }))
        }
        PoolEvent::WorkerStuck { slot, job, lasts, blocking } => {
            let details = json!({ "worker": worker(slot), "job": job.number(), "lasts_ms": lasts.as_secs_f64() * 1e3,
                "blocking": blocking });
            (PoolRecording::WORKER_STUCK, true, details)
        }
        PoolEvent::WorkerReplaced { slot } => (PoolRecording::WORKER_REPLACED, true, json!({ "worker": worker(slot) })),
        PoolEvent::OverflowBegan => (PoolRecording::POOL_FULL, true, json!({})),
        PoolEvent::JobDied { id, attempts, error } => {
            let details = json!({ "job": id.number(), "attempts": attempts, "cause": error });
            (PoolRecording::JOB_DIED, true, details)
        }
        PoolEvent::Drained { returned, under_way } => {
            let details = json!({ "returned": returned, "under_way": under_way });
            (PoolRecording::POOL_DRAINED, *returned + *under_way > 0, details)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_recorded_by_themselves_and_with_changes_and_neither_with_nothing() {
        let limits = EventLimits::default();
        let resized = PoolEvent::Resized { from: 2, to: 4 };
        let full = PoolEvent::OverflowBegan;
        let recorded =
            |recording: PoolRecording| [&resized, &full].map(|it| recording.event("mail", it, &limits).is_some());
        assert_eq!(recorded(PoolRecording::Nothing), [false, false]);
        assert_eq!(recorded(PoolRecording::Failures), [false, true]);
        assert_eq!(recorded(PoolRecording::Changes), [true, true]);
        let complete = PoolEvent::Drained { returned: 0, under_way: 0 };
        assert!(PoolRecording::Failures.event("mail", &complete, &limits).is_none());
    }

    #[test]
    fn a_payload_says_which_pool_and_what() {
        let event = PoolEvent::Resized { from: 2, to: 4 };
        let event = PoolRecording::Changes.event("mail", &event, &EventLimits::default()).unwrap();
        assert_eq!(event.payload_value(), &json!({ "pool": "mail", "from": 2, "to": 4 }));
    }
}
