use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::connection::open_reader;
use super::error::SqliteError;
use super::events::{self, State};
use super::parking;
use super::plan::{Plan, Window};
use super::repair::moved_aside;
use super::value::nanoseconds;
use super::value::number;
use super::verify;
use crate::{
    DamagedEvent, Event, EventId, EventPage, EventReader, EventStats, Interrupt, LogError, OnDamaged, Order,
    ParkedEvent, Query, SubscriptionName, Verification,
};

/// Events that are read in one transaction. A longer one would keep the write-ahead log from being emptied.
const CHUNK: usize = 512;
/// Steps of SQLite's machine between two checks of the interrupt: some tens of microseconds.
const STEPS: i32 = 1_000;

/// An [`EventReader`](crate::EventReader) with a connection of its own, which cannot write.
#[derive(Debug)]
pub(super) struct SqliteReader {
    path: PathBuf,
    connection: Connection,
    interrupt: Interrupt,
}

impl SqliteReader {
    pub(super) fn open(path: PathBuf, patience: Duration) -> Result<Self, SqliteError> {
        let connection = open_reader(&path, patience)?;
        Ok(Self { path, connection, interrupt: Interrupt::new() })
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(SqliteError) -> LogError {
        move |error| error.at(action, &self.path)
    }

    fn find(&self, id: EventId) -> Result<Option<Arc<Event>>, SqliteError> {
        let mut statement = self.connection.prepare_cached(events::GET)?;
        let mut rows = statement.query([number(id.get())])?;
        rows.next()?.map(events::read).transpose().map(|event| event.map(Arc::new))
    }

    /// The events that a query finds, by its index.
    fn find_all(&self, query: &Query) -> Result<EventPage, SqliteError> {
        let plan = Plan::of(query);
        let page = self.search(query, &plan)?;
        // A damaged row may have any time, and with it any place in an index; in the table it has its own.
        if page.is_whole() || plan.by_id { Ok(page) } else { self.search(query, &Plan::in_table(query)) }
    }

    /// Reads chunk after chunk, each in a transaction of its own.
    fn search(&self, query: &Query, plan: &Plan) -> Result<EventPage, SqliteError> {
        let mut window = Window::of(query, State::load(&self.connection)?.highest_id);
        self.sharpen(&mut window, plan, query)?;
        let mut gathering = Gathering::new(query);
        while let Some(missing) = gathering.missing()
            && !window.is_empty()
        {
            let size = if plan.exact { missing.min(CHUNK) } else { CHUNK };
            // For many short statements: SQLite checks the interrupt only within a long one.
            if self.interrupt.is_raised() {
                return Err(SqliteError::Interrupted);
            }
            let chunk = self.chunk(plan, window, size)?;
            match chunk.last() {
                Some(last) if chunk.len() == size => last.pass(&mut window, plan, query.order),
                _ => window.end(),
            }
            chunk.into_iter().for_each(|row| gathering.take(row));
        }
        Ok(gathering.page)
    }

    /// Narrows the ids by the times, or the times by the ids, whichever of the two the plan uses.
    fn sharpen(&self, window: &mut Window, plan: &Plan, query: &Query) -> Result<(), SqliteError> {
        if !plan.by_id {
            if let Some(cursor) = query.after {
                let time = self.time_at(cursor, query.order)?;
                window.pass(query.order, number(cursor.get()), time);
            }
            return Ok(());
        }
        window.narrow_ids(|sql, time| self.border(sql, time))
    }

    fn border(&self, sql: &str, time: i64) -> Result<Option<i64>, SqliteError> {
        Ok(self.connection.prepare_cached(sql)?.query_row([time], |row| row.get(0)).optional()?)
    }

    /// A bound on the times of the events that follow this one. Its own row may be damaged, so the one next to it is
    /// read as well.
    fn time_at(&self, cursor: EventId, order: Order) -> Result<Option<i64>, SqliteError> {
        let sql = match order {
            Order::Ascending => "SELECT min(recorded_at) FROM events WHERE id BETWEEN ?1 AND ?1 + 1",
            Order::Descending => "SELECT max(recorded_at) FROM events WHERE id BETWEEN ?1 - 1 AND ?1",
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([number(cursor.get())], |row| row.get(0))?)
    }

    fn chunk(&self, plan: &Plan, window: Window, size: usize) -> Result<Vec<ReadRow>, SqliteError> {
        let mut statement = self.connection.prepare_cached(&plan.sql)?;
        let mut rows = statement.query(params_from_iter(plan.values(window, size)))?;
        let mut chunk = Vec::new();
        while let Some(row) = rows.next()? {
            chunk.push(ReadRow::of(row)?);
        }
        Ok(chunk)
    }

    fn measure(&self) -> Result<EventStats, SqliteError> {
        // One transaction, so that the numbers are consistent.
        let transaction = self.connection.unchecked_transaction()?;
        let state = State::load(&transaction)?;
        let oldest: Option<i64> =
            transaction.prepare_cached("SELECT min(id) FROM events")?.query_row([], |row| row.get(0))?;
        Ok(state.stats(oldest.and_then(|id| EventId::new(id.unsigned_abs()))))
    }

    fn position_of(&self, subscription: &SubscriptionName) -> Result<Option<EventId>, SqliteError> {
        let mut statement = self.connection.prepare_cached("SELECT acknowledged FROM subscriptions WHERE name = ?1")?;
        let id: Option<i64> = statement.query_row([subscription.as_str()], |row| row.get(0)).optional()?;
        Ok(id.and_then(|id| EventId::new(id.unsigned_abs())))
    }
}

/// A row, as far as it could be read.
enum ReadRow {
    Event(Arc<Event>),
    Damaged(DamagedEvent),
}

impl ReadRow {
    fn of(row: &Row<'_>) -> Result<Self, SqliteError> {
        match events::read(row) {
            Ok(event) => Ok(Self::Event(Arc::new(event))),
            Err(SqliteError::Damaged(damaged)) => Ok(Self::Damaged(damaged)),
            Err(error) => Err(error),
        }
    }

    /// Goes on after the row. Where rows are found by their ids, times are not used: that of a damaged row would hide
    /// it.
    fn pass(&self, window: &mut Window, plan: &Plan, order: Order) {
        let (id, time) = match self {
            Self::Event(event) => (event.id, Some(nanoseconds(event.recorded_at))),
            Self::Damaged(damaged) => (damaged.event, None),
        };
        window.pass(order, number(id.get()), time.filter(|_| !plan.by_id));
    }
}

/// The rows that belong to the answer.
struct Gathering<'a> {
    query: &'a Query,
    to_skip: usize,
    page: EventPage,
}

impl<'a> Gathering<'a> {
    fn new(query: &'a Query) -> Self {
        Self { query, to_skip: query.offset, page: EventPage::default() }
    }

    /// How many events are still to be found; `None` if the answer is complete.
    fn missing(&self) -> Option<usize> {
        let stopped = !self.page.is_whole() && self.query.on_damaged != OnDamaged::Skip;
        let missing = self.query.limit.unwrap_or(usize::MAX) - self.page.events.len();
        (missing > 0 && !stopped).then(|| missing.saturating_add(self.to_skip))
    }

    fn take(&mut self, row: ReadRow) {
        if self.missing().is_none() {
            return;
        }
        match row {
            ReadRow::Damaged(damaged) => self.page.add_damaged(damaged),
            ReadRow::Event(event) if !self.query.matches(&event) => {}
            ReadRow::Event(_) if self.to_skip > 0 => self.to_skip -= 1,
            ReadRow::Event(event) => self.page.events.push(event),
        }
    }
}

impl EventReader for SqliteReader {
    fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, LogError> {
        self.find(id).map_err(self.failed("reading an event"))
    }

    fn query(&self, query: &Query) -> Result<Vec<Arc<Event>>, LogError> {
        let found = self.find_all(query).and_then(|page| page.accept(query.on_damaged).map_err(SqliteError::Damaged));
        found.map_err(self.failed("querying events"))
    }

    fn page(&self, query: &Query) -> Result<EventPage, LogError> {
        self.find_all(query).map_err(self.failed("querying events"))
    }

    fn stats(&self) -> Result<EventStats, LogError> {
        self.measure().map_err(self.failed("reading the statistics"))
    }

    fn acknowledged(&self, subscription: &SubscriptionName) -> Result<Option<EventId>, LogError> {
        self.position_of(subscription).map_err(self.failed("reading the position of a subscription"))
    }

    fn parked(&self, subscription: &SubscriptionName) -> Result<Vec<ParkedEvent>, LogError> {
        parking::parked(&self.connection, subscription).map_err(self.failed("reading parked events"))
    }

    fn moved_aside(&self, at_most: usize) -> Result<Vec<DamagedEvent>, LogError> {
        moved_aside(&self.connection, at_most).map_err(self.failed("reading what was moved aside"))
    }

    fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<Verification, LogError> {
        verify::verify(&self.connection, progress).map_err(self.failed("verifying"))
    }

    fn interrupt_by(&mut self, interrupt: &Interrupt) {
        self.interrupt = interrupt.clone();
        let interrupt = interrupt.clone();
        // It only refuses connections that are not owned, which this one is.
        let _ = self.connection.progress_handler(STEPS, Some(move || interrupt.is_raised()));
    }
}
