//! The outcomes of a change at run time.

use std::time::Duration;

use serde::Serialize;

use super::error::ConfigError;
use super::path::ConfigPath;
use foundation_events::{EventId, EventStoreError};

/// The state of the configuration of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConfigStatus {
    /// Counts the changes; 1 when loaded.
    pub generation: u64,
    /// How many values there are.
    pub paths: usize,
    /// How many of them were changed at run time.
    pub overrides: usize,
    /// How many subscriptions there are.
    pub subscribers: usize,
    /// How changes of the files are noticed.
    pub watch: ConfigWatch,
    /// Why the event store refused the last checkpoint of the changes at run time, if it did. Until it accepts one,
    /// events that are due to be pruned are kept.
    pub checkpoint_failure: Option<String>,
}

impl ConfigStatus {
    /// A limitation of a server that runs: changes of files are noticed late, or older events cannot be pruned.
    pub fn impairment(&self) -> Option<String> {
        let watch = match &self.watch {
            polled @ ConfigWatch::Polled { .. } => Some(format!("the files are {polled}")),
            _ => None,
        };
        let checkpoint = self.checkpoint_failure.as_ref();
        let checkpoint = checkpoint.map(|reason| format!("overrides cannot be recorded anew: {reason}"));
        let impairments: Vec<_> = watch.into_iter().chain(checkpoint).collect();
        (!impairments.is_empty()).then(|| impairments.join("; "))
    }
}

/// How a namespace notices that the files of its configuration have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConfigWatch {
    /// They are not noticed: watching was not requested, or there is no file.
    #[default]
    Off,
    /// The operating system reports changes; the files are checked at intervals as well.
    Watched,
    /// The files are checked at intervals only: the operating system does not report changes, or not all.
    Polled {
        /// How often.
        every: Duration,
        /// What the operating system said.
        reason: String,
    },
}

impl std::fmt::Display for ConfigWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("not watched"),
            Self::Watched => f.write_str("watched"),
            Self::Polled { every, reason } => write!(f, "looked at every {every:?} only, since {reason}"),
        }
    }
}

/// Why a value was not changed. The old one is still in force; only after [`NoAnswer`](Self::NoAnswer) that is not
/// certain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigUpdateError {
    /// The change itself is not allowed.
    #[error(transparent)]
    Refused(#[from] ConfigError),
    /// The change could not be recorded.
    #[error("the change was not recorded: {0}")]
    NotRecorded(#[source] EventStoreError),
    /// The records of changes could not be read.
    #[error("the history of changes cannot be read: {0}")]
    NoHistory(#[source] EventStoreError),
    /// The event to roll back to records no change of this configuration, or was pruned.
    #[error("event {event} records no change of the configuration{}", newest(newest_record))]
    NoRecord {
        /// The event.
        event: EventId,
        /// The newest one that does, if there is any.
        newest_record: Option<EventId>,
    },
    /// The value to set cannot be written as JSON.
    #[error("the new value of {path} cannot be written as JSON: {reason}")]
    Unwritable {
        /// What was to be changed.
        path: ConfigPath,
        /// What the serialiser said.
        reason: String,
    },
    /// The config server is not running. Nothing was changed, and nothing will be.
    #[error("{reason}")]
    NotDelivered {
        /// Why it could not be asked.
        reason: String,
    },
    /// The config server, or the event store behind it, took the change and did not answer: it may still be made.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_hear_of_changes_or_cannot_record_overrides_anew_is_impaired() {
        let mut status = ConfigStatus {
            generation: 1,
            paths: 0,
            overrides: 0,
            subscribers: 0,
            watch: ConfigWatch::Watched,
            checkpoint_failure: None,
        };
        assert_eq!(status.impairment(), None);
        let (every, reason) = (Duration::from_secs(5), "no watches are left".to_owned());
        status.watch = ConfigWatch::Polled { every, reason };
        let files = "the files are looked at every 5s only, since no watches are left";
        assert_eq!(status.impairment().as_deref(), Some(files));
        status.checkpoint_failure = Some("too large".to_owned());
        let both = format!("{files}; overrides cannot be recorded anew: too large");
        assert_eq!(status.impairment(), Some(both));
    }
}
