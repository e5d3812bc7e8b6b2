//! The rows of events, and of the state that counts them: reading, recording, importing, pruning and repairing, each within
//! a transaction that the caller holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use serde_json::Value;
use uuid::Uuid;

use super::error::SqliteError;
use super::value::{nanoseconds, number, time};
use crate::{
    Append, Appended, DamagedEvent, Event, EventError, EventId, EventKind, EventLimits, EventSource, EventStats,
    ImportError, NewEvent, PruneBound, RepairStep, Verification, checksum, recordable,
};

/// The columns, in the order in which [`read`] wants them and [`Rows::insert`] fills them.
pub(super) const COLUMNS: &str = "id, kind, namespace, recorded_at, observed_at, source, source_actor, correlation_id, \
    causation_id, idempotency_key, payload, checksum";

pub(super) const GET: &str = "SELECT id, kind, namespace, recorded_at, observed_at, source, source_actor, correlation_id, \
    causation_id, idempotency_key, payload, checksum FROM events WHERE id = ?1";

const INSERT: &str = "INSERT INTO events (id, kind, namespace, recorded_at, observed_at, source, source_actor, \
    correlation_id, causation_id, idempotency_key, payload, checksum) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/// Bytes of a row, as [`bytes`] counts them: its numbers, and its texts at their length.
const BYTES: &str = "(48 + octet_length(kind) + octet_length(namespace) + octet_length(payload) \
    + coalesce(octet_length(source), 0) + coalesce(octet_length(source_actor), 0) \
    + coalesce(octet_length(idempotency_key), 0))";

/// Writes rows: the statement, prepared once for all rows of a transaction.
struct Rows<'a>(CachedStatement<'a>);

impl<'a> Rows<'a> {
    fn of(connection: &'a Connection) -> Result<Self, SqliteError> {
        Ok(Self(connection.prepare_cached(INSERT)?))
    }

    /// Writes a new row; returns its bytes.
    fn insert(&mut self, event: &Event) -> Result<u64, SqliteError> {
        let payload =
            serde_json::to_string(&event.payload).map_err(|error| SqliteError::damaged(event.id.get(), &error))?;
        let source = event.source.as_ref();
        self.0.execute(params![
            number(event.id.get()),
            event.kind.as_str(),
            event.namespace,
            nanoseconds(event.recorded_at),
            nanoseconds(event.observed_at),
            source.map(|source| &source.service),
            source.and_then(|source| source.actor_id.as_ref()),
            event.correlation_id.as_bytes(),
            event.causation_id.map(|id| number(id.get())),
            event.idempotency_key,
            payload,
            checksum(event),
        ])?;
        Ok(bytes(event, payload.len()))
    }
}

fn bytes(event: &Event, payload: usize) -> u64 {
    let optional = |text: Option<&String>| text.map_or(0, String::len);
    let source = event.source.as_ref();
    let texts = event.kind.as_str().len()
        + event.namespace.len()
        + payload
        + optional(source.map(|source| &source.service))
        + optional(source.and_then(|source| source.actor_id.as_ref()))
        + optional(event.idempotency_key.as_ref());
    48 + texts as u64
}

/// Writes a row that no log would.
#[cfg(test)]
pub(super) fn forge(connection: &Connection, event: &Event) -> Result<u64, SqliteError> {
    Rows::of(connection)?.insert(event)
}

/// The event of a row, as it was recorded: a row that does not match its checksum is not handed out.
pub(super) fn read(row: &Row<'_>) -> Result<Event, SqliteError> {
    let id: i64 = row.get(0)?;
    let damaged = |reason: String| SqliteError::damaged(id.unsigned_abs(), &reason);
    // A value of the wrong type is a damage of this row too, not of the file.
    let event = decode(row).map_err(&damaged)?;
    let written: i64 = row.get(11).map_err(|error| damaged(error.to_string()))?;
    let found = checksum(&event);
    if i64::from(found) != written {
        return Err(damaged(format!("it has the checksum {found:#010x} and was written with {written:#010x}")));
    }
    Ok(event)
}

fn decode(row: &Row<'_>) -> Result<Event, String> {
    let text = |error: rusqlite::Error| error.to_string();
    let service: Option<String> = row.get(5).map_err(text)?;
    let actor_id: Option<String> = row.get(6).map_err(text)?;
    let payload = row.get_ref(10).and_then(|value| Ok(value.as_str()?)).map_err(text)?;
    let correlation: [u8; 16] = row.get(7).map_err(text)?;
    Ok(Event {
        id: id(row.get(0).map_err(text)?)?,
        kind: EventKind::new(row.get::<_, String>(1).map_err(text)?).map_err(|error| error.to_string())?,
        namespace: row.get(2).map_err(text)?,
        recorded_at: time(row.get(3).map_err(text)?),
        observed_at: time(row.get(4).map_err(text)?),
        source: service.map(|service| EventSource { service, actor_id }),
        correlation_id: Uuid::from_bytes(correlation),
        causation_id: row.get::<_, Option<i64>>(8).map_err(text)?.map(id).transpose()?,
        idempotency_key: row.get(9).map_err(text)?,
        payload: serde_json::from_str::<Value>(payload).map_err(|error| error.to_string())?,
    })
}

fn id(number: i64) -> Result<EventId, String> {
    let id = u64::try_from(number).ok().and_then(EventId::new);
    id.ok_or_else(|| format!("{number} is no id of an event"))
}

/// The state that a file keeps of all events ever recorded, pruned ones included; the only row of its table.
///
/// It changes in the transaction that changes the events, so that the two never disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// The highest id ever given; 0 if none.
    pub(super) highest_id: u64,
    /// The time of the latest event, in nanoseconds since 1970.
    latest: i64,
    /// Bytes of the events that are held, as [`BYTES`] counts them.
    bytes: u64,
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

    fn save(self, connection: &Connection) -> Result<(), SqliteError> {
        let mut statement = connection
            .prepare_cached("UPDATE state SET highest_id = ?1, latest = ?2, bytes = ?3 WHERE only_row = 1")?;
        match statement.execute((number(self.highest_id), self.latest, number(self.bytes)))? {
            1 => Ok(()),
            _ => Err(SqliteError::NoState),
        }
    }

    /// Checks that it agrees with the rows.
    pub(super) fn verify(connection: &Connection, found: &mut Verification) -> Result<(), SqliteError> {
        let transaction = connection.unchecked_transaction()?;
        let state = Self::load(&transaction)?;
        let sql = format!("SELECT max(id), max(recorded_at), coalesce(sum({BYTES}), 0) FROM events NOT INDEXED");
        let sums = transaction.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let (highest, latest, bytes): (Option<i64>, Option<i64>, i64) = match sums {
            Ok(sums) => sums,
            Err(error) => {
                found.add_finding(None, format!("summing up the events failed: {}", SqliteError::from(error)));
                return Ok(());
            }
        };
        if highest.is_some_and(|highest| number(state.highest_id) != highest) {
            let given = state.highest_id;
            found.add_finding(None, format!("the newest event is {highest:?}, and ids up to {given} were given"));
        }
        if latest.is_some_and(|latest| state.latest < latest) {
            found.add_finding(None, "the time of the latest event is later than the latest time");
        }
        if number(state.bytes) != bytes {
            found.add_finding(None, format!("the events have {bytes} bytes, and {} are counted", state.bytes));
        }
        Ok(())
    }

    /// Counts an event that was just written, with its bytes.
    fn add(&mut self, event: &Event, bytes: u64) {
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
    fn position(self) -> Option<EventId> {
        EventId::new(self.highest_id)
    }

    /// The id of the next event; SQLite's numbers end at 2⁶³ − 1, after 292 years of a billion events a second.
    fn next_id(self) -> Result<EventId, SqliteError> {
        let next = self.highest_id.checked_add(1).filter(|next| i64::try_from(*next).is_ok());
        next.and_then(EventId::new).ok_or(SqliteError::OutOfIds { found: self.highest_id })
    }
}

/// Records each append of a group, in order, at the time at which it is taken.
pub(super) fn record(
    connection: &Connection,
    namespace: &str,
    limits: &EventLimits,
    group: &mut dyn Iterator<Item = Append>,
    clock: &dyn Fn() -> SystemTime,
) -> Result<Vec<Result<Appended, EventError>>, SqliteError> {
    Recording { rows: Rows::of(connection)?, connection, namespace, limits }.group(group, clock)
}

/// The context of recording, besides the events.
struct Recording<'a> {
    connection: &'a Connection,
    namespace: &'a str,
    limits: &'a EventLimits,
    rows: Rows<'a>,
}

impl Recording<'_> {
    fn group(
        &mut self,
        group: &mut dyn Iterator<Item = Append>,
        clock: &dyn Fn() -> SystemTime,
    ) -> Result<Vec<Result<Appended, EventError>>, SqliteError> {
        let before = State::load(self.connection)?;
        let mut state = before;
        let mut answers = Vec::new();
        for append in group {
            let now = recordable(clock());
            // The whole decision comes before the first row, so that a refused append leaves nothing to undo.
            answers.push(match append.admit(self.limits, state.position()) {
                Ok(batch) => Ok(self.batch(batch, now, &mut state)?),
                Err(refused) => Err(refused),
            });
        }
        if state != before {
            state.save(self.connection)?;
        }
        Ok(answers)
    }

    fn batch(
        &mut self,
        batch: impl ExactSizeIterator<Item = (NewEvent, usize)>,
        now: SystemTime,
        state: &mut State,
    ) -> Result<Appended, SqliteError> {
        let mut ids = Vec::with_capacity(batch.len());
        let mut events = Vec::with_capacity(batch.len());
        for (new, _) in batch {
            match new.key().map_or(Ok(None), |key| known(self.connection, key))? {
                Some(first) => ids.push(first),
                None => {
                    let event = self.one(new, now, state)?;
                    ids.push(event.id);
                    events.push(Arc::new(event));
                }
            }
        }
        Ok(Appended::new(ids, state.position(), events))
    }

    fn one(&mut self, new: NewEvent, now: SystemTime, state: &mut State) -> Result<Event, SqliteError> {
        let mut event = new.record(state.next_id()?, self.namespace, now.max(time(state.latest)));
        event.observed_at = now;
        state.add(&event, self.rows.insert(&event)?);
        Ok(event)
    }
}

/// Imports exported events as they are.
pub(super) fn import(
    connection: &Connection,
    limits: &EventLimits,
    events: &[Event],
) -> Result<Result<(), EventError>, SqliteError> {
    let mut state = State::load(connection)?;
    if let Err(error) = limits.check_import(state.position(), time(state.latest), events) {
        return Ok(Err(error.into()));
    }
    if let Some(error) = repeated_key(connection, events)? {
        return Ok(Err(error.into()));
    }
    let mut rows = Rows::of(connection)?;
    for event in events {
        state.add(event, rows.insert(event)?);
    }
    state.save(connection)?;
    Ok(Ok(()))
}

/// The first key that another event has, in the log or earlier in the list.
fn repeated_key(connection: &Connection, events: &[Event]) -> Result<Option<ImportError>, SqliteError> {
    let mut ours = HashMap::new();
    for event in events {
        let Some(key) = event.idempotency_key.as_deref() else { continue };
        let first = known(connection, key)?.or_else(|| ours.insert(key, event.id));
        if let Some(first) = first {
            return Ok(Some(ImportError::KnownKey { id: event.id, first }));
        }
    }
    Ok(None)
}

/// The event with this key, those of the transaction included.
fn known(connection: &Connection, key: &str) -> Result<Option<EventId>, SqliteError> {
    let mut statement = connection.prepare_cached("SELECT id FROM events WHERE idempotency_key = ?1")?;
    let id: Option<i64> = statement.query_row([key], |row| row.get(0)).optional()?;
    Ok(id.and_then(|id| EventId::new(id.unsigned_abs())))
}

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
    let sql = format!("SELECT id, recorded_at, {} FROM events ORDER BY id LIMIT ?1", BYTES);
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

// ---- repair: moving unreadable events aside, and replacing them ----

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
        let sql = format!("SELECT {} FROM events NOT INDEXED WHERE id BETWEEN ?1 AND ?2 ORDER BY id", COLUMNS);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query((number(self.next), number(last)))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let read = match read(row) {
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
    let sql = format!("SELECT max(recorded_at), coalesce(sum({}), 0) FROM events NOT INDEXED", BYTES);
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
