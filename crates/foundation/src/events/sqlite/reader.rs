use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::connection::open_reader;
use super::fault::Fault;
use super::plan::{Plan, Window};
use super::row;
use super::state::{State, number};
use super::time::nanoseconds;
use super::verify;
use crate::events::{Event, EventId, EventReader, EventStats, LogFailure, Query, SubscriptionName, Verification};

/// Events that are read in one transaction. A longer one would keep the write-ahead log from being emptied.
const CHUNK: usize = 512;

/// An [`EventReader`](crate::EventReader) with a connection of its own, which cannot write.
#[derive(Debug)]
pub(super) struct SqliteReader {
    path: PathBuf,
    connection: Connection,
}

impl SqliteReader {
    pub(super) fn open(path: PathBuf, patience: Duration) -> Result<Self, Fault> {
        let connection = open_reader(&path, patience)?;
        Ok(Self { path, connection })
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(Fault) -> LogFailure {
        move |fault| fault.at(action, &self.path)
    }

    fn find(&self, id: EventId) -> Result<Option<Arc<Event>>, Fault> {
        let mut statement = self.connection.prepare_cached(row::GET)?;
        let mut rows = statement.query([number(id.get())])?;
        rows.next()?.map(row::read).transpose().map(|event| event.map(Arc::new))
    }

    /// Chunk after chunk, each in a transaction of its own.
    fn search(&self, query: &Query) -> Result<Vec<Arc<Event>>, Fault> {
        let plan = Plan::of(query);
        let mut window = Window::of(query, State::load(&self.connection)?.highest_id);
        self.sharpen(&mut window, &plan, query)?;
        let (limit, mut to_skip) = (query.limit.unwrap_or(usize::MAX), query.offset);
        let mut found = Vec::new();
        while found.len() < limit && !window.is_empty() {
            let missing = (limit - found.len()).saturating_add(to_skip);
            let size = if plan.exact { missing.min(CHUNK) } else { CHUNK };
            let chunk = self.chunk(&plan, window, size)?;
            match chunk.last() {
                Some(last) if chunk.len() == size => {
                    window.pass(query.order, number(last.id.get()), Some(nanoseconds(last.recorded_at)));
                }
                _ => window.last = 0,
            }
            let mut matching: Vec<_> = chunk.into_iter().filter(|event| query.matches(event)).collect();
            let skipped = to_skip.min(matching.len());
            to_skip -= skipped;
            found.extend(matching.drain(skipped..));
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Says the same by ids as by times, so that whichever the plan uses is as narrow as it can be.
    fn sharpen(&self, window: &mut Window, plan: &Plan, query: &Query) -> Result<(), Fault> {
        if !plan.by_id {
            if let Some(cursor) = query.after {
                let time = self.time_of(cursor)?;
                window.pass(query.order, number(cursor.get()), time);
            }
            return Ok(());
        }
        if window.earliest > i64::MIN {
            let first = self.border(FIRST_SINCE, window.earliest)?;
            window.first = window.first.max(first.unwrap_or(i64::MAX));
        }
        if window.latest < i64::MAX {
            let last = self.border(LAST_UNTIL, window.latest)?;
            window.last = window.last.min(last.unwrap_or(0));
        }
        Ok(())
    }

    fn border(&self, sql: &str, time: i64) -> Result<Option<i64>, Fault> {
        Ok(self.connection.prepare_cached(sql)?.query_row([time], |row| row.get(0)).optional()?)
    }

    fn time_of(&self, id: EventId) -> Result<Option<i64>, Fault> {
        self.border("SELECT recorded_at FROM events WHERE id = ?1", number(id.get()))
    }

    fn chunk(&self, plan: &Plan, window: Window, size: usize) -> Result<Vec<Arc<Event>>, Fault> {
        let mut statement = self.connection.prepare_cached(&plan.sql)?;
        let mut rows = statement.query(params_from_iter(plan.values(window, size)))?;
        let mut chunk = Vec::new();
        while let Some(row) = rows.next()? {
            chunk.push(Arc::new(row::read(row)?));
        }
        Ok(chunk)
    }

    fn measure(&self) -> Result<EventStats, Fault> {
        // One transaction, so that the numbers belong together.
        let transaction = self.connection.unchecked_transaction()?;
        let state = State::load(&transaction)?;
        let oldest: Option<i64> =
            transaction.prepare_cached("SELECT min(id) FROM events")?.query_row([], |row| row.get(0))?;
        Ok(state.stats(oldest.and_then(|id| EventId::new(id.unsigned_abs()))))
    }

    fn position_of(&self, subscription: &SubscriptionName) -> Result<Option<EventId>, Fault> {
        let mut statement = self.connection.prepare_cached("SELECT acknowledged FROM subscriptions WHERE name = ?1")?;
        let id: Option<i64> = statement.query_row([subscription.as_str()], |row| row.get(0)).optional()?;
        Ok(id.and_then(|id| EventId::new(id.unsigned_abs())))
    }
}

const FIRST_SINCE: &str =
    "SELECT id FROM events INDEXED BY events_by_time WHERE recorded_at >= ?1 ORDER BY recorded_at, id LIMIT 1";
const LAST_UNTIL: &str = "SELECT id FROM events INDEXED BY events_by_time WHERE recorded_at <= ?1 ORDER BY recorded_at DESC, id DESC LIMIT 1";

impl EventReader for SqliteReader {
    fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, LogFailure> {
        self.find(id).map_err(self.failed("reading an event"))
    }

    fn query(&self, query: &Query) -> Result<Vec<Arc<Event>>, LogFailure> {
        self.search(query).map_err(self.failed("querying events"))
    }

    fn stats(&self) -> Result<EventStats, LogFailure> {
        self.measure().map_err(self.failed("reading the statistics"))
    }

    fn acknowledged(&self, subscription: &SubscriptionName) -> Result<Option<EventId>, LogFailure> {
        self.position_of(subscription).map_err(self.failed("reading the position of a subscription"))
    }

    fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<Verification, LogFailure> {
        verify::verify(&self.connection, progress).map_err(self.failed("verifying"))
    }
}
