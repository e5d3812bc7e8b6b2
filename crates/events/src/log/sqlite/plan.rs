//! Which index answers a query, and the statement that reads a chunk of the answer from it.
//!
//! Time never decreases from one id to the next, so the order by id is the order by time as well, whichever of the two
//! an index keeps. The planner is given the index, since it would otherwise guess from statistics that are never
//! gathered, and could read and sort all matching rows before it returns the first one.

use std::collections::BTreeSet;

use rusqlite::types::Value;

use super::events;
use super::value::nanoseconds;
use super::value::number;
use crate::{EventKind, Order, Query};

/// The most values of one condition for which a statement has a part each; SQLite takes 500 parts.
const MAX_PARTS: usize = 16;
/// The most values of a condition; beyond, it is left to `Query::matches`. SQLite takes 32,766 parameters.
const MAX_VALUES: usize = 1000;

/// The range of the log to search, all bounds included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    first: i64,
    last: i64,
    earliest: i64,
    latest: i64,
}

impl Window {
    /// The range of a query, in a log whose highest id is `highest`.
    pub(super) fn of(query: &Query, highest: u64) -> Self {
        let mut window = Self {
            first: 1,
            last: number(highest),
            earliest: query.from.map_or(i64::MIN, nanoseconds),
            latest: query.until.map_or(i64::MAX, |until| nanoseconds(until).saturating_sub(1)),
        };
        if let Some(cursor) = query.after {
            window.pass(query.order, number(cursor.get()), None);
        }
        window.last = query.up_to.map_or(window.last, |last| window.last.min(number(last.get())));
        window
    }

    /// Goes on after the event with this id, which was recorded at this time if that is known.
    pub(super) fn pass(&mut self, order: Order, id: i64, time: Option<i64>) {
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
    pub(super) fn narrow_ids<E>(&mut self, border: impl Fn(&str, i64) -> Result<Option<i64>, E>) -> Result<(), E> {
        if self.earliest > i64::MIN {
            self.first = self.first.max(border(FIRST_SINCE, self.earliest)?.unwrap_or(i64::MAX));
        }
        if self.latest < i64::MAX {
            self.last = self.last.min(border(LAST_UNTIL, self.latest)?.unwrap_or(0));
        }
        Ok(())
    }

    /// Nothing is left to search.
    pub(super) fn end(&mut self) {
        self.last = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first > self.last || self.earliest > self.latest
    }
}

/// A statement for chunks of the answer; the same for all chunks, so that it is prepared once.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) sql: String,
    /// The values of the statement besides the window and the limit.
    values: Vec<Value>,
    /// Whether the rows are read by id alone, so that times are turned into ids first.
    pub(super) by_id: bool,
    /// Whether the statement covers the whole query, so that no row is read in vain.
    pub(super) exact: bool,
}

impl Plan {
    pub(super) fn of(query: &Query) -> Self {
        Self::with(query, Access::of)
    }

    /// The plan that reads the table itself, in the order of ids.
    pub(super) fn in_table(query: &Query) -> Self {
        Self::with(query, |_, _, _| Access::IN_TABLE)
    }

    fn with(query: &Query, access: impl FnOnce(&Query, usize, usize) -> Access) -> Self {
        let mut plan = Self { sql: String::new(), values: Vec::new(), by_id: false, exact: query.payload.is_empty() };
        // Each value once: a second part of the statement would find its rows again.
        let causes: BTreeSet<i64> = query.causes.iter().map(|cause| number(cause.get())).collect();
        let causes = plan.bind_all(causes.into_iter().map(Value::Integer));
        let kinds: BTreeSet<&str> = query.kinds.iter().map(EventKind::as_str).collect();
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
        plan.sql = format!("{} ORDER BY {} LIMIT ?5", parts.join(" UNION ALL "), access.order(query.order));
        plan.by_id = access.source == Access::TABLE;
        plan
    }

    /// The values of the statement's parameters.
    pub(super) fn values(&self, window: Window, limit: usize) -> Vec<Value> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let fixed = [window.first, window.last, window.earliest, window.latest, limit];
        fixed.map(Value::Integer).into_iter().chain(self.values.iter().cloned()).collect()
    }

    fn equalities(&mut self, query: &Query) -> String {
        let mut wanted = Vec::new();
        if let Some(id) = query.correlation {
            wanted.push(("correlation_id", Value::Blob(id.as_bytes().to_vec())));
        }
        if let Some(source) = &query.source {
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
            () if query.correlation.is_some() => Self { source: "INDEXED BY events_by_correlation", split: None },
            () if query.source.is_some() => Self { source: "INDEXED BY events_by_source", split: None },
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
