//! The peer of the event store: the same rows in a file with the same tables, by rusqlite and nothing else. It only
//! counts ids up; it validates nothing, keeps no sums, and notifies no subscriber.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, Row, Statement, TransactionBehavior, params};
use serde_json::Value;
use uuid::Uuid;

use crate::events::{EventFile, KIND, NAMESPACE, OrderPayload, SERVICE};
use crate::stage::started;

const INSERT: &str = "INSERT INTO events (id, kind, namespace, recorded_at, observed_at, source, source_actor, \
    correlation_id, causation_id, idempotency_key, payload, checksum) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

const COLUMNS: &str = "id, kind, namespace, recorded_at, observed_at, source, source_actor, correlation_id, \
    causation_id, idempotency_key, payload, checksum";

/// A number of the size that most checksums have.
const CHECKSUM: u32 = 0x9E37_79B9;

/// One connection that writes, with the same pragmas.
pub(crate) struct BareLog {
    connection: Connection,
    last: u64,
    _file: EventFile,
}

impl BareLog {
    pub(crate) fn new() -> Self {
        let file = EventFile::with_tables();
        let connection = started(Connection::open(&file.path));
        started(connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8000; \
             PRAGMA journal_size_limit = 67108864;",
        ));
        Self { connection, last: 0, _file: file }
    }

    /// Writes this many events in one transaction.
    pub(crate) fn commit(&mut self, events: u64) {
        let transaction = started(self.connection.transaction_with_behavior(TransactionBehavior::Immediate));
        let mut insert = started(transaction.prepare_cached(INSERT));
        let now = nanoseconds(SystemTime::now());
        for _ in 0..events {
            self.last += 1;
            let payload = started(serde_json::to_string(&OrderPayload::new(self.last)));
            started(insert.execute(params![
                self.last as i64,
                KIND,
                NAMESPACE,
                now,
                now,
                SERVICE,
                None::<&str>,
                Uuid::now_v7().as_bytes(),
                None::<i64>,
                None::<&str>,
                payload,
                CHECKSUM,
            ]));
        }
        drop(insert);
        started(transaction.commit());
    }
}

fn nanoseconds(time: SystemTime) -> i64 {
    started(i64::try_from(started(time.duration_since(UNIX_EPOCH)).as_nanos()))
}

/// A row's columns as owned values, with the payload parsed: as much as an event has.
#[expect(dead_code, reason = "it is built as a result, and no caller here reads it")]
pub(crate) struct BareEvent {
    id: i64,
    kind: String,
    namespace: String,
    recorded_at: SystemTime,
    observed_at: SystemTime,
    source: Option<String>,
    source_actor: Option<String>,
    correlation_id: Uuid,
    causation_id: Option<i64>,
    idempotency_key: Option<String>,
    payload: Value,
    checksum: u32,
}

/// A read-only connection to a file that another process or connection writes.
pub(crate) fn reader(path: &Path) -> Connection {
    started(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX))
}

/// The query for one event by its id.
pub(crate) fn get() -> String {
    format!("SELECT {COLUMNS} FROM events WHERE id = ?1")
}

/// The query for the latest events, up to a limit.
pub(crate) fn recent() -> String {
    format!("SELECT {COLUMNS} FROM events ORDER BY id DESC LIMIT ?1")
}

/// All rows that the statement returns.
pub(crate) fn read(statement: &mut Statement<'_>, parameter: u64) -> Vec<Arc<BareEvent>> {
    let mut rows = started(statement.query([parameter as i64]));
    let mut events = Vec::new();
    while let Some(row) = started(rows.next()) {
        events.push(Arc::new(started(event(row))));
    }
    events
}

fn event(row: &Row<'_>) -> Result<BareEvent, rusqlite::Error> {
    let payload = row.get_ref(10)?;
    Ok(BareEvent {
        id: row.get(0)?,
        kind: row.get(1)?,
        namespace: row.get(2)?,
        recorded_at: time(row.get(3)?),
        observed_at: time(row.get(4)?),
        source: row.get(5)?,
        source_actor: row.get(6)?,
        correlation_id: Uuid::from_bytes(row.get(7)?),
        causation_id: row.get(8)?,
        idempotency_key: row.get(9)?,
        payload: started(serde_json::from_str(payload.as_str()?)),
        checksum: row.get(11)?,
    })
}

fn time(nanoseconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanoseconds.unsigned_abs())
}
