//! Following the events of a store across restarts of the consumer.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use foundation_kernel::containment::report;
use foundation_kernel::text::excerpt;
use futures::Stream;
use tokio::time::{Instant, Sleep};

use super::failure_rule::{FailureRule, FailureVerdict};
use super::leases::{ConsumerLease, SubscriptionRecord};
use super::live::{EventSubscription, SubscriptionStore};
use crate::{Event, EventId, ParkedEvent, SubscriptionError, SubscriptionName, recordable};

/// A subscription whose position the store remembers under its name. It goes on after the last event that was
/// [acknowledged](Self::ack): after a restart of the consumer, of the store, and, if the log outlives it, of the
/// process. It resembles a persistent subscription with one consumer in EventStoreDB, or a durable consumer in NATS
/// JetStream.
///
/// So each event is shown at least once: an event that was shown and not acknowledged is shown again, and so is one
/// whose acknowledgement was not [answered](crate::EventStoreError::NoAnswer), unless the store has it. There is one
/// consumer at a time; a second one is refused with the name of the first ([`SubscriptionError::Taken`]) until that one
/// is dropped. Otherwise it works as an [`EventSubscription`].
///
/// An event that its consumer cannot handle does not block the others: a [`FailureRule`] says how often it is shown
/// again, and whether it is then parked, skipped, or ends the subscription.
///
/// ```
/// use foundation_events::{EventStorage, EventStore, NewEvent, SubscriptionName, SubscriptionSpec};
/// use foundation_kernel::names::{Namespace, ProcessRegistry};
///
/// const BILLING: SubscriptionName = SubscriptionName::from_static("billing");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let root = ProcessRegistry::builder()
/// #     .service(EventStore::service(EventStorage::memory()))
/// #     .start().await?;
/// # let events = EventStore::of(&root.namespace(Namespace::Production).await?);
/// events.append_batch(vec![NewEvent::new("ordered")?, NewEvent::new("paid")?]).await?;
///
/// let mut billing = events.subscribe_durable(BILLING, SubscriptionSpec::from_beginning()).await?;
/// let ordered = billing.next().await?.expect("the namespace is there");
/// billing.ack(ordered.id).await?;
/// drop(billing);
///
/// let mut billing = events.subscribe_durable(BILLING, SubscriptionSpec::from_beginning()).await?;
/// assert_eq!(billing.next().await?.expect("as before").kind.as_str(), "paid");
/// root.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a subscription that is dropped shows nothing"]
pub struct DurableSubscription {
    subscription: EventSubscription,
    lease: ConsumerLease,
    rule: FailureRule,
    given_out: Option<EventId>,
    acknowledged: Option<EventId>,
    /// The last event that was shown, on which the consumer may still fail.
    last: Option<Arc<Event>>,
    /// Events that were parked before and come after the acknowledged one: they are not shown again by themselves.
    parked: BTreeSet<EventId>,
    /// Parked events that were shown again and are not acknowledged.
    replayed: BTreeSet<EventId>,
    /// The last event, to be shown again after a failure.
    again: Option<Again>,
    failed: bool,
}

/// An event that is shown again when its delay is over.
struct Again {
    event: Arc<Event>,
    alarm: Pin<Box<Sleep>>,
}

impl DurableSubscription {
    /// The subscription of this consumer. The events after the acknowledged one in `parked` are not shown again.
    pub(crate) fn new(
        subscription: EventSubscription,
        lease: ConsumerLease,
        rule: FailureRule,
        acknowledged: Option<EventId>,
        parked: BTreeSet<EventId>,
    ) -> Self {
        let (replayed, failed) = (BTreeSet::new(), false);
        let (given_out, last, again) = (None, None, None);
        Self { subscription, lease, rule, given_out, acknowledged, last, parked, replayed, again, failed }
    }

    /// Waits for the next event; `None` when the subscription has ended, and from then on: as
    /// [`EventSubscription::next`], or at an event that its consumer cannot handle, if the
    /// [rule](FailureRule::fail_after) says so. Nothing is lost if the wait is cancelled. As a [`Stream`], it shows the
    /// same.
    ///
    /// # Errors
    /// As [`EventSubscription::next`].
    pub async fn next(&mut self) -> Result<Option<Arc<Event>>, SubscriptionError> {
        poll_fn(|context| self.poll(context)).await.transpose()
    }

    /// Acknowledges this event and all before it; returns when the store remembers that. An event that was
    /// [replayed](crate::EventStore::play_parked) is acknowledged by itself, and is not parked any more.
    ///
    /// It costs a commit, which it may share with appends: a consumer of many events acknowledges the last of several.
    /// Acknowledging an event twice costs nothing.
    ///
    /// # Errors
    /// [`SubscriptionError::NotGivenOut`] if the event was neither shown nor reported as missed,
    /// [`SubscriptionError::Store`].
    pub async fn ack(&mut self, event: EventId) -> Result<(), SubscriptionError> {
        if self.replayed.contains(&event) {
            self.store().unpark(self.name(), event).await?;
            self.replayed.remove(&event);
            return Ok(());
        }
        if Some(event) <= self.acknowledged {
            return Ok(());
        }
        if Some(event) > self.given_out {
            let (name, last) = (self.name().clone(), self.given_out);
            return Err(SubscriptionError::NotGivenOut { name, event, last });
        }
        self.store().acknowledge(self.name(), event).await?;
        self.acknowledged = Some(event);
        self.lease.acknowledge(event);
        self.parked = self.parked.split_off(&event);
        Ok(())
    }

    /// Reports that the consumer cannot handle the last event that it was shown; returns what the subscription's
    /// [`FailureRule`] decides. An event that is to be shown again comes next, after the delay. A parked event that was
    /// replayed stays parked.
    ///
    /// ```
    /// use foundation_events::{DurableSubscription, SubscriptionError};
    ///
    /// async fn handle(billing: &mut DurableSubscription) -> Result<(), SubscriptionError> {
    ///     while let Some(event) = billing.next().await? {
    ///         match event.payload_as::<u64>() {
    ///             Ok(_amount) => billing.ack(event.id).await?,
    ///             Err(error) => drop(billing.fail(event.id, error.to_string()).await?),
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`SubscriptionError::NotGivenOut`] if it is not the last event that was shown, [`SubscriptionError::Store`] if
    /// it cannot be parked now: then it is shown again.
    pub async fn fail(
        &mut self,
        event: EventId,
        reason: impl Into<String>,
    ) -> Result<FailureVerdict, SubscriptionError> {
        let Some(shown) = self.last.take_if(|shown| shown.id == event) else {
            let (name, last) = (self.name().clone(), self.given_out);
            return Err(SubscriptionError::NotGivenOut { name, event, last });
        };
        if self.replayed.remove(&event) {
            return Ok(FailureVerdict::Park);
        }
        let reason = excerpt(&reason.into());
        let failures = self.lease.add_failure(event, &reason);
        // Shown again unless it is certain that it need not be, also if the rest of this is not awaited.
        self.again = Some(Again::after(self.rule.delay(failures), Arc::clone(&shown)));
        let verdict = self.carry_out(self.rule.decide(failures), event, Some(&shown), failures, &reason).await?;
        if !matches!(verdict, FailureVerdict::ShowAgain(_)) {
            self.again = None;
        }
        Ok(verdict)
    }

    /// Carries out a verdict, except for showing the event again. An event that cannot be read cannot be parked either.
    async fn carry_out(
        &mut self,
        verdict: FailureVerdict,
        id: EventId,
        event: Option<&Arc<Event>>,
        failures: u32,
        reason: &str,
    ) -> Result<FailureVerdict, SubscriptionError> {
        let name = self.name().clone();
        let what = match (verdict, event) {
            (FailureVerdict::ShowAgain(_), _) => return Ok(verdict),
            (FailureVerdict::Park, Some(event)) => {
                let at_most = self.rule.most_parked();
                let now = recordable(SystemTime::now());
                let parked = ParkedEvent::new(name.clone(), Arc::clone(event), failures, reason, now);
                if !self.store().park(parked, at_most).await? {
                    report(|| tracing::error!(subscription = %name, event = %id, at_most, "an event cannot be parked"));
                    return Ok(FailureVerdict::ShowAgain(self.rule.delay(failures)));
                }
                self.parked.insert(id);
                "parks"
            }
            (FailureVerdict::Park | FailureVerdict::Skip, _) => "skips",
            (FailureVerdict::Fail, _) => {
                self.failed = true;
                "ends before"
            }
        };
        report(
            || tracing::error!(subscription = %name, event = %id, failures, reason, "a subscription {what} an event"),
        );
        self.lease.forget_failures(id);
        Ok(verdict)
    }

    fn store(&self) -> &dyn SubscriptionStore {
        &**self.subscription.store()
    }

    /// Decides on an item before it is given to an actor that may have failed on it before.
    pub(super) async fn admit(
        &mut self,
        item: &Result<Arc<Event>, SubscriptionError>,
    ) -> Result<Admission, SubscriptionError> {
        let (id, event) = match item {
            Ok(event) => (Some(event.id), Some(event)),
            Err(error) => (error.done_up_to(), None),
        };
        let failing = id.and_then(|id| Some((id, self.lease.failing_on(id)?)));
        let Some((id, (failures, since, reason))) = failing else { return Ok(Admission::Show) };
        match self.carry_out(self.rule.decide(failures), id, event, failures, &reason).await? {
            FailureVerdict::ShowAgain(delay) => Ok(Admission::ShowAt(since + delay)),
            FailureVerdict::Park | FailureVerdict::Skip => Ok(Admission::Done),
            FailureVerdict::Fail => Ok(Admission::End),
        }
    }

    pub(super) fn record(&self) -> &SubscriptionRecord {
        &self.lease
    }

    /// Whether this event was parked and is shown again.
    pub(super) fn is_replayed(&self, event: EventId) -> bool {
        self.replayed.contains(&event)
    }

    /// Whether it has ended at an event, as its specification says.
    pub(super) fn has_stopped(&self) -> bool {
        self.failed || self.subscription.has_stopped()
    }

    /// The name under which the store remembers it.
    pub fn name(&self) -> &SubscriptionName {
        self.lease.name()
    }

    /// The last acknowledged event, after which it would be resumed; `None` at the beginning.
    pub fn acknowledged(&self) -> Option<EventId> {
        self.acknowledged
    }

    /// How many events it has skipped because they are damaged or missing.
    pub fn skipped(&self) -> u64 {
        self.subscription.skipped()
    }

    /// Shows a parked event again.
    fn replay(&mut self, event: Arc<Event>) -> Poll<Option<Result<Arc<Event>, SubscriptionError>>> {
        self.replayed.insert(event.id);
        self.last = Some(Arc::clone(&event));
        Poll::Ready(Some(Ok(event)))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Arc<Event>, SubscriptionError>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        if let Some(again) = &mut self.again {
            ready!(again.alarm.as_mut().poll(context));
            let event = self.again.take().map(|again| again.event);
            self.last.clone_from(&event);
            return Poll::Ready(event.map(Ok));
        }
        loop {
            if let Some(event) = self.lease.next_again() {
                return self.replay(event);
            }
            let Poll::Ready(shown) = self.subscription.poll(context) else {
                let event = ready!(self.lease.poll_again(context.waker()));
                return self.replay(event);
            };
            match &shown {
                Some(Ok(event)) => {
                    self.given_out = Some(event.id);
                    // Parked before a restart of the consumer or of the process.
                    if self.parked.remove(&event.id) {
                        continue;
                    }
                    self.last = Some(Arc::clone(event));
                }
                // A subscription that stops at an event has not handled it.
                Some(Err(error)) if !self.subscription.has_stopped() => {
                    self.given_out = error.done_up_to().or(self.given_out);
                }
                _ => {}
            }
            return Poll::Ready(shown);
        }
    }
}

/// Whether an event is given to its consumer.
pub(super) enum Admission {
    Show,
    /// Not before this time.
    ShowAt(Instant),
    /// The event is handled, without having been shown.
    Done,
    /// The subscription ends before it.
    End,
}

impl Again {
    fn after(delay: Duration, event: Arc<Event>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the delay is what this is for")]
        let alarm = tokio::time::sleep(delay);
        Self { event, alarm: Box::pin(alarm) }
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
