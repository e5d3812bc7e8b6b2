use std::time::{Duration, SystemTime};

use foundation_kernel::text::excerpt;
use thiserror::Error;

use crate::{DamagedEvent, EventError, EventId, LogError, LogErrorKind, NewEvent, Outage, SubscriptionName};

pub(super) const ENDING: &str = "the event store is ending";

/// Why the event store did not carry out a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventStoreError {
    /// The log refused, and says why.
    #[error(transparent)]
    Log(#[from] EventError),
    /// The store does not run. Nothing was recorded, and the events are returned.
    #[error("{reason}")]
    NotDelivered {
        /// The events of the request, in their order.
        batch: Vec<NewEvent>,
        /// Why it could not be delivered.
        reason: String,
    },
    /// One of the requested events is damaged. The store goes on: `verify` lists all damaged events, `repair` moves
    /// them aside, and a query can [skip](crate::OnDamaged::Skip) them.
    #[error("the row of event {event} is damaged: {reason}")]
    Damaged {
        /// The event.
        event: EventId,
        /// What is wrong with it.
        reason: String,
    },
    /// The storage is not the one that the store had opened: its file was removed, replaced, moved or cut off, or ends
    /// before what was acknowledged. The events of the request are lost with it.
    #[error("{reason}")]
    Displaced {
        /// The action, the place, and what was found.
        reason: String,
    },
    /// The store cannot record since its log has failed, for example with a full disk. Nothing was recorded, and the
    /// events are returned. Recorded events can be read all the same; the store tries again by itself
    /// ([`EventStore::outage`](crate::EventStore::outage)).
    #[error("the event store records nothing at present and will try again: {cause}")]
    Unavailable {
        /// The events of the request, in their order.
        batch: Vec<NewEvent>,
        /// Since when it cannot, by the store's clock.
        since: SystemTime,
        /// What failed.
        cause: LogError,
    },
    /// A query was stopped at its limit; what it found is dropped.
    #[error(transparent)]
    QueryLimit(QueryLimit),
    /// The store took the request and did not answer, or its storage failed half way. The events may be recorded or
    /// not: ask the store when it is back, or append with an idempotency key.
    #[error("{reason}")]
    NoAnswer {
        /// What happened instead.
        reason: String,
    },
}

impl EventStoreError {
    /// The events that were certainly not recorded, in their order.
    pub fn into_batch(self) -> Vec<NewEvent> {
        match self {
            Self::Log(error) => error.into_batch(),
            Self::NotDelivered { batch, .. } | Self::Unavailable { batch, .. } => batch,
            Self::Damaged { .. } | Self::Displaced { .. } | Self::NoAnswer { .. } | Self::QueryLimit(_) => Vec::new(),
        }
    }

    pub(super) fn not_delivered(batch: Vec<NewEvent>, reason: impl ToString) -> Self {
        Self::NotDelivered { batch, reason: reason.to_string() }
    }

    pub(super) fn unavailable(batch: Vec<NewEvent>, outage: &Outage) -> Self {
        Self::Unavailable { batch, since: outage.since, cause: outage.cause.clone() }
    }

    pub(super) fn no_answer(reason: impl ToString) -> Self {
        Self::NoAnswer { reason: reason.to_string() }
    }
}

impl From<LogError> for EventStoreError {
    fn from(error: LogError) -> Self {
        match error.kind() {
            LogErrorKind::Damaged(damaged) => damaged.clone().into(),
            LogErrorKind::Displaced => Self::Displaced { reason: error.to_string() },
            LogErrorKind::Storage | LogErrorKind::Full => Self::no_answer(error),
        }
    }
}

impl From<DamagedEvent> for EventStoreError {
    fn from(DamagedEvent { event, reason }: DamagedEvent) -> Self {
        Self::Damaged { event, reason }
    }
}

/// The limit that a query has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryLimit {
    /// It took longer than this, including the wait for its turn.
    #[error("the query was stopped after {0:?}; ask for less, or give it more time with `Query::within`")]
    Time(Duration),
    /// It found more than these, and has no limit of its own.
    #[error(
        "the query finds more than {0} events; give it a `Query::limit`, and go on with `Query::after` the last event"
    )]
    Events(usize),
}

/// Why an export or an import did not complete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The store failed.
    #[error("stopped after {events} events: {cause}")]
    Store {
        /// The number of events that were transferred.
        events: u64,
        /// The error of the store.
        cause: EventStoreError,
    },
    /// The other side could not be written or read.
    #[error("stopped after {events} events: {cause}")]
    Io {
        /// The number of events that were transferred.
        events: u64,
        /// The error of the other side.
        cause: std::io::Error,
    },
}

/// What a subscription reports besides its events, or why there is none.
///
/// ```
/// use foundation_events::{EventId, SubscriptionError};
///
/// let missed = SubscriptionError::Missed { from: EventId::FIRST, to: EventId::new(9).unwrap() };
/// assert_eq!(missed.to_string(), "events 1 to 9 were pruned before the subscription had read them");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// These events were pruned before the subscription had read them; some or none of them were of the requested
    /// kinds. It goes on after them.
    #[error("events {from} to {to} were pruned before the subscription had read them")]
    Missed {
        /// The first of them.
        from: EventId,
        /// The last of them.
        to: EventId,
    },
    /// This event is damaged: it was recorded and cannot be read any more as it was. The next call goes on after it,
    /// unless the specification says [`OnDamaged::Stop`](crate::OnDamaged::Stop).
    #[error("the row of event {event} is damaged: {reason}")]
    Damaged {
        /// The event.
        event: EventId,
        /// What is wrong with it.
        reason: String,
    },
    /// These events were recorded and are not in the log any more, although they were not pruned. A subscription to
    /// some kinds only does not notice them. The next call goes on after them, as with a damaged one.
    #[error("events {from} to {to} are missing from the log, and were not pruned")]
    Lost {
        /// The first of them.
        from: EventId,
        /// The last of them.
        to: EventId,
    },
    /// The store has opened another log than before, or has lost events. The subscription goes on where that log ends
    /// now.
    #[error(
        "the subscription has read up to event {position}, and the log that the store has opened ends {}",
        end(*newest)
    )]
    Rewound {
        /// Up to where the subscription had read.
        position: EventId,
        /// Where the log ended when it was opened; `None` if it was empty.
        newest: Option<EventId>,
    },
    /// The durable subscription has a consumer already.
    #[error("the durable subscription {name} has a consumer already: {}", excerpt(consumer))]
    Taken {
        /// The subscription.
        name: SubscriptionName,
        /// Its consumer.
        consumer: String,
    },
    /// Only events that were given out can be acknowledged.
    #[error(
        "event {event} cannot be acknowledged by the subscription {name}, which has come {}",
        given_out(*last)
    )]
    NotGivenOut {
        /// The subscription.
        name: SubscriptionName,
        /// The event to acknowledge.
        event: EventId,
        /// The last event that was given out; `None` if there was none.
        last: Option<EventId>,
    },
    /// The store could not be reached. Nothing is lost: the next call tries again from the same position, after a pause
    /// that doubles from 50 ms up to 5 s while this goes on.
    #[error(transparent)]
    Store(#[from] EventStoreError),
}

impl SubscriptionError {
    /// The last event that is handled once the reader has seen this.
    pub(crate) fn done_up_to(&self) -> Option<EventId> {
        match self {
            Self::Missed { to, .. } | Self::Lost { to, .. } => Some(*to),
            Self::Damaged { event, .. } => Some(*event),
            _ => None,
        }
    }
}

fn end(newest: Option<EventId>) -> String {
    newest.map_or_else(|| "before the first event".to_owned(), |newest| format!("with event {newest}"))
}

fn given_out(last: Option<EventId>) -> String {
    last.map_or_else(|| "to no event yet".to_owned(), |last| format!("to event {last} only"))
}
