use foundation_events::{EventId, EventStoreError};

use crate::values::{ConfigError, ConfigPath};

/// Why a value was not changed. The old one is still in force; only after [`NoAnswer`](Self::NoAnswer) that is not
/// certain.
///
/// A message contains that of the error that caused it, which is a field and not returned as a source a second time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigUpdateError {
    /// The change itself is not allowed.
    #[error(transparent)]
    Refused(#[from] ConfigError),
    /// The change could not be recorded.
    #[error("the change was not recorded: {0}")]
    NotRecorded(EventStoreError),
    /// The records of changes could not be read.
    #[error("the history of changes cannot be read: {0}")]
    NoHistory(EventStoreError),
    /// The event to roll back to records no change of this configuration, or was pruned.
    #[error("event {event} records no change of the configuration{}", newest(newest_record))]
    NoRecord {
        /// The event.
        event: EventId,
        /// The newest one that does, if there is any.
        newest_record: Option<EventId>,
    },
    /// The value to set cannot be written as JSON.
    #[error("the new value of {path} cannot be written as JSON: {error}")]
    Unwritable {
        /// What was to be changed.
        path: ConfigPath,
        /// What the serialiser said.
        error: serde_json::Error,
    },
    /// The request was not sent: the config server does not run, or the caller is outside a tokio runtime. Nothing was
    /// changed, and nothing will be.
    #[error("{reason}")]
    NotDelivered {
        /// Why it could not be asked: the text of the [`CallError`](foundation_kernel::names::CallError), which has the
        /// message itself in it.
        reason: String,
    },
    /// The config server, or the event store behind it, took the change and did not answer: it may still be applied.
    #[error("{reason}")]
    NoAnswer {
        /// What happened instead.
        reason: String,
    },
}

fn newest(record: &Option<EventId>) -> String {
    record
        .map_or_else(|| "; there is no record of any".to_owned(), |event| format!("; the newest that does is {event}"))
}
