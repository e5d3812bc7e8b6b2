//! The contents of a file: its namespace, its version, and how older versions become the current one.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::error::SqliteError;

/// Marks a file as ours, in the file's own header: "FNev".
pub(super) const APPLICATION_ID: i32 = 0x464E_6576;

/// The step at index n leads from version n to version n + 1. A step that was released never changes.
const MIGRATIONS: [&str; 2] = [VERSION_1, VERSION_2];

/// The newest version.
pub(super) const VERSION: i32 = MIGRATIONS.len() as i32;

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
pub(super) enum Contents {
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
    pub(super) fn read(connection: &Connection) -> Result<Self, SqliteError> {
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
pub(super) fn migrate(connection: &mut Connection, found: Contents, namespace: &str) -> Result<(), SqliteError> {
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
