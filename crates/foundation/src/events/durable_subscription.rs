//! Following the events of a store across restarts of whoever follows.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;

use super::client::EventStore;
use super::event::Event;
use super::id::EventId;
use super::seats::Seat;
use super::subscription::EventSubscription;
use super::subscription_error::SubscriptionError;
use super::subscription_name::SubscriptionName;

/// A subscription whose position the store remembers: under its name it goes on after the last event that was
/// [acknowledged](Self::ack), after a restart of the consumer, of the store, and, if the log outlives it, of the process. As
/// a persistent subscription with one consumer in EventStoreDB, or a consumer with a durable name in NATS JetStream.
///
/// So each event is shown at least once: what was shown and not acknowledged is shown again. It has one consumer at a time;
/// a second one is refused with the name of the first ([`SubscriptionError::Taken`]), and has its turn when that one is
/// dropped. For the rest it is as an [`EventSubscription`].
///
/// ```
/// use foundation::{Foundation, NewEvent, SubscriptionName, SubscriptionSpec};
///
/// const BILLING: SubscriptionName = SubscriptionName::from_static("billing");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let foundation = Foundation::builder().start().await?;
/// let events = foundation.events();
/// events.append_batch(vec![NewEvent::new("ordered")?, NewEvent::new("paid")?]).await?;
///
/// let mut billing = events.subscribe_durable(BILLING, SubscriptionSpec::from_beginning()).await?;
/// let ordered = billing.next().await?.expect("the namespace is there");
/// billing.ack(ordered.id).await?;
/// drop(billing);
///
/// let mut billing = events.subscribe_durable(BILLING, SubscriptionSpec::from_beginning()).await?;
/// assert_eq!(billing.next().await?.expect("as before").kind.as_str(), "paid");
/// foundation.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a subscription that is dropped shows nothing"]
pub struct DurableSubscription {
    subscription: EventSubscription,
    store: EventStore,
    seat: Seat,
    given_out: Option<EventId>,
    acknowledged: Option<EventId>,
}

impl DurableSubscription {
    pub(super) fn new(
        subscription: EventSubscription,
        store: EventStore,
        seat: Seat,
        acknowledged: Option<EventId>,
    ) -> Self {
        Self { subscription, store, seat, given_out: None, acknowledged }
    }

    /// Waits for the next event; `None` when the namespace has ended. Nothing is lost if it is cancelled.
    ///
    /// # Errors
    /// As [`EventSubscription::next`].
    pub async fn next(&mut self) -> Result<Option<Arc<Event>>, SubscriptionError> {
        poll_fn(|context| self.poll(context)).await.transpose()
    }

    /// Acknowledges this event and all before it; returns when the store remembers that.
    ///
    /// It costs a commit, which it may share with appends: a consumer of many events acknowledges the last of a number of
    /// them. Acknowledging what is acknowledged already costs nothing.
    ///
    /// # Errors
    /// [`SubscriptionError::NotGivenOut`] if the event was neither shown nor told as missed, [`SubscriptionError::Store`].
    pub async fn ack(&mut self, event: EventId) -> Result<(), SubscriptionError> {
        if Some(event) <= self.acknowledged {
            return Ok(());
        }
        if Some(event) > self.given_out {
            let (name, last) = (self.name().clone(), self.given_out);
            return Err(SubscriptionError::NotGivenOut { name, event, last });
        }
        self.store.remember(self.name(), event).await?;
        self.acknowledged = Some(event);
        Ok(())
    }

    /// The name under which the store remembers it.
    pub fn name(&self) -> &SubscriptionName {
        self.seat.name()
    }

    /// The last event that was acknowledged, after which it would be resumed; `None` at the beginning.
    pub fn acknowledged(&self) -> Option<EventId> {
        self.acknowledged
    }

    /// How many events it has skipped because they are damaged or missing.
    pub fn skipped(&self) -> u64 {
        self.subscription.skipped()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Arc<Event>, SubscriptionError>>> {
        let shown = ready!(self.subscription.poll(context));
        match &shown {
            Some(Ok(event)) => self.given_out = Some(event.id),
            // Whoever stops at an event is not done with it.
            Some(Err(error)) if !self.subscription.has_stopped() => {
                self.given_out = error.done_up_to().or(self.given_out);
            }
            _ => {}
        }
        Poll::Ready(shown)
    }
}

impl Stream for DurableSubscription {
    type Item = Result<Arc<Event>, SubscriptionError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl std::fmt::Debug for DurableSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DurableSubscription({}, {:?})", self.name(), self.subscription)
    }
}
