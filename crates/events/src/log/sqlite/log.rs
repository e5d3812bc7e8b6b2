use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use foundation_kernel::containment::error_text;
use foundation_kernel::names::Namespace;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::connection::{length_of, open_writer, tidy_when_closed};
use super::error::SqliteError;
use super::events::{import, prune, record, repair};
use super::files::Files;
use super::lock::WriterLock;
use super::options::SqliteOptions;
use super::parking;
use super::path::{Missing, file_of, prepare};
use super::reader::SqliteReader;
use super::value::number;
use crate::{
    Append, Appended, Event, EventError, EventId, EventLimits, EventLog, EventReader, LogError, ParkedEvent,
    PruneBound, ReaderSource, RepairStep, SubscriptionName,
};

/// An [`EventLog`] in a SQLite file, which any SQL tool can read as well.
///
/// Each group is one transaction and one wait for the disk, so its cost is shared by the group. Opening takes
/// milliseconds, after a crash too, however many events there are. Queries by kind, time, correlation, cause or source
/// use an index; conditions on payloads are checked row by row in what these leave. A query is answered in chunks of
/// 512 rows with a transaction each, so a long one blocks nothing; events that are recorded meanwhile are not in its
/// answer, and those that are pruned meanwhile may be missing.
///
/// The file has two companions while it is in use, `…-wal` and `…-shm`, and `…​.lock` at all times; `…-wal` belongs to
/// the data: a copy of a running program's file needs it too, or SQLite's own `.backup`.
///
/// ```
/// use std::time::SystemTime;
/// use foundation_events::{Append, EventLog, NewEvent, Query, SqliteLog, SqliteOptions};
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("events.db");
/// let mut log = SqliteLog::open(&path, "production", SqliteOptions::default())?;
/// log.commit(vec![Append::new(vec![NewEvent::new("opened")?])], SystemTime::now())?;
/// drop(log);
///
/// let log = SqliteLog::open(&path, "production", SqliteOptions::default())?;
/// assert_eq!(log.reader()?.query(&Query::new())?[0].kind.as_str(), "opened");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SqliteLog {
    // Closed before the lock is released: closing writes.
    connection: Connection,
    _lock: WriterLock,
    files: Files,
    path: PathBuf,
    namespace: String,
    options: SqliteOptions,
    broken: Option<String>,
}

impl SqliteLog {
    /// The log in this file, which is made, with its directory, if it does not exist; events get this namespace.
    ///
    /// A file has one log at a time, in all processes together: a lock on `…​.lock` beside it ensures that, and the
    /// system releases it when a process ends, however it ends. If the file is removed, replaced, moved or cut off
    /// while it is open, the next commit fails as [displaced](crate::LogErrorKind::Displaced). The file belongs on a
    /// local disk; SQLite's files do not work over a network.
    ///
    /// # Errors
    ///
    /// [`LogError`] that says what is wrong: the path (a directory, a place that cannot be written), the file (of
    /// another application, of a newer program, of another namespace, damaged), or that it is open already.
    pub fn open(
        path: impl AsRef<Path>,
        namespace: impl Into<String>,
        options: SqliteOptions,
    ) -> Result<Self, LogError> {
        let (path, namespace) = (path.as_ref(), namespace.into());
        Self::try_open(path, namespace, options, Missing::Create).map_err(|error| error.at(OPENING, path))
    }

    /// The log of a namespace in this directory, each in a file of its own: `production.db`, `test_3a….db`.
    ///
    /// ```
    /// use foundation_events::{SqliteLog, SqliteOptions};
    /// use foundation_kernel::names::Namespace;
    ///
    /// let directory = tempfile::tempdir()?;
    /// let log = SqliteLog::open_in(directory.path(), Namespace::Production, SqliteOptions::default())?;
    /// assert!(log.path().ends_with("production.db"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn open_in(
        directory: impl AsRef<Path>,
        namespace: Namespace,
        options: SqliteOptions,
    ) -> Result<Self, LogError> {
        let namespace = namespace.to_string();
        Self::open(file_of(directory.as_ref(), &namespace), namespace, options)
    }

    /// The same for a namespace whose log has been open before: its file is not made anew.
    pub(super) fn open_again_in(
        directory: &Path,
        namespace: Namespace,
        options: SqliteOptions,
    ) -> Result<Self, LogError> {
        let namespace = namespace.to_string();
        let path = file_of(directory, &namespace);
        Self::try_open(&path, namespace, options, Missing::Refuse).map_err(|error| error.at(OPENING, &path))
    }

    fn try_open(path: &Path, namespace: String, options: SqliteOptions, missing: Missing) -> Result<Self, SqliteError> {
        let path = prepare(path, missing)?;
        // Before the connection: opening recovers from a crash, which is a write as well.
        let lock = WriterLock::acquire(&path)?;
        let connection = open_writer(&path, &options, &namespace, missing)?;
        let files = Files::of(&path)?;
        Ok(Self { connection, _lock: lock, files, path, namespace, options, broken: None })
    }

    /// The path of the file: absolute, and with links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs one transaction; the last one if it fails.
    fn write<T>(
        &mut self,
        action: &str,
        work: impl FnOnce(&Transaction<'_>, &str, &EventLimits) -> Result<T, SqliteError>,
    ) -> Result<T, LogError> {
        self.attempt(work).map_err(|error| self.fail(action, error))
    }

    fn attempt<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &str, &EventLimits) -> Result<T, SqliteError>,
    ) -> Result<T, SqliteError> {
        match &self.broken {
            Some(earlier) => Err(SqliteError::Broken { earlier: earlier.clone() }),
            None => {
                transact(&mut self.connection, |transaction| work(transaction, &self.namespace, &self.options.limits))
            }
        }
        .and_then(|done| self.check_files().map(|()| done))
    }

    /// Runs after a commit: the write may have gone to a file that is not at the path any more.
    fn check_files(&mut self) -> Result<(), SqliteError> {
        self.files.check(|| length_of(&self.connection))
    }

    fn fail(&mut self, action: &str, error: SqliteError) -> LogError {
        // After a failed write the contents of the disk are not known, least of all through the same connection.
        self.broken.get_or_insert_with(|| error_text(&error));
        error.at(action, &self.path)
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for SqliteLog {
    fn drop(&mut self) {
        // After a failure nothing is moved into a file that may be cut off; and the write-ahead log at its path may be
        // another one, with events that are nowhere else.
        if self.broken.is_none() && self.files.are_there().is_ok() {
            drop(tidy_when_closed(&self.connection, true));
        }
    }
}

fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, SqliteError>,
) -> Result<T, SqliteError> {
    // Immediate: the lock is taken at the beginning, so that another program's lock is waited for.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

impl EventLog for SqliteLog {
    fn commit(&mut self, group: Vec<Append>, now: SystemTime) -> Result<Vec<Result<Appended, EventError>>, LogError> {
        self.commit_arriving(&mut group.into_iter(), &|| now)
    }

    fn commit_arriving(
        &mut self,
        group: &mut dyn Iterator<Item = Append>,
        clock: &dyn Fn() -> SystemTime,
    ) -> Result<Vec<Result<Appended, EventError>>, LogError> {
        let mut events = 0;
        let mut group = group.inspect(|append| events += append.batch.len());
        let recorded =
            self.attempt(|connection, namespace, limits| record(connection, namespace, limits, &mut group, clock));
        recorded.map_err(|error| match events {
            // None of them was taken yet.
            0 => self.fail("recording events", error),
            events => self.fail(&format!("recording {events} events"), error),
        })
    }

    fn prune(&mut self, bound: PruneBound, keep_from: Option<EventId>, at_most: usize) -> Result<u64, LogError> {
        self.write("pruning", |connection, _, _| prune(connection, bound, keep_from, at_most))
    }

    fn acknowledge(&mut self, subscription: &SubscriptionName, up_to: EventId) -> Result<(), LogError> {
        self.write("recording how far a subscription is", |connection, _, _| {
            let mut statement = connection.prepare_cached(ACKNOWLEDGE)?;
            statement.execute((subscription.as_str(), number(up_to.get())))?;
            Ok(())
        })
    }

    fn forget_subscription(&mut self, subscription: &SubscriptionName) -> Result<bool, LogError> {
        self.write("forgetting a subscription", |connection, _, _| parking::forget(connection, subscription))
    }

    fn park(&mut self, parked: &ParkedEvent, at_most: usize) -> Result<bool, LogError> {
        self.write("parking an event", |connection, _, _| parking::park(connection, parked, at_most))
    }

    fn unpark(&mut self, subscription: &SubscriptionName, event: EventId) -> Result<bool, LogError> {
        self.write("removing a parked event", |connection, _, _| parking::unpark(connection, subscription, event))
    }

    fn import(&mut self, events: Vec<Event>) -> Result<Result<(), EventError>, LogError> {
        self.write(&format!("importing {} events", events.len()), |connection, _, limits| {
            import(connection, limits, &events)
        })
    }

    fn repair(&mut self, from: EventId, at_most: usize) -> Result<RepairStep, LogError> {
        self.write("repairing", |connection, namespace, _| repair(connection, namespace, from, at_most))
    }

    fn maintain(&mut self) -> Result<bool, LogError> {
        match &self.broken {
            Some(earlier) => Err(SqliteError::Broken { earlier: earlier.clone() }),
            None => vacuum(&self.connection).and_then(|more| self.check_files().map(|()| more)),
        }
        .map_err(|error| self.fail("giving space back", error))
    }

    fn reader(&self) -> Result<Box<dyn EventReader>, LogError> {
        // It is opened by the path, so only now is it known to read what is written here.
        let opened = SqliteReader::open(self.path.clone(), self.options.patience());
        match opened.and_then(|reader| self.files.are_there().map(|()| reader)) {
            Ok(reader) => Ok(Box::new(reader)),
            Err(error) => Err(error.at("opening a reader", &self.path)),
        }
    }

    fn reader_source(&self) -> Option<ReaderSource> {
        let (path, patience) = (self.path.clone(), self.options.patience());
        let database_is_there = self.files.database_is_there();
        Some(Arc::new(move || {
            // It is opened by the path, so only now is it known to read what was written here.
            let opened = SqliteReader::open(path.clone(), patience);
            match opened.and_then(|reader| database_is_there().map(|()| reader)) {
                Ok(reader) => Ok(Box::new(reader)),
                Err(error) => Err(error.at("opening a reader", &path)),
            }
        }))
    }
}

/// Pages that are given back at a time: 1 MiB, a few milliseconds.
const PAGES: i64 = 256;

/// Gives a chunk of what pruning has freed back to the file system; true if there is more.
fn vacuum(connection: &Connection) -> Result<bool, SqliteError> {
    let before = free_pages(connection)?;
    if before == 0 {
        return Ok(false);
    }
    // Each step gives one page back, so the statement is stepped to its end, which `execute` does not do for this
    // pragma.
    let mut statement = connection.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    let free = free_pages(connection)?;
    if free == 0 {
        // The file shrinks when the write-ahead log is moved into it, which may take long.
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    }
    // A file that another program has made empty, without the setting for this, never gives anything back.
    Ok(free > 0 && free < before)
}

fn free_pages(connection: &Connection) -> Result<i64, SqliteError> {
    Ok(connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?)
}

const OPENING: &str = "opening the event log";
const ACKNOWLEDGE: &str = "INSERT INTO subscriptions (name, acknowledged) VALUES (?1, ?2) \
    ON CONFLICT (name) DO UPDATE SET acknowledged = max(acknowledged, excluded.acknowledged)";
