use super::damaged::DamagedEvent;
use super::error::EventError;
use super::failure::{LogFailure, LogFailureKind};
use super::id::EventId;
use super::new_event::NewEvent;

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
            Self::NotDelivered { batch, .. } => batch,
            Self::Damaged { .. } | Self::Displaced { .. } | Self::NoAnswer { .. } => Vec::new(),
        }
    }

    pub(super) fn not_delivered(batch: Vec<NewEvent>, reason: impl ToString) -> Self {
        Self::NotDelivered { batch, reason: reason.to_string() }
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
