//! Events that durable subscriptions have parked.

use std::sync::Arc;

use foundation_kernel::containment::report;
use rusqlite::{Connection, Row};

use super::error::SqliteError;
use super::value::number;
use super::value::{nanoseconds, time};
use crate::event::line;
use crate::{EventId, ParkedEvent, SubscriptionName};

const PARK: &str =
    "INSERT INTO parked (subscription, event, failures, reason, parked_at, line) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT DO UPDATE SET failures = excluded.failures, reason = excluded.reason, parked_at = excluded.parked_at";

/// Keeps an event, unless the subscription has parked this many others.
pub(super) fn park(connection: &Connection, parked: &ParkedEvent, at_most: usize) -> Result<bool, SqliteError> {
    let (name, event) = (parked.subscription.as_str(), number(parked.event.id.get()));
    let mut others =
        connection.prepare_cached("SELECT count(*) FROM parked WHERE subscription = ?1 AND event <> ?2")?;
    let others: i64 = others.query_row((name, event), |row| row.get(0))?;
    if others >= number(at_most as u64) {
        return Ok(false);
    }
    let line = line::write(&parked.event).map_err(|error| SqliteError::damaged(parked.event.id.get(), &error))?;
    let mut statement = connection.prepare_cached(PARK)?;
    statement.execute((name, event, parked.failures, &parked.reason, nanoseconds(parked.parked_at), line))?;
    Ok(true)
}

pub(super) fn unpark(
    connection: &Connection,
    subscription: &SubscriptionName,
    event: EventId,
) -> Result<bool, SqliteError> {
    let mut statement = connection.prepare_cached("DELETE FROM parked WHERE subscription = ?1 AND event = ?2")?;
    Ok(statement.execute((subscription.as_str(), number(event.get())))? > 0)
}

pub(super) fn forget(connection: &Connection, subscription: &SubscriptionName) -> Result<bool, SqliteError> {
    let mut parked = connection.prepare_cached("DELETE FROM parked WHERE subscription = ?1")?;
    let mut position = connection.prepare_cached("DELETE FROM subscriptions WHERE name = ?1")?;
    let parked = parked.execute([subscription.as_str()])?;
    Ok(position.execute([subscription.as_str()])? + parked > 0)
}

/// The parked events, oldest first. A damaged one is left out, with a warning, and stays.
pub(super) fn parked(
    connection: &Connection,
    subscription: &SubscriptionName,
) -> Result<Vec<ParkedEvent>, SqliteError> {
    let sql = "SELECT event, failures, reason, parked_at, line FROM parked WHERE subscription = ?1 ORDER BY event";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([subscription.as_str()])?;
    let mut parked = Vec::new();
    while let Some(row) = rows.next()? {
        match read(row, subscription) {
            Ok(event) => parked.push(event),
            Err(reason) => {
                report(
                    || tracing::warn!(%subscription, event = ?row.get::<_, i64>(0).ok(), reason, "a parked event is damaged"),
                );
            }
        }
    }
    Ok(parked)
}

fn read(row: &Row<'_>, subscription: &SubscriptionName) -> Result<ParkedEvent, String> {
    let text = |error: rusqlite::Error| error.to_string();
    let written: Vec<u8> = row.get(4).map_err(text)?;
    let event = line::read(&written)?.ok_or("its line is empty")?;
    let (failures, reason, at) =
        (row.get(1).map_err(text)?, row.get::<_, String>(2).map_err(text)?, row.get(3).map_err(text)?);
    Ok(ParkedEvent::new(subscription.clone(), Arc::new(event), failures, reason, time(at)))
}
