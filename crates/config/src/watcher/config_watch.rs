use std::time::Duration;

use serde::Serialize;

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
