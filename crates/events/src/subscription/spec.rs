use crate::{EventId, EventKind, FailureRule, OnDamaged};

/// The events that a subscription follows, and where it begins.
///
/// ```
/// use foundation_events::{EventId, EventKind, SubscriptionSpec};
///
/// const PLACED: EventKind = EventKind::from_static("order_placed");
/// let orders = SubscriptionSpec::after(EventId::FIRST).kind(PLACED).consumer("billing");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionSpec {
    pub(super) start: Start,
    pub(super) kinds: Vec<EventKind>,
    pub(crate) consumer: Option<String>,
    pub(super) on_damaged: OnDamaged,
    pub(crate) on_failure: FailureRule,
}

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Beginning,
    After(EventId),
    Now,
}

impl SubscriptionSpec {
    /// All events that were ever recorded, then those to come. If the oldest were pruned, that is reported first.
    pub fn from_beginning() -> Self {
        Self::starting(Start::Beginning)
    }

    /// The events recorded after this one, then those to come. An id that is not given yet is waited for.
    pub fn after(event: EventId) -> Self {
        Self::starting(Start::After(event))
    }

    /// Only events recorded from now on: none whose append was answered before, and none that is
    /// [imported](crate::EventStore::import), since it was recorded elsewhere before. A durable subscription skips what
    /// is imported while the process runs, also when it is resumed with this.
    pub fn from_now() -> Self {
        Self::starting(Start::Now)
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

    /// The name of this consumer, which is reported to a second one that is refused. By default, the number of its
    /// tokio task, or that it is outside of any task.
    pub fn consumer(mut self, name: impl Into<String>) -> Self {
        self.consumer = Some(name.into());
        self
    }

    /// What happens at an event that is damaged or missing from the log; [`OnDamaged::Report`] by default.
    pub fn on_damaged(mut self, choice: OnDamaged) -> Self {
        self.on_damaged = choice;
        self
    }

    /// What happens to an event on which the consumer of a durable subscription fails; by default, it is shown again
    /// three times and then parked.
    pub fn on_failure(mut self, rule: FailureRule) -> Self {
        self.on_failure = rule;
        self
    }

    /// The position after which it begins, in a log whose highest id is `newest`, 0 if it has none.
    pub(crate) fn begins_after(&self, newest: u64) -> u64 {
        match self.start {
            Start::Beginning => 0,
            Start::After(event) => event.get(),
            Start::Now => newest,
        }
    }

    fn starting(start: Start) -> Self {
        let (on_damaged, on_failure) = Default::default();
        Self { start, kinds: Vec::new(), consumer: None, on_damaged, on_failure }
    }
}
