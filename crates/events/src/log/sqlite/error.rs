use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::log::error::is_full;
use crate::{DamagedEvent, EventId, LogError};
use foundation_kernel::text::{excerpt, one_line};

/// An error of a database file, before the action and the file are known.
#[derive(Debug, Error)]
pub(super) enum SqliteError {
    #[error("{}", text_of(.0))]
    Sqlite(rusqlite::Error),
    #[error("its directory {} cannot be made", one_line(&.path.to_string_lossy()))]
    Directory { path: PathBuf, source: io::Error },
    #[error("it is a directory; wanted the path of a file, which need not exist")]
    IsDirectory,
    #[error("the lock file {} cannot be used", one_line(&.path.to_string_lossy()))]
    Lock { path: PathBuf, source: io::Error },
    #[error("{holder} has it open; one log at a time writes to a file, so close that one first or use another file")]
    Locked { holder: String },
    #[error("it is a SQLite database of another application (application id {found:#010x}, wanted {wanted:#010x})")]
    Foreign { found: i32, wanted: i32 },
    #[error(
        "its schema has version {found}, and this program knows the versions up to {known}: a newer program wrote it"
    )]
    Newer { found: i32, known: i32 },
    #[error("it keeps the events of namespace {found:?}, and those of {wanted:?} were asked for")]
    OtherNamespace { found: String, wanted: String },
    #[error("{0}")]
    Damaged(DamagedEvent),
    #[error("the file {} {what}", one_line(&.path.to_string_lossy()))]
    Displaced { path: PathBuf, what: String },
    #[error("it cannot be found out whether the file {} is the one that was opened", one_line(&.path.to_string_lossy()))]
    Lookup { path: PathBuf, source: io::Error },
    #[error("the row that holds its state is missing")]
    NoState,
    #[error("it numbers events up to {found}, which is the last number there is")]
    OutOfIds { found: u64 },
    #[error("the log has failed before and has to be opened again: {earlier}")]
    Broken { earlier: String },
    #[error("it was interrupted")]
    Interrupted,
}

impl SqliteError {
    /// The error of this action on this file.
    pub(super) fn at(self, action: &str, path: &Path) -> LogError {
        let path = path.to_string_lossy();
        match self {
            Self::Damaged(damaged) => LogError::damaged(action, one_line(&path), damaged),
            error @ Self::Displaced { .. } => LogError::displaced(action, one_line(&path), error),
            error if error.is_full() => LogError::full(action, one_line(&path), error),
            error => LogError::new(action, one_line(&path), error),
        }
    }

    fn is_full(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::Directory { source, .. } | Self::Lock { source, .. } => is_full(source),
            _ => false,
        }
    }

    /// The error of looking up a file that was there before.
    pub(super) fn lookup(path: &Path, error: io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Self::Displaced { path, what: format!("is not there any more: {error}") }
            }
            // It may be there all the same.
            _ => Self::Lookup { path, source: error },
        }
    }

    /// The same for a file that is not made anew in the place of the one that was open before.
    pub(super) fn not_made_anew(self) -> Self {
        match self {
            Self::Displaced { path, what } => {
                Self::Displaced { path, what: format!("{what}; it is not made anew, since it was open before") }
            }
            other => other,
        }
    }

    pub(super) fn damaged(id: u64, reason: &impl ToString) -> Self {
        // Only rows with an id above 0 are read.
        let event = EventId::new(id).unwrap_or(EventId::FIRST);
        Self::Damaged(DamagedEvent::new(event, excerpt(&reason.to_string())))
    }
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) {
            return Self::Interrupted;
        }
        Self::Sqlite(error)
    }
}

/// The extended code distinguishes a short write from a full disk; SQLite's own text often does not.
fn text_of(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(code, Some(text)) => format!("{text} ({code})"),
        _ => error.to_string(),
    }
}
