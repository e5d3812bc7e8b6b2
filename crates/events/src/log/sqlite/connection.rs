//! Connections, one writer and any number of readers, and the contents of the file that they find: its namespace, its
//! version, and how older versions become the current one.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use super::error::SqliteError;
use super::options::{Durability, SqliteOptions};
use super::path::Missing;

/// The longest time that SQLite can wait for a lock.
const LONGEST_WAIT: Duration = Duration::from_millis(i32::MAX as u64);
/// Pages of the write-ahead log after which a commit moves them into the database: 32 MiB.
const CHECKPOINT_PAGES: u32 = 8000;
/// The bytes that the write-ahead log keeps on the disk after it has grown larger.
const WAL_BYTES: u32 = 64 << 20;
/// The size of the statement cache: a store uses some twenty different statements.
const CACHED_STATEMENTS: usize = 48;

/// The writing connection, to a file that is checked, migrated and set up; the caller holds the writer's lock.
///
/// It leaves the write-ahead log alone when it is closed, until [`tidy_when_closed`] says otherwise.
pub(super) fn open_writer(
    path: &Path,
    options: &SqliteOptions,
    namespace: &str,
    missing: Missing,
) -> Result<Connection, SqliteError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // Not checked beforehand: in between, the file can be moved away.
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, missing == Missing::Create);
    let mut connection = open(path, flags, options.patience())?;
    tidy_when_closed(&connection, false)?;
    let found = Contents::read(&connection)?;
    if found == Contents::Nothing {
        // Has no effect once there is a table, or a page: WAL mode writes the first one.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    set_up_writer(&connection, options.durability)?;
    migrate(&mut connection, found, namespace)?;
    Ok(connection)
}

/// Whether closing moves the write-ahead log into the database and removes it.
///
/// SQLite removes it by its name, whatever file has that name by then.
pub(super) fn tidy_when_closed(connection: &Connection, tidy: bool) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !tidy)
}

fn set_up_writer(connection: &Connection, durability: Durability) -> Result<(), SqliteError> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| match row.get::<_, String>(0)?.as_str() {
        "wal" => Ok(()),
        _ => Err(rusqlite::Error::ExecuteReturnedResults),
    })?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Relaxed => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // Elsewhere than on macOS, whose plain fsync does not wait for the disk, these two mean nothing.
    connection.pragma_update(None, "fullfsync", durability == Durability::Full)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES, |_| Ok(()))?;
    Ok(())
}

/// How many bytes the database has, as its own header says.
pub(super) fn length_of(connection: &Connection) -> Result<u64, SqliteError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(pragma("page_count")?.unsigned_abs() * pragma("page_size")?.unsigned_abs())
}

/// A connection that can only read.
pub(super) fn open_reader(path: &Path, patience: Duration) -> Result<Connection, SqliteError> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX, patience)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A connection that waits this long for another program that has locked the file.
fn open(path: &Path, flags: OpenFlags, patience: Duration) -> Result<Connection, SqliteError> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(patience.min(LONGEST_WAIT))?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // A damaged or hostile file must not make SQLite run what its schema says, nor read outside a page.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

// ---- contents ----

/// Marks a file as ours, in the file's own header: "FNev".
const APPLICATION_ID: i32 = 0x464E_6576;

/// The step at index n leads from version n to version n + 1. A step that was released never changes.
const MIGRATIONS: [&str; 2] = [VERSION_1, VERSION_2];

/// The newest version.
const VERSION: i32 = MIGRATIONS.len() as i32;

/// Every index ends with the row's id, as all of SQLite's do, so its results are in order already.
const VERSION_1: &str = "
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    observed_at INTEGER NOT NULL,
    source TEXT,
    source_actor TEXT,
    correlation_id BLOB NOT NULL,
    causation_id INTEGER,
    idempotency_key TEXT,
    payload TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE INDEX events_by_kind ON events (kind, recorded_at);
CREATE INDEX events_by_correlation ON events (correlation_id, recorded_at);
CREATE INDEX events_by_time ON events (recorded_at);
CREATE INDEX events_by_source ON events (source, recorded_at) WHERE source IS NOT NULL;
CREATE INDEX events_by_cause ON events (causation_id) WHERE causation_id IS NOT NULL;
CREATE UNIQUE INDEX events_by_key ON events (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE TABLE state (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    namespace TEXT NOT NULL,
    highest_id INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE subscriptions (
    name TEXT PRIMARY KEY,
    acknowledged INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Events that were put aside: by a subscription, whole and as a line of an export; and by a repair, as their damaged
/// rows were.
const VERSION_2: &str = "
CREATE TABLE parked (
    subscription TEXT NOT NULL,
    event INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    reason TEXT NOT NULL,
    parked_at INTEGER NOT NULL,
    line BLOB NOT NULL,
    PRIMARY KEY (subscription, event)
) STRICT, WITHOUT ROWID;
CREATE TABLE damaged_events (
    moved INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    id, kind, namespace, recorded_at, observed_at, source, source_actor, correlation_id, causation_id, idempotency_key,
    payload, checksum
);
";

/// The contents of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contents {
    Nothing,
    /// Our own, in a known version.
    Ours {
        version: i32,
    },
}

impl Contents {
    /// Decides by a file's header and its number of tables.
    fn of(application_id: i32, version: i32, tables: i64) -> Result<Self, SqliteError> {
        match (application_id, version) {
            (0, 0) if tables == 0 => Ok(Self::Nothing),
            (APPLICATION_ID, found) if found > VERSION => Err(SqliteError::Newer { found, known: VERSION }),
            (APPLICATION_ID, version) if version > 0 => Ok(Self::Ours { version }),
            (found, _) => Err(SqliteError::Foreign { found, wanted: APPLICATION_ID }),
        }
    }

    /// Reads and changes nothing.
    fn read(connection: &Connection) -> Result<Self, SqliteError> {
        let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let application_id = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Self::of(application_id, version, tables)
    }

    fn version(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Ours { version } => usize::try_from(version).unwrap_or(0),
        }
    }
}

/// Migrates the contents to the current version, all steps in one transaction.
fn migrate(connection: &mut Connection, found: Contents, namespace: &str) -> Result<(), SqliteError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in MIGRATIONS.iter().skip(found.version()) {
        transaction.execute_batch(step)?;
    }
    if found.version() < MIGRATIONS.len() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    own(&transaction, namespace)?;
    Ok(transaction.commit()?)
}

/// Ensures that the file belongs to the namespace.
fn own(transaction: &Transaction<'_>, namespace: &str) -> Result<(), SqliteError> {
    transaction.execute(
        "INSERT INTO state (only_row, namespace, highest_id, latest, bytes) VALUES (1, ?1, 0, 0, 0) ON CONFLICT DO NOTHING",
        params![namespace],
    )?;
    let found: String = transaction.query_row("SELECT namespace FROM state", [], |row| row.get(0))?;
    match found == namespace {
        true => Ok(()),
        false => Err(SqliteError::OtherNamespace { found, wanted: namespace.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_taken_as_a_new_one() {
        assert_eq!(Contents::of(0, 0, 0).unwrap(), Contents::Nothing);
    }

    #[test]
    fn a_file_of_ours_is_taken_in_every_version_that_is_known() {
        assert_eq!(Contents::of(APPLICATION_ID, VERSION, 3).unwrap(), Contents::Ours { version: VERSION });
    }

    #[test]
    fn a_newer_version_is_refused_with_both_versions() {
        let error = Contents::of(APPLICATION_ID, VERSION + 1, 9).unwrap_err();
        let SqliteError::Newer { found, known } = error else { panic!("{error}") };
        assert_eq!((found, known), (VERSION + 1, VERSION));
    }

    #[test]
    fn a_file_with_tables_and_without_our_mark_is_foreign() {
        for (application_id, version, tables) in [(0, 0, 1), (0, 1, 0), (7, 1, 1), (APPLICATION_ID, 0, 1)] {
            let error = Contents::of(application_id, version, tables).unwrap_err();
            let SqliteError::Foreign { found, wanted } = error else { panic!("{error}") };
            assert_eq!((found, wanted), (application_id, APPLICATION_ID));
        }
    }
}
