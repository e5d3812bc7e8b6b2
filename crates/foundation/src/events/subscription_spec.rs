use super::failure_rule::FailureRule;
use super::id::EventId;
use super::kind::EventKind;
use super::on_damaged::OnDamaged;

/// Which events to follow, and from where on.
///
/// ```
/// use foundation::{EventId, EventKind, SubscriptionSpec};
///
/// const PLACED: EventKind = EventKind::from_static("order_placed");
/// let orders = SubscriptionSpec::after(EventId::FIRST).kind(PLACED).consumer("billing");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionSpec {
    pub(super) start: Start,
    pub(super) kinds: Vec<EventKind>,
    pub(super) consumer: Option<String>,
    pub(super) on_damaged: OnDamaged,
    pub(super) on_failure: FailureRule,
}

/// The first event that a subscription is to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Beginning,
    After(EventId),
    Now,
}

impl SubscriptionSpec {
    /// Everything that was ever recorded, and then whatever will be. If the oldest events were pruned, that is told first.
    pub fn from_beginning() -> Self {
        Self::starting(Start::Beginning)
    }

    /// What was recorded after this event, and then whatever will be. An id that is not given yet is waited for.
    pub fn after(event: EventId) -> Self {
        Self::starting(Start::After(event))
    }

    /// Only what will be recorded from now on: nothing whose append was answered before, and nothing that is
    /// [imported](crate::EventStore::import), which was recorded elsewhere before. A durable subscription passes over what is
    /// imported while the process runs, also when it is resumed with this.
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

    /// What this consumer is called: whoever is refused a durable subscription because of it is told. The number of its
    /// tokio task if it is not said, or that it is outside of any task.
    pub fn consumer(mut self, name: impl Into<String>) -> Self {
        self.consumer = Some(name.into());
        self
    }

    /// What happens at an event that is damaged or missing from the log; [`OnDamaged::Tell`] without it.
    pub fn on_damaged(mut self, choice: OnDamaged) -> Self {
        self.on_damaged = choice;
        self
    }

    /// What becomes of an event on which the consumer of a durable subscription fails; without it, the event is shown again
    /// three times and then parked.
    pub fn on_failure(mut self, rule: FailureRule) -> Self {
        self.on_failure = rule;
        self
    }

    fn starting(start: Start) -> Self {
        let (on_damaged, on_failure) = Default::default();
        Self { start, kinds: Vec::new(), consumer: None, on_damaged, on_failure }
    }
}
