use std::time::{Duration, SystemTime};

use super::damaged::DamagedEvent;
use super::error::EventError;
use super::failure::{LogFailure, LogFailureKind};
use super::id::EventId;
use super::new_event::NewEvent;
use super::outage::Outage;

/// Why the event store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventStoreError {
    /// The log refused, and says why.
    #[error(transparent)]
    Log(#[from] EventError),
    /// The store is not there. Nothing was recorded, and the events are given back.
    #[error("{reason}")]
    NotDelivered {
        /// What was to be recorded, in its order.
        batch: Vec<NewEvent>,
        /// Why it could not be delivered.
        reason: String,
    },
    /// One of the events that were asked for is damaged. The store goes on: `verify` lists all damaged events, `repair` moves
    /// them aside, and a query can [skip](crate::OnDamaged::Skip) them.
    #[error("the row of event {event} is damaged: {reason}")]
    Damaged {
        /// Which one.
        event: EventId,
        /// What is wrong with it.
        reason: String,
    },
    /// The storage is not the one any more that the store had opened: its file was removed, replaced, moved or cut off, or
    /// ends before what was acknowledged. What was to be recorded is lost with it.
    #[error("{reason}")]
    Displaced {
        /// What was being done, where, and what was found.
        reason: String,
    },
    /// The store cannot record since its log has failed, with a full disk, say. Nothing was recorded, and the events are
    /// given back. What is recorded can be read all the same; the store tries again by itself
    /// ([`EventStore::outage`](crate::EventStore::outage)).
    #[error("the event store records nothing at present and will try again: {cause}")]
    Unavailable {
        /// What was to be recorded, in its order.
        batch: Vec<NewEvent>,
        /// Since when it cannot, by the store's clock.
        since: SystemTime,
        /// What failed.
        cause: LogFailure,
    },
    /// A query was stopped at its limit; what it had found is dropped.
    #[error(transparent)]
    QueryLimit(QueryLimit),
    /// The store took the request and did not answer, or its storage failed half way. What was to be recorded may be
    /// recorded or not: ask it again when it is back, or append with an idempotency key.
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

    pub(crate) fn unavailable(batch: Vec<NewEvent>, outage: &Outage) -> Self {
        Self::Unavailable { batch, since: outage.since, cause: outage.cause.clone() }
    }

    pub(super) fn no_answer(reason: impl ToString) -> Self {
        Self::NoAnswer { reason: reason.to_string() }
    }
}

impl From<LogFailure> for EventStoreError {
    fn from(failure: LogFailure) -> Self {
        match failure.kind() {
            LogFailureKind::Damaged(damaged) => damaged.clone().into(),
            LogFailureKind::Displaced => Self::Displaced { reason: failure.to_string() },
            LogFailureKind::Storage => Self::no_answer(failure),
        }
    }
}

impl From<DamagedEvent> for EventStoreError {
    fn from(DamagedEvent { event, reason }: DamagedEvent) -> Self {
        Self::Damaged { event, reason }
    }
}

/// Which limit a query has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryLimit {
    /// It took longer than this, waiting for its turn included.
    #[error("the query was stopped after {0:?}; ask for less, or give it more time with `Query::within`")]
    Time(Duration),
    /// It found more than these, and did not say how many it wants.
    #[error(
        "the query finds more than {0} events; give it a `Query::limit`, and go on with `Query::after` the last event"
    )]
    Events(usize),
}

/// Why events were not exported or imported to the end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The store did not do its part.
    #[error("stopped after {events} events: {cause}")]
    Store {
        /// How many events were through.
        events: u64,
        /// What the store said.
        #[source]
        cause: EventStoreError,
    },
    /// The other side could not be written or read.
    #[error("stopped after {events} events: {cause}")]
    Io {
        /// How many events were through.
        events: u64,
        /// What the other side said.
        #[source]
        cause: std::io::Error,
    },
}
