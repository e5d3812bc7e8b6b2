use rusqlite::Connection;

use super::error::SqliteError;

/// Pages that are given back at a time: 1 MiB, a few milliseconds.
const CHUNK: i64 = 256;

/// Gives a chunk of what pruning has freed back to the file system; true if there is more.
pub(super) fn vacuum(connection: &Connection) -> Result<bool, SqliteError> {
    let before = free_pages(connection)?;
    if before == 0 {
        return Ok(false);
    }
    // Each step gives one page back, so the statement is stepped to its end, which `execute` does not do for this
    // pragma.
    let mut statement = connection.prepare_cached(&format!("PRAGMA incremental_vacuum({CHUNK})"))?;
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
