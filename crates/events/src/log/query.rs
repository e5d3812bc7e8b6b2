use std::time::{Duration, SystemTime};

use serde_json::Value;
use uuid::Uuid;

use crate::{Event, EventError, EventId, EventKind, EventSource, OnDamaged};

/// Which events to read, in which order, and how many.
///
/// Every condition narrows the query; one without conditions asks for everything, oldest first. A range
/// of time includes its beginning and excludes its end, so that ranges can be laid side by side; one
/// that ends before it begins finds nothing.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use foundation_events::{EventKind, Order, Query};
///
/// let recent_orders = Query::new()
///     .kind(EventKind::new("order_placed")?)
///     .from(SystemTime::now() - Duration::from_secs(3600))
///     .order(Order::Descending)
///     .limit(20);
/// # Ok::<(), foundation_events::EventError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(QueryParts);

/// The parts of a [`Query`], for implementors of [`EventReader`](crate::EventReader) that have an index for some of them.
///
/// ```
/// use foundation_events::{EventKind, Query};
///
/// const PLACED: EventKind = EventKind::from_static("order_placed");
/// assert_eq!(Query::new().kind(PLACED).parts().kinds, [PLACED]);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryParts {
    /// The kinds, one of which an event must have; any if there are none.
    pub kinds: Vec<EventKind>,
    /// The time at which an event was recorded, or later.
    pub from: Option<SystemTime>,
    /// The time before which an event was recorded.
    pub until: Option<SystemTime>,
    /// The correlation id of an event.
    pub correlation: Option<Uuid>,
    /// The causes, one of which an event must have; any if there are none.
    pub causes: Vec<EventId>,
    /// The source of an event; any actor of the service if it names none.
    pub source: Option<EventSource>,
    /// JSON pointers into the payload of an event, each with the value there.
    pub payload: Vec<(String, Value)>,
    /// The cursor: the id that an event must come after, in the order of the query.
    pub after: Option<EventId>,
    /// The last id that an event may have.
    pub up_to: Option<EventId>,
    /// What happens at a damaged event.
    pub on_damaged: OnDamaged,
    /// The order.
    pub order: Order,
    /// How many of the first matching events to skip.
    pub offset: usize,
    /// How many events to return at most.
    pub limit: Option<usize>,
    /// How long a store may take to answer, `Some(None)` for no limit; `None` for that of the store.
    pub within: Option<Option<Duration>>,
}

/// The order in which a query answers.
///
/// ```
/// assert_eq!(foundation_events::Order::default(), foundation_events::Order::Ascending);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

impl Query {
    /// All events, oldest first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its parts.
    pub fn parts(&self) -> &QueryParts {
        &self.0
    }

    /// Only events of this kind, or of another one that was named before.
    pub fn kind(mut self, kind: EventKind) -> Self {
        self.0.kinds.push(kind);
        self
    }

    /// Only events of one of these kinds, or of one that was named before; no kind at all means any.
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = EventKind>) -> Self {
        self.0.kinds.extend(kinds);
        self
    }

    /// Only events recorded at this time or later.
    pub fn from(mut self, time: SystemTime) -> Self {
        self.0.from = Some(time);
        self
    }

    /// Only events recorded before this time.
    pub fn until(mut self, time: SystemTime) -> Self {
        self.0.until = Some(time);
        self
    }

    /// Only events with this correlation id.
    pub fn correlation(mut self, id: Uuid) -> Self {
        self.0.correlation = Some(id);
        self
    }

    /// Only events that this event has caused, or another one that was named before.
    pub fn causation(mut self, cause: EventId) -> Self {
        self.0.causes.push(cause);
        self
    }

    /// Only events that this service has reported; if an actor is named as well, only those of that actor.
    pub fn source(mut self, source: impl Into<EventSource>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Only events whose payload has this value at this JSON pointer ([RFC 6901]): `""` is the whole payload,
    /// `"/order/id"` a field of a field, `"/0"` the first of a list. Several conditions must all hold.
    ///
    /// No log has an index for it: every event that the other conditions leave is checked.
    ///
    /// ```
    /// use foundation_events::Query;
    ///
    /// let of_tea = Query::new().payload("/order/item", "tea")?;
    /// assert!(Query::new().payload("order.item", "tea").is_err());
    /// # Ok::<(), foundation_events::EventError>(())
    /// ```
    ///
    /// [RFC 6901]: https://www.rfc-editor.org/rfc/rfc6901
    ///
    /// # Errors
    /// [`EventError::InvalidPointer`].
    pub fn payload(mut self, pointer: impl Into<String>, value: impl Into<Value>) -> Result<Self, EventError> {
        let pointer = pointer.into();
        if !(pointer.is_empty() || pointer.starts_with('/')) {
            return Err(EventError::invalid_pointer(&pointer));
        }
        self.0.payload.push((pointer, value.into()));
        Ok(self)
    }

    /// Only events after the one with this id in the order of the query: the cursor for going on after the last event
    /// of the page before. The event itself may be pruned by then.
    pub fn after(mut self, id: EventId) -> Self {
        self.0.after = Some(id);
        self
    }

    /// Only this event and those recorded before it, or before another one that was named before. With the
    /// [position](crate::EventStore::position) of a store it is what was recorded by now, whatever is recorded
    /// meanwhile.
    pub fn up_to(mut self, id: EventId) -> Self {
        self.0.up_to = Some(self.0.up_to.map_or(id, |last| last.min(id)));
        self
    }

    /// What happens at a damaged event; by default, the query fails with an error that names it.
    ///
    /// Whether a damaged event meets the other conditions is not known: it counts if it has to be visited.
    pub fn on_damaged(mut self, choice: OnDamaged) -> Self {
        self.0.on_damaged = choice;
        self
    }

    /// The order; ascending by default.
    pub fn order(mut self, order: Order) -> Self {
        self.0.order = order;
        self
    }

    /// Skips the first `count` matching events, in the order of the query.
    pub fn offset(mut self, count: usize) -> Self {
        self.0.offset = count;
        self
    }

    /// At most `count` events. Without it a log returns all that match, and a store refuses a query that finds more
    /// than [`query_events`](crate::EventStoreLimits::query_events), since all of them are in memory at once.
    pub fn limit(mut self, count: usize) -> Self {
        self.0.limit = Some(count);
        self
    }

    /// How long a store may take to answer, without a limit if that is `None`;
    /// [`query_time`](crate::EventStoreLimits::query_time) by default. A log in memory ignores it: it answers in place.
    ///
    /// ```
    /// use std::time::Duration;
    /// use foundation_events::Query;
    ///
    /// let of_tea = Query::new().payload("/order/item", "tea")?.within(Duration::from_secs(60));
    /// # Ok::<(), foundation_events::EventError>(())
    /// ```
    pub fn within(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.0.within = Some(limit.into());
        self
    }

    /// Whether an event meets all conditions; order, offset and limit do not matter.
    ///
    /// ```
    /// use std::time::UNIX_EPOCH;
    /// use foundation_events::{EventId, NewEvent, Query};
    ///
    /// let event = NewEvent::new("opened")?.record(EventId::FIRST, "production", UNIX_EPOCH);
    /// assert!(Query::new().from(UNIX_EPOCH).matches(&event));
    /// assert!(!Query::new().until(UNIX_EPOCH).matches(&event));
    /// # Ok::<(), foundation_events::EventError>(())
    /// ```
    pub fn matches(&self, event: &Event) -> bool {
        !self.is_before(event.recorded_at)
            && !self.is_past(event.recorded_at)
            && (self.0.kinds.is_empty() || self.0.kinds.contains(&event.kind))
            && self.0.correlation.is_none_or(|id| id == event.correlation_id)
            && (self.0.causes.is_empty() || event.causation_id.is_some_and(|cause| self.0.causes.contains(&cause)))
            && self.0.source.as_ref().is_none_or(|wanted| event.source.as_ref().is_some_and(|it| wanted.is_met_by(it)))
            && self.0.payload.iter().all(|(pointer, value)| event.payload.pointer(pointer) == Some(value))
            && self.comes(event.id)
            && self.0.up_to.is_none_or(|last| event.id <= last)
    }

    /// Selects the answer from the candidates, which are in ascending order.
    ///
    /// The part that every log shares, for implementors of [`EventLog`](crate::EventLog). It stops as soon as the limit
    /// is reached, and checks each candidate before that once.
    ///
    /// ```
    /// use std::time::UNIX_EPOCH;
    /// use foundation_events::{EventId, NewEvent, Order, Query};
    ///
    /// let ids = [EventId::FIRST, EventId::new(2).unwrap()];
    /// let events = ids.map(|id| NewEvent::new("ticked").unwrap().record(id, "production", UNIX_EPOCH));
    /// let newest = Query::new().order(Order::Descending).limit(1);
    /// assert_eq!(newest.select(&events)[0].id, ids[1]);
    /// ```
    pub fn select<I>(&self, candidates: I) -> Vec<I::Item>
    where
        I: IntoIterator<IntoIter: DoubleEndedIterator>,
        I::Item: AsRef<Event>,
    {
        let candidates = candidates.into_iter();
        match self.0.order {
            Order::Ascending => self.page(candidates),
            Order::Descending => self.page(candidates.rev()),
        }
    }

    fn page<E: AsRef<Event>>(&self, candidates: impl Iterator<Item = E>) -> Vec<E> {
        candidates
            .filter(|event| self.matches(event.as_ref()))
            .skip(self.0.offset)
            .take(self.0.limit.unwrap_or(usize::MAX))
            .collect()
    }

    /// Whether it asks for every event of a range of ids, in ascending order.
    pub(crate) fn is_whole_range(&self) -> bool {
        let QueryParts { after, up_to, on_damaged, within, .. } = self.0;
        self.0 == QueryParts { after, up_to, on_damaged, within, ..QueryParts::default() }
    }

    /// Whether an id comes after the cursor, in the order of the query.
    fn comes(&self, id: EventId) -> bool {
        self.0.after.is_none_or(|cursor| match self.0.order {
            Order::Ascending => id > cursor,
            Order::Descending => id < cursor,
        })
    }

    /// Whether a time lies before the range.
    fn is_before(&self, time: SystemTime) -> bool {
        self.0.from.is_some_and(|from| time < from)
    }

    /// Whether a time lies past the range.
    fn is_past(&self, time: SystemTime) -> bool {
        self.0.until.is_some_and(|until| time >= until)
    }
}

impl AsRef<Event> for Event {
    fn as_ref(&self) -> &Event {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_leaves_a_range_of_events_whole() {
        assert!(Query::new().within(Duration::from_secs(600)).is_whole_range());
        assert!(!Query::new().limit(10).is_whole_range());
    }
}
