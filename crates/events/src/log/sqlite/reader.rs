//! Reading a file: which index answers a query, the statement that reads a chunk of the answer from it, and the reader
//! that gathers the chunks.
//!
//! Time never decreases from one id to the next, so the order by id is the order by time as well, whichever of the two
//! an index keeps. The planner is given the index, since it would otherwise guess from statistics that are never
//! gathered, and could read and sort all matching rows before it returns the first one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::connection::open_reader;
use super::error::SqliteError;
use super::events::{self, State, moved_aside};
use super::parking;
use super::value::nanoseconds;
use super::value::number;
use super::verify;
use crate::{
    DamagedEvent, Event, EventId, EventKind, EventPage, EventReader, EventStats, Interrupt, LogError, OnDamaged, Order,
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
                Some(last) if chunk.len() == size => last.pass(&mut window, plan, query.parts().order),
                _ => window.end(),
            }
            chunk.into_iter().for_each(|row| gathering.take(row));
        }
        Ok(gathering.page)
    }

    /// Narrows the ids by the times, or the times by the ids, whichever of the two the plan uses.
    fn sharpen(&self, window: &mut Window, plan: &Plan, query: &Query) -> Result<(), SqliteError> {
        if !plan.by_id {
            if let Some(cursor) = query.parts().after {
                let time = self.time_at(cursor, query.parts().order)?;
                window.pass(query.parts().order, number(cursor.get()), time);
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
        Self { query, to_skip: query.parts().offset, page: EventPage::default() }
    }

    /// How many events are still to be found; `None` if the answer is complete.
    fn missing(&self) -> Option<usize> {
        let stopped = !self.page.is_whole() && self.query.parts().on_damaged != OnDamaged::Skip;
        let missing = self.query.parts().limit.unwrap_or(usize::MAX) - self.page.events.len();
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
        let found =
            self.find_all(query).and_then(|page| page.accept(query.parts().on_damaged).map_err(SqliteError::Damaged));
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

// ---- plans ----

/// The most values of one condition for which a statement has a part each; SQLite takes 500 parts.
const MAX_PARTS: usize = 16;
/// The most values of a condition; beyond, it is left to `Query::matches`. SQLite takes 32,766 parameters.
const MAX_VALUES: usize = 1000;

/// The range of the log to search, all bounds included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    first: i64,
    last: i64,
    earliest: i64,
    latest: i64,
}

impl Window {
    /// The range of a query, in a log whose highest id is `highest`.
    fn of(query: &Query, highest: u64) -> Self {
        let mut window = Self {
            first: 1,
            last: number(highest),
            earliest: query.parts().from.map_or(i64::MIN, nanoseconds),
            latest: query.parts().until.map_or(i64::MAX, |until| nanoseconds(until).saturating_sub(1)),
        };
        if let Some(cursor) = query.parts().after {
            window.pass(query.parts().order, number(cursor.get()), None);
        }
        window.last = query.parts().up_to.map_or(window.last, |last| window.last.min(number(last.get())));
        window
    }

    /// Goes on after the event with this id, which was recorded at this time if that is known.
    fn pass(&mut self, order: Order, id: i64, time: Option<i64>) {
        match order {
            Order::Ascending => {
                self.first = self.first.max(id.saturating_add(1));
                self.earliest = self.earliest.max(time.unwrap_or(i64::MIN));
            }
            Order::Descending => {
                self.last = self.last.min(id - 1);
                self.latest = self.latest.min(time.unwrap_or(i64::MAX));
            }
        }
    }

    /// Narrows the ids by the times; `border` answers these statements for a time.
    fn narrow_ids<E>(&mut self, border: impl Fn(&str, i64) -> Result<Option<i64>, E>) -> Result<(), E> {
        if self.earliest > i64::MIN {
            self.first = self.first.max(border(FIRST_SINCE, self.earliest)?.unwrap_or(i64::MAX));
        }
        if self.latest < i64::MAX {
            self.last = self.last.min(border(LAST_UNTIL, self.latest)?.unwrap_or(0));
        }
        Ok(())
    }

    /// Nothing is left to search.
    fn end(&mut self) {
        self.last = 0;
    }

    fn is_empty(&self) -> bool {
        self.first > self.last || self.earliest > self.latest
    }
}

/// A statement for chunks of the answer; the same for all chunks, so that it is prepared once.
#[derive(Debug, PartialEq)]
struct Plan {
    sql: String,
    /// The values of the statement besides the window and the limit.
    values: Vec<Value>,
    /// Whether the rows are read by id alone, so that times are turned into ids first.
    by_id: bool,
    /// Whether the statement covers the whole query, so that no row is read in vain.
    exact: bool,
}

impl Plan {
    fn of(query: &Query) -> Self {
        Self::with(query, Access::of)
    }

    /// The plan that reads the table itself, in the order of ids.
    fn in_table(query: &Query) -> Self {
        Self::with(query, |_, _, _| Access::IN_TABLE)
    }

    fn with(query: &Query, access: impl FnOnce(&Query, usize, usize) -> Access) -> Self {
        let mut plan =
            Self { sql: String::new(), values: Vec::new(), by_id: false, exact: query.parts().payload.is_empty() };
        // Each value once: a second part of the statement would find its rows again.
        let causes: BTreeSet<i64> = query.parts().causes.iter().map(|cause| number(cause.get())).collect();
        let causes = plan.bind_all(causes.into_iter().map(Value::Integer));
        let kinds: BTreeSet<&str> = query.parts().kinds.iter().map(EventKind::as_str).collect();
        let kinds = plan.bind_all(kinds.into_iter().map(|kind| Value::Text(kind.to_owned())));
        let access = access(query, causes.len(), kinds.len());
        let mut conditions = plan.equalities(query);
        let mut parts = vec![String::new()];
        for (column, names) in [("causation_id", causes), ("kind", kinds)] {
            if names.is_empty() {
                continue;
            }
            if Some(column) == access.split {
                parts = names.iter().map(|name| format!(" AND {column} = {name}")).collect();
            } else {
                conditions += &format!(" AND {column} IN ({})", names.join(", "));
            }
        }
        let head = format!("SELECT {} FROM events {} WHERE {WINDOW}{conditions}", events::COLUMNS, access.source);
        let parts: Vec<String> = parts.into_iter().map(|part| format!("{head}{part}")).collect();
        plan.sql = format!("{} ORDER BY {} LIMIT ?5", parts.join(" UNION ALL "), access.order(query.parts().order));
        plan.by_id = access.source == Access::TABLE;
        plan
    }

    /// The values of the statement's parameters.
    fn values(&self, window: Window, limit: usize) -> Vec<Value> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let fixed = [window.first, window.last, window.earliest, window.latest, limit];
        fixed.map(Value::Integer).into_iter().chain(self.values.iter().cloned()).collect()
    }

    fn equalities(&mut self, query: &Query) -> String {
        let mut wanted = Vec::new();
        if let Some(id) = query.parts().correlation {
            wanted.push(("correlation_id", Value::Blob(id.as_bytes().to_vec())));
        }
        if let Some(source) = &query.parts().source {
            wanted.push(("source", Value::Text(source.service.clone())));
            wanted.extend(source.actor_id.clone().map(|actor| ("source_actor", Value::Text(actor))));
        }
        wanted.into_iter().map(|(column, value)| format!(" AND {column} = {}", self.bind(value))).collect()
    }

    /// The names of new parameters; none if there are too many of them, which leaves the condition to the reader.
    fn bind_all(&mut self, values: impl ExactSizeIterator<Item = Value>) -> Vec<String> {
        if values.len() > MAX_VALUES {
            self.exact = false;
            return Vec::new();
        }
        values.map(|value| self.bind(value)).collect()
    }

    /// The name of a new parameter.
    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len() + 5)
    }
}

const FIRST_SINCE: &str =
    "SELECT id FROM events INDEXED BY events_by_time WHERE recorded_at >= ?1 ORDER BY recorded_at, id LIMIT 1";
const LAST_UNTIL: &str = "SELECT id FROM events INDEXED BY events_by_time WHERE recorded_at <= ?1 ORDER BY recorded_at DESC, id DESC LIMIT 1";
const WINDOW: &str = "id BETWEEN ?1 AND ?2 AND recorded_at BETWEEN ?3 AND ?4";

/// The index, or the table itself, by id; and the condition whose values get a part of the statement each.
struct Access {
    source: &'static str,
    split: Option<&'static str>,
}

impl Access {
    const TABLE: &str = "NOT INDEXED";
    const CAUSE: &str = "INDEXED BY events_by_cause";
    const IN_TABLE: Self = Self { source: Self::TABLE, split: None };

    /// The access that usually narrows most.
    fn of(query: &Query, causes: usize, kinds: usize) -> Self {
        let splits = 1..=MAX_PARTS;
        match () {
            () if causes > 0 => Self { source: Self::CAUSE, split: splits.contains(&causes).then_some("causation_id") },
            () if query.parts().correlation.is_some() => {
                Self { source: "INDEXED BY events_by_correlation", split: None }
            }
            () if query.parts().source.is_some() => Self { source: "INDEXED BY events_by_source", split: None },
            () if splits.contains(&kinds) => Self { source: "INDEXED BY events_by_kind", split: Some("kind") },
            () => Self::IN_TABLE,
        }
    }

    /// The order by the columns of the index, so that nothing has to be sorted; parts are merged.
    fn order(&self, order: Order) -> &'static str {
        match (self.source, order) {
            (Self::TABLE | Self::CAUSE, Order::Ascending) => "id",
            (Self::TABLE | Self::CAUSE, Order::Descending) => "id DESC",
            (_, Order::Ascending) => "recorded_at, id",
            (_, Order::Descending) => "recorded_at DESC, id DESC",
        }
    }
}

#[cfg(test)]
mod plan_tests;
