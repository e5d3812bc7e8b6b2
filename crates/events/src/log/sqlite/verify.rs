//! Checking everything: each row and its checksum, the order of ids and times, the sums, and SQLite's own structure.

use rusqlite::Connection;

use super::error::SqliteError;
use super::events::{self, State};
use super::value::nanoseconds;
use super::value::number;
use crate::{Event, EventId, Verification};

/// Rows that are read in one transaction.
const CHUNK: u32 = 1000;

pub(super) fn verify(connection: &Connection, progress: &mut dyn FnMut(u64)) -> Result<Verification, SqliteError> {
    let mut walk = Walk { found: Verification::default(), next: None, latest: i64::MIN };
    // Later events are left out, or a busy log would be verified for ever.
    let until = State::load(connection)?.highest_id;
    loop {
        match walk.chunk(connection, until) {
            Ok(true) => progress(walk.found.checked),
            Ok(false) => break,
            Err(SqliteError::Interrupted) => return Err(SqliteError::Interrupted),
            // A page that cannot be read ends the walk, but not the check: the next steps find what is wrong with it.
            Err(error) => {
                walk.found.add_finding(None, format!("reading the events ended early: {error}"));
                break;
            }
        }
    }
    progress(walk.found.checked);
    State::verify(connection, &mut walk.found)?;
    structure(connection, &mut walk.found)?;
    Ok(walk.found)
}

/// A walk along the ids.
struct Walk {
    found: Verification,
    /// The id that has to come next.
    next: Option<u64>,
    latest: i64,
}

impl Walk {
    /// Checks the next rows; returns whether there were any.
    fn chunk(&mut self, connection: &Connection, until: u64) -> Result<bool, SqliteError> {
        // The oldest event is read in the same transaction: events that were pruned meanwhile are no gap.
        let transaction = connection.unchecked_transaction()?;
        let oldest: Option<i64> = transaction.query_row("SELECT min(id) FROM events", [], |row| row.get(0))?;
        let oldest = oldest.map(i64::unsigned_abs);
        self.next = self.next.max(oldest);
        let Some(next) = self.next else { return Ok(false) };
        let sql = format!(
            "SELECT {} FROM events NOT INDEXED WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT {CHUNK}",
            events::COLUMNS
        );
        let mut statement = transaction.prepare_cached(&sql)?;
        let mut rows = statement.query((number(next), number(until)))?;
        let mut any = false;
        while let Some(row) = rows.next()? {
            any = true;
            self.check(row.get(0)?, events::read(row));
        }
        if !any && next <= until {
            self.found.add_finding(EventId::new(next), format!("it and all up to event {until} are missing"));
        }
        Ok(any)
    }

    fn check(&mut self, id: i64, read: Result<Event, SqliteError>) {
        let id = id.unsigned_abs();
        self.found.checked += 1;
        if let Some(expected) = self.next.filter(|expected| *expected < id) {
            self.found
                .add_finding(EventId::new(expected), format!("it is missing; the next one there is is event {id}"));
        }
        self.next = Some(id + 1);
        match read {
            Err(error) => self.found.add_finding(EventId::new(id), error.to_string()),
            Ok(event) => self.in_time(&event),
        }
    }

    fn in_time(&mut self, event: &Event) {
        let recorded_at = nanoseconds(event.recorded_at);
        if recorded_at < self.latest {
            self.found.add_finding(event.id, "it was recorded before the event before it");
        }
        self.latest = self.latest.max(recorded_at);
        if let Some(cause) = event.causation_id.filter(|cause| *cause >= event.id) {
            self.found.add_finding(event.id, format!("its cause, event {cause}, is not before it"));
        }
    }
}

/// SQLite's own check of its pages, and of each index against its table.
fn structure(connection: &Connection, found: &mut Verification) -> Result<(), SqliteError> {
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let mut rows = statement.query([])?;
    loop {
        match rows.next() {
            Ok(None) => return Ok(()),
            Ok(Some(row)) => {
                let line: String = row.get(0)?;
                if line != "ok" {
                    found.add_finding(None, format!("SQLite says: {line}"));
                }
            }
            Err(error) => match SqliteError::from(error) {
                SqliteError::Interrupted => return Err(SqliteError::Interrupted),
                error => {
                    found.add_finding(None, format!("SQLite's check ended early: {error}"));
                    return Ok(());
                }
            },
        }
    }
}
