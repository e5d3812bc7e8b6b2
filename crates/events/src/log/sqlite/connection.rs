//! Connections: one writer, any number of readers.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::SqliteError;
use super::options::{Durability, SqliteOptions};
use super::path::Missing;
use super::schema::{self, Contents};

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
    schema::migrate(&mut connection, found, namespace)?;
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
