//! How a store keeps its events in SQLite: a second `impl` of [`EventStorage`], which knows no kind of log but the one in
//! memory.

use std::path::PathBuf;

use super::log::SqliteLog;
use super::options::SqliteOptions;
use crate::EventStorage;

impl EventStorage {
    /// In SQLite files in this directory, one for each namespace ([`SqliteLog::open_in`]): `production.db` is there
    /// again when the process is started again. The file of a test's namespace stays when the namespace ends; give a
    /// temporary directory to tests.
    ///
    /// ```
    /// use foundation_events::EventStorage;
    ///
    /// let storage = EventStorage::sqlite("/var/lib/shop/events");
    /// ```
    pub fn sqlite(directory: impl Into<PathBuf>) -> Self {
        Self::sqlite_with(directory, SqliteOptions::default())
    }

    /// The same with other options.
    pub fn sqlite_with(directory: impl Into<PathBuf>, options: SqliteOptions) -> Self {
        let (directory, taken) = (directory.into(), options.limits.clone());
        Self::reopening(move |namespace, limits, again| {
            let options = options.clone().within(limits);
            match again {
                false => SqliteLog::open_in(&directory, namespace, options),
                true => SqliteLog::open_again_in(&directory, namespace, options),
            }
        })
        .taking(taken)
    }
}
