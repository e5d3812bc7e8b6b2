use rusqlite::Connection;

use super::error::SqliteError;
use super::time::nanoseconds;
use crate::{Event, EventId, EventStats};

/// The state that a file keeps of all events ever recorded, pruned ones included; the only row of its table.
///
/// It changes in the transaction that changes the events, so that the two never disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// The highest id ever given; 0 if none.
    pub(super) highest_id: u64,
    /// The time of the latest event, in nanoseconds since 1970.
    pub(super) latest: i64,
    /// Bytes of the events that are held, as `row::BYTES` counts them.
    pub(super) bytes: u64,
}

impl State {
    pub(super) fn load(connection: &Connection) -> Result<Self, SqliteError> {
        let mut statement =
            connection.prepare_cached("SELECT highest_id, latest, bytes FROM state WHERE only_row = 1")?;
        let mut rows = statement.query([])?;
        let row = rows.next()?.ok_or(SqliteError::NoState)?;
        let (highest_id, latest, bytes): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Self { highest_id: highest_id.unsigned_abs(), latest, bytes: bytes.unsigned_abs() })
    }

    pub(super) fn save(self, connection: &Connection) -> Result<(), SqliteError> {
        let mut statement = connection
            .prepare_cached("UPDATE state SET highest_id = ?1, latest = ?2, bytes = ?3 WHERE only_row = 1")?;
        match statement.execute((number(self.highest_id), self.latest, number(self.bytes)))? {
            1 => Ok(()),
            _ => Err(SqliteError::NoState),
        }
    }

    /// Counts an event that was just written, with its bytes.
    pub(super) fn add(&mut self, event: &Event, bytes: u64) {
        self.highest_id = event.id.get();
        self.latest = nanoseconds(event.recorded_at);
        self.bytes += bytes;
    }

    /// The statistics of a log whose oldest event has this id; since ids have no gaps, that is enough.
    pub(super) fn stats(self, oldest: Option<EventId>) -> EventStats {
        let pruned = oldest.map_or(self.highest_id, |oldest| oldest.get() - 1);
        EventStats {
            recorded: self.highest_id,
            held: self.highest_id.saturating_sub(pruned),
            pruned,
            oldest,
            newest: oldest.and(self.position()),
            bytes: self.bytes,
        }
    }

    /// The highest id ever given.
    pub(super) fn position(self) -> Option<EventId> {
        EventId::new(self.highest_id)
    }

    /// The id of the next event; SQLite's numbers end at 2⁶³ − 1, after 292 years of a billion events a second.
    pub(super) fn next_id(self) -> Result<EventId, SqliteError> {
        let next = self.highest_id.checked_add(1).filter(|next| i64::try_from(*next).is_ok());
        next.and_then(EventId::new).ok_or(SqliteError::OutOfIds { found: self.highest_id })
    }
}

/// A count as SQLite's only integer.
pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
