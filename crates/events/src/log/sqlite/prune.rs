//! Which events are pruned first, and how.

use rusqlite::{Connection, params};

use super::error::SqliteError;
use super::row;
use super::state::{State, number};
use super::time::nanoseconds;
use crate::{EventId, PruneBound};

/// Prunes at most this many of the oldest events that are over the bound and before those to keep; returns how many.
pub(super) fn prune(
    connection: &Connection,
    bound: PruneBound,
    keep_from: Option<EventId>,
    at_most: usize,
) -> Result<u64, SqliteError> {
    let mut state = State::load(connection)?;
    let prunable = prunable(connection, state, bound, keep_from, at_most)?;
    let Some(last) = prunable.last else { return Ok(0) };
    connection.prepare_cached("DELETE FROM events WHERE id <= ?1")?.execute([last])?;
    state.bytes = state.bytes.saturating_sub(prunable.bytes);
    state.save(connection)?;
    Ok(prunable.count)
}

/// The events to prune: all up to `last`.
#[derive(Debug, Default)]
struct Prunable {
    last: Option<i64>,
    count: u64,
    bytes: u64,
}

/// Walks from the oldest event on, and stops where the bound holds; reads only the length of the payloads.
fn prunable(
    connection: &Connection,
    state: State,
    bound: PruneBound,
    keep_from: Option<EventId>,
    at_most: usize,
) -> Result<Prunable, SqliteError> {
    let sql = format!("SELECT id, recorded_at, {} FROM events ORDER BY id LIMIT ?1", row::BYTES);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![number(at_most as u64)])?;
    let mut prunable = Prunable::default();
    while let Some(row) = rows.next()? {
        let (id, recorded_at, bytes): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let held = state.highest_id.saturating_add(1).saturating_sub(id.unsigned_abs());
        let is_over = match bound {
            PruneBound::Before(time) => recorded_at < nanoseconds(time),
            PruneBound::Count(most) => held > most,
            PruneBound::Bytes(most) => state.bytes.saturating_sub(prunable.bytes) > most,
        };
        if !is_over || keep_from.is_some_and(|keep_from| id.unsigned_abs() >= keep_from.get()) {
            break;
        }
        prunable = Prunable { last: Some(id), count: prunable.count + 1, bytes: prunable.bytes + bytes.unsigned_abs() };
    }
    Ok(prunable)
}
