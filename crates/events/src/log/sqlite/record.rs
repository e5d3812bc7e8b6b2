//! Recording a group: the part of a commit that decides and writes, within a transaction that the caller holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension};

use super::error::SqliteError;
use super::row::Rows;
use super::state::State;
use super::time::time;
use crate::{Append, Appended, Event, EventError, EventId, EventLimits, ImportRefusal, NewEvent, recordable};

/// The context of recording, besides the events.
pub(super) struct Recording<'a> {
    pub(super) connection: &'a Connection,
    pub(super) namespace: &'a str,
    pub(super) limits: &'a EventLimits,
    pub(super) rows: Rows<'a>,
}

impl Recording<'_> {
    /// Records each append of a group, in order, at the time at which it is taken.
    pub(super) fn group(
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
    if let Err(refusal) = limits.check_import(state.position(), time(state.latest), events) {
        return Ok(Err(refusal.into()));
    }
    if let Some(refusal) = repeated_key(connection, events)? {
        return Ok(Err(refusal.into()));
    }
    let mut rows = Rows::of(connection)?;
    for event in events {
        state.add(event, rows.insert(event)?);
    }
    state.save(connection)?;
    Ok(Ok(()))
}

/// The first key that another event has, in the log or earlier in the list.
fn repeated_key(connection: &Connection, events: &[Event]) -> Result<Option<ImportRefusal>, SqliteError> {
    let mut ours = HashMap::new();
    for event in events {
        let Some(key) = event.idempotency_key.as_deref() else { continue };
        let first = known(connection, key)?.or_else(|| ours.insert(key, event.id));
        if let Some(first) = first {
            return Ok(Some(ImportRefusal::KnownKey { id: event.id, first }));
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
