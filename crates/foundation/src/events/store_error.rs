use super::error::EventError;
use super::failure::LogFailure;
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
            Self::NoAnswer { .. } => Vec::new(),
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
        Self::no_answer(failure)
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
