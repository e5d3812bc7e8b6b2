use std::time::SystemTime;

use uuid::Uuid;

use super::event::Event;
use super::kind::EventKind;

/// Which events to read, in which order, and how many.
///
/// Every condition narrows the query; one without conditions asks for everything, oldest first. A range
/// of time includes its beginning and excludes its end, so that ranges can be laid side by side; one
/// that ends before it begins finds nothing.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use foundation::{EventKind, Order, Query};
///
/// let recent_orders = Query::new()
///     .kind(EventKind::new("order_placed")?)
///     .from(SystemTime::now() - Duration::from_secs(3600))
///     .order(Order::Descending)
///     .limit(20);
/// # Ok::<(), foundation::EventError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    kinds: Vec<EventKind>,
    from: Option<SystemTime>,
    until: Option<SystemTime>,
    correlation: Option<Uuid>,
    order: Order,
    offset: usize,
    limit: Option<usize>,
}

/// The order in which a query answers.
///
/// ```
/// assert_eq!(foundation::Order::default(), foundation::Order::Ascending);
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

    /// Only events of this kind, or of another one that was named before.
    pub fn kind(mut self, kind: EventKind) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Only events of one of these kinds, or of one that was named before; no kind at all means any.
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = EventKind>) -> Self {
        self.kinds.extend(kinds);
        self
    }

    /// Only events recorded at this time or later.
    pub fn from(mut self, time: SystemTime) -> Self {
        self.from = Some(time);
        self
    }

    /// Only events recorded before this time.
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }

    /// Only events with this correlation id.
    pub fn correlation(mut self, id: Uuid) -> Self {
        self.correlation = Some(id);
        self
    }

    /// In this order; ascending without it.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Without the first `count` that match, in the order of the query.
    pub fn offset(mut self, count: usize) -> Self {
        self.offset = count;
        self
    }

    /// At most `count` events; without it there is no bound.
    pub fn limit(mut self, count: usize) -> Self {
        self.limit = Some(count);
        self
    }

    /// Whether an event meets all conditions; order, offset and limit have no part in this.
    ///
    /// ```
    /// use std::time::UNIX_EPOCH;
    /// use foundation::{EventId, NewEvent, Query};
    ///
    /// let event = NewEvent::new("opened")?.record(EventId::FIRST, "production", UNIX_EPOCH);
    /// assert!(Query::new().from(UNIX_EPOCH).matches(&event));
    /// assert!(!Query::new().until(UNIX_EPOCH).matches(&event));
    /// # Ok::<(), foundation::EventError>(())
    /// ```
    pub fn matches(&self, event: &Event) -> bool {
        !self.is_before(event.recorded_at)
            && !self.is_past(event.recorded_at)
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.correlation.is_none_or(|id| id == event.correlation_id)
    }

    /// Picks the answer out of the candidates, which are in ascending order.
    ///
    /// The part that every log shares, for those who write an [`EventLog`](crate::EventLog) of their own.
    /// It stops as soon as the limit is reached, and looks at each candidate before that once.
    ///
    /// ```
    /// use std::time::UNIX_EPOCH;
    /// use foundation::{EventId, NewEvent, Order, Query};
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
        match self.order {
            Order::Ascending => self.page(candidates),
            Order::Descending => self.page(candidates.rev()),
        }
    }

    fn page<E: AsRef<Event>>(&self, candidates: impl Iterator<Item = E>) -> Vec<E> {
        candidates
            .filter(|event| self.matches(event.as_ref()))
            .skip(self.offset)
            .take(self.limit.unwrap_or(usize::MAX))
            .collect()
    }

    /// Whether a time lies before the range.
    pub(super) fn is_before(&self, time: SystemTime) -> bool {
        self.from.is_some_and(|from| time < from)
    }

    /// Whether a time lies past the range.
    pub(super) fn is_past(&self, time: SystemTime) -> bool {
        self.until.is_some_and(|until| time >= until)
    }
}

impl AsRef<Event> for Event {
    fn as_ref(&self) -> &Event {
        self
    }
}
