//! The events of durable jobs.

use std::sync::Arc;
use std::time::SystemTime;

use foundation_events::{Event, EventError, EventKind, EventSource, NewEvent};
use foundation_kernel::names::ServiceName;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// The kinds of the events by which durable jobs are kept. Their source is `jobs.` and the name of the queue.
///
/// | kind | payload |
/// |---|---|
/// | [`job_accepted`](Self::ACCEPTED) | `job`, and what its request says: `key`, `run_at`, `unique`; its id is the id of the job |
/// | [`job_carried`](Self::CARRIED) | the same of an unfinished job that is recorded again, so that its older event can be pruned, and `carried`: its `id` and its `attempts` |
/// | [`jobs_begun`](Self::BEGUN) | `jobs`: pairs of the id of a job and the number of the attempt |
/// | [`jobs_done`](Self::DONE) | `ids` of jobs that are done, and `from`: all jobs before this event have ended |
/// | [`job_failed`](Self::FAILED) | `id`, `attempt`, `error` |
/// | [`job_died`](Self::DIED) | `id`, `attempts`, `error`: it is not tried again |
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct JobEvent;

impl JobEvent {
    /// A job was accepted.
    pub const ACCEPTED: EventKind = EventKind::from_static("job_accepted");
    /// A job that was accepted before, and has not ended, is recorded again.
    pub const CARRIED: EventKind = EventKind::from_static("job_carried");
    /// Attempts at jobs were begun, and had not ended when this was recorded.
    pub const BEGUN: EventKind = EventKind::from_static("jobs_begun");
    /// Jobs are done.
    pub const DONE: EventKind = EventKind::from_static("jobs_done");
    /// An attempt has failed.
    pub const FAILED: EventKind = EventKind::from_static("job_failed");
    /// A job has failed too often.
    pub const DIED: EventKind = EventKind::from_static("job_died");

    /// All of them.
    pub const ALL: [EventKind; 6] = [Self::ACCEPTED, Self::CARRIED, Self::BEGUN, Self::DONE, Self::FAILED, Self::DIED];
    /// Those that say what became of a job after it was accepted.
    pub(crate) const LATER: [EventKind; 5] = [Self::CARRIED, Self::BEGUN, Self::DONE, Self::FAILED, Self::DIED];
}

/// The source of the events of a queue.
pub(crate) fn source(queue: &ServiceName) -> EventSource {
    EventSource::new(format!("jobs.{queue}"))
}

/// What an event says of the jobs of a queue.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum JobFact {
    Accepted(JobTerms),
    Begun(JobsBegun),
    Done(JobsDone),
    Failed(JobFailed),
    Died(JobDied),
}

/// A job as it is accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AcceptedJob<J> {
    pub(crate) job: J,
    #[serde(flatten)]
    pub(crate) terms: JobTerms,
}

/// What the request for a job says beside the job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobTerms {
    /// Jobs with the same key are done one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// It is not begun before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run_at: Option<TimeOfDay>,
    /// At most one job with this text is unfinished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unique: Option<String>,
    /// The idempotency key of the event by which it was first accepted. Written only into an event of a job that is recorded
    /// again: the log has each key once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idempotency_key: Option<String>,
    /// It was accepted before, with this id, and is recorded again so that the older event can be pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) carried: Option<Carried>,
}

impl JobTerms {
    /// The kind of an event that has them.
    fn kind(&self) -> EventKind {
        if self.carried.is_some() { JobEvent::CARRIED } else { JobEvent::ACCEPTED }
    }

    /// With the idempotency key of the event that has them, unless they have one.
    pub(crate) fn keyed(self, event: &Event) -> Self {
        Self { idempotency_key: self.idempotency_key.or_else(|| event.idempotency_key.clone()), ..self }
    }

    /// What no two unfinished jobs have in common.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Mark> {
        let unique = self.unique.as_deref().map(|text| Mark::Unique(text.into()));
        unique.into_iter().chain(self.idempotency_key.as_deref().map(|key| Mark::Key(key.into())))
    }
}

/// What no two unfinished jobs have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// The text of a unique job.
    Unique(Arc<str>),
    /// An idempotency key, as the log has it.
    Key(Arc<str>),
}

/// The idempotency key of a job as the log has it, whose keys are those of all events.
pub(crate) fn key_in_log(queue: &ServiceName, key: &str) -> String {
    format!("jobs.{queue}/{key}")
}

/// A job that is recorded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Carried {
    pub(crate) id: u64,
    pub(crate) attempts: u32,
}

/// A time of day, as a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TimeOfDay(#[serde(with = "foundation_kernel::written::rfc3339")] pub(crate) SystemTime);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobsBegun {
    pub(crate) jobs: Vec<(u64, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobsDone {
    pub(crate) ids: Vec<u64>,
    pub(crate) from: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobFailed {
    pub(crate) id: u64,
    pub(crate) attempt: u32,
    pub(crate) error: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobDied {
    pub(crate) id: u64,
    pub(crate) attempts: u32,
    pub(crate) error: String,
}

impl JobFact {
    /// What an event of a queue says; `None` if it is of another kind.
    ///
    /// # Errors
    /// [`EventError`] if its payload is not as it was recorded.
    pub(crate) fn of(event: &Event) -> Result<Option<Self>, EventError> {
        Ok(Some(match &event.kind {
            kind if *kind == JobEvent::ACCEPTED || *kind == JobEvent::CARRIED => {
                let terms = event.payload_as::<AcceptedJob<IgnoredAny>>()?.terms;
                Self::Accepted(terms.keyed(event))
            }
            kind if *kind == JobEvent::BEGUN => Self::Begun(event.payload_as()?),
            kind if *kind == JobEvent::DONE => Self::Done(event.payload_as()?),
            kind if *kind == JobEvent::FAILED => Self::Failed(event.payload_as()?),
            kind if *kind == JobEvent::DIED => Self::Died(event.payload_as()?),
            _ => return Ok(None),
        }))
    }

    /// The event that records it. A job itself is recorded by [`AcceptedJob::to_event`].
    ///
    /// # Errors
    /// [`EventError`], never for these payloads.
    pub(crate) fn to_event(&self, queue: &ServiceName) -> Result<NewEvent, EventError> {
        let event = |kind| NewEvent::of(kind).source(source(queue));
        match self {
            Self::Accepted(terms) => event(terms.kind()).payload(terms),
            Self::Begun(begun) => event(JobEvent::BEGUN).payload(begun),
            Self::Done(done) => event(JobEvent::DONE).payload(done),
            Self::Failed(failed) => event(JobEvent::FAILED).payload(failed),
            Self::Died(died) => event(JobEvent::DIED).payload(died),
        }
    }
}

impl<J: Serialize> AcceptedJob<&J> {
    /// The event that records the job.
    ///
    /// # Errors
    /// [`EventError::UnwritablePayload`] if the job has no form in JSON.
    pub(crate) fn to_event(&self, queue: &ServiceName) -> Result<NewEvent, EventError> {
        NewEvent::of(self.terms.kind()).source(source(queue)).payload(self)
    }
}

impl<J: DeserializeOwned> AcceptedJob<J> {
    /// The job that an event records.
    ///
    /// # Errors
    /// [`EventError`] if the job does not fit its type any more.
    pub(crate) fn of(event: &Event) -> Result<Self, EventError> {
        event.payload_as()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use foundation_events::EventId;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn facts() -> impl Strategy<Value = JobFact> {
        let terms = (option::of(".*"), option::of(0..1_u64 << 32), option::of(".*"), option::of((1..9_u64, 0..9_u32)));
        let terms = terms.prop_map(|(key, run_at, unique, carried)| JobTerms {
            key,
            run_at: run_at.map(|seconds| TimeOfDay(UNIX_EPOCH + Duration::from_secs(seconds))),
            unique,
            idempotency_key: None,
            carried: carried.map(|(id, attempts)| Carried { id, attempts }),
        });
        prop_oneof![
            terms.prop_map(JobFact::Accepted),
            vec((1..99_u64, 1..9_u32), 0..9).prop_map(|jobs| JobFact::Begun(JobsBegun { jobs })),
            (vec(1..99_u64, 0..9), 1..99_u64).prop_map(|(ids, from)| JobFact::Done(JobsDone { ids, from })),
            (1..99_u64, 1..9_u32, ".*").prop_map(|(id, attempt, error)| JobFact::Failed(JobFailed {
                id,
                attempt,
                error
            })),
            (1..99_u64, 1..9_u32, ".*").prop_map(|(id, attempts, error)| JobFact::Died(JobDied {
                id,
                attempts,
                error
            })),
        ]
    }

    proptest! {
        #[test]
        fn what_is_recorded_is_read_back(fact in facts(), job: i32) {
            let queue = ServiceName::from_static("mails");
            let event = match &fact {
                JobFact::Accepted(terms) => AcceptedJob { job: &job, terms: terms.clone() }.to_event(&queue),
                fact => fact.to_event(&queue),
            };
            let event = event.unwrap().record(EventId::FIRST, "production", UNIX_EPOCH);
            prop_assert_eq!(event.service(), Some("jobs.mails"));
            prop_assert_eq!(JobFact::of(&event).unwrap(), Some(fact.clone()));
            if let JobFact::Accepted(terms) = fact {
                prop_assert_eq!(AcceptedJob::of(&event).unwrap(), AcceptedJob { job, terms });
            }
        }
    }
}
