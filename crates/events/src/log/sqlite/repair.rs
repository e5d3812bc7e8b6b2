//! Moving unreadable events aside, and replacing them.

use rusqlite::{Connection, OptionalExtension};

use super::error::SqliteError;
use super::events::{self, Rows, State};
use super::value::number;
use super::value::{nanoseconds, time};
use crate::{DamagedEvent, Event, EventId, RepairStep};

const COPY: &str = "INSERT INTO damaged_events (reason, id, kind, namespace, recorded_at, observed_at, source, source_actor, \
    correlation_id, causation_id, idempotency_key, payload, checksum) \
    SELECT ?2, id, kind, namespace, recorded_at, observed_at, source, source_actor, correlation_id, causation_id, \
    idempotency_key, payload, checksum FROM events WHERE id = ?1";

/// Repairs at most this many events from this one on, and, with the last ones, the sums.
pub(super) fn repair(
    connection: &Connection,
    namespace: &str,
    from: EventId,
    at_most: usize,
) -> Result<RepairStep, SqliteError> {
    let mut state = State::load(connection)?;
    let ends = "SELECT min(id), max(id) FROM events WHERE id > 0";
    let (oldest, newest): (Option<i64>, Option<i64>) =
        connection.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    state.highest_id = state.highest_id.max(newest.unwrap_or(0).unsigned_abs());
    let first = from.get().max(oldest.map_or(state.highest_id + 1, i64::unsigned_abs));
    let last = first.saturating_add(at_most as u64 - 1).min(state.highest_id);
    // The events before are whole, or were repaired by the step before.
    let before = "SELECT recorded_at FROM events WHERE id = ?1";
    let latest = connection.query_row(before, [number(first) - 1], |row| row.get(0)).optional()?.unwrap_or(0);
    let mut repairing = Repairing { connection, namespace, next: first, latest, moved: Vec::new() };
    repairing.walk(last)?;
    let next = (last < state.highest_id).then(|| EventId::after(last));
    if next.is_none() {
        recount(connection, &mut state)?;
    }
    state.save(connection)?;
    Ok(RepairStep { moved: repairing.moved, next })
}

/// The time of an event, or what is wrong with it.
type RowTime = Result<i64, DamagedEvent>;

struct Repairing<'a> {
    connection: &'a Connection,
    namespace: &'a str,
    /// The id that comes next.
    next: u64,
    /// When the event before it was recorded.
    latest: i64,
    moved: Vec<DamagedEvent>,
}

impl Repairing<'_> {
    fn walk(&mut self, last: u64) -> Result<(), SqliteError> {
        // Read before writing: a row that is put in is not read again.
        for (id, read) in self.times(last)? {
            self.fill(id - 1)?;
            match read {
                Ok(recorded_at) => self.latest = recorded_at,
                Err(damaged) => self.replace(damaged)?,
            }
            self.next = id + 1;
        }
        self.fill(last)
    }

    fn times(&self, last: u64) -> Result<Vec<(u64, RowTime)>, SqliteError> {
        let sql = format!("SELECT {} FROM events NOT INDEXED WHERE id BETWEEN ?1 AND ?2 ORDER BY id", events::COLUMNS);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query((number(self.next), number(last)))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let read = match events::read(row) {
                Ok(event) => Ok(nanoseconds(event.recorded_at)),
                Err(SqliteError::Damaged(damaged)) => Err(damaged),
                Err(error) => return Err(error),
            };
            found.push((id.unsigned_abs(), read));
        }
        Ok(found)
    }

    /// Puts an event in the place of each missing one up to this.
    fn fill(&mut self, up_to: u64) -> Result<(), SqliteError> {
        for id in self.next..=up_to {
            self.put(DamagedEvent::new(EventId::after(id - 1), "it is missing from the log"))?;
        }
        self.next = self.next.max(up_to + 1);
        Ok(())
    }

    fn replace(&mut self, damaged: DamagedEvent) -> Result<(), SqliteError> {
        let id = number(damaged.event.get());
        self.connection.prepare_cached(COPY)?.execute((id, &damaged.reason))?;
        self.connection.prepare_cached("DELETE FROM events WHERE id = ?1")?.execute([id])?;
        self.put(damaged)
    }

    fn put(&mut self, damaged: DamagedEvent) -> Result<(), SqliteError> {
        let event = Event::lost(damaged.event, &damaged.reason, self.namespace, time(self.latest));
        Rows::of(self.connection)?.insert(&event)?;
        self.moved.push(damaged);
        Ok(())
    }
}

/// Recomputes the state of the file from its rows.
fn recount(connection: &Connection, state: &mut State) -> Result<(), SqliteError> {
    let sql = format!("SELECT max(recorded_at), coalesce(sum({}), 0) FROM events NOT INDEXED", events::BYTES);
    let (latest, bytes): (Option<i64>, i64) = connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    state.latest = state.latest.max(latest.unwrap_or(0));
    state.bytes = bytes.unsigned_abs();
    Ok(())
}

/// The damaged rows that were moved aside, the latest ones first.
pub(super) fn moved_aside(connection: &Connection, at_most: usize) -> Result<Vec<DamagedEvent>, SqliteError> {
    let mut statement =
        connection.prepare_cached("SELECT id, reason FROM damaged_events ORDER BY moved DESC LIMIT ?1")?;
    let rows = statement.query_map([number(at_most as u64)], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
    let mut moved = Vec::new();
    for row in rows {
        let (id, reason): (i64, String) = row?;
        moved.extend(EventId::new(id.unsigned_abs()).map(|event| DamagedEvent::new(event, reason)));
    }
    Ok(moved)
}
