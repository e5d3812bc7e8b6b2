//! An event as a row.

use rusqlite::{CachedStatement, Connection, Row, params};
use serde_json::Value;
use uuid::Uuid;

use super::error::SqliteError;
use super::state::number;
use super::time::{nanoseconds, time};
use crate::{Event, EventId, EventKind, EventSource, checksum};

/// The columns, in the order in which [`read`] wants them and [`Rows::insert`] fills them.
pub(super) const COLUMNS: &str = "id, kind, namespace, recorded_at, observed_at, source, source_actor, correlation_id, \
    causation_id, idempotency_key, payload, checksum";

pub(super) const GET: &str = "SELECT id, kind, namespace, recorded_at, observed_at, source, source_actor, correlation_id, \
    causation_id, idempotency_key, payload, checksum FROM events WHERE id = ?1";

const INSERT: &str = "INSERT INTO events (id, kind, namespace, recorded_at, observed_at, source, source_actor, \
    correlation_id, causation_id, idempotency_key, payload, checksum) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/// Bytes of a row, as [`bytes`] counts them: its numbers, and its texts at their length.
pub(super) const BYTES: &str = "(48 + octet_length(kind) + octet_length(namespace) + octet_length(payload) \
    + coalesce(octet_length(source), 0) + coalesce(octet_length(source_actor), 0) \
    + coalesce(octet_length(idempotency_key), 0))";

/// Writes rows: the statement, prepared once for all rows of a transaction.
pub(super) struct Rows<'a>(CachedStatement<'a>);

impl<'a> Rows<'a> {
    pub(super) fn of(connection: &'a Connection) -> Result<Self, SqliteError> {
        Ok(Self(connection.prepare_cached(INSERT)?))
    }

    /// Writes a new row; returns its bytes.
    pub(super) fn insert(&mut self, event: &Event) -> Result<u64, SqliteError> {
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

/// The event of a row, as it was recorded: a row that does not match its checksum is not handed out.
pub(super) fn read(row: &Row<'_>) -> Result<Event, SqliteError> {
    let id: i64 = row.get(0)?;
    let damaged = |reason: String| SqliteError::damaged(id.unsigned_abs(), &reason);
    // A value of the wrong type is a damage of this row too, not a fault of the file.
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
