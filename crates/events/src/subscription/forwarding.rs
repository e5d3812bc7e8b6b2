//! Handing the events of a subscription to an actor.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foundation_kernel::containment::report;
use foundation_kernel::ractor::{ActorRef, Message, RpcReplyPort};
use futures::FutureExt;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::durable::Admission;
use super::leases::SubscriptionRecord;
use crate::{DurableSubscription, Event, EventId, EventSubscription, SubscriptionError};

/// The most answered events that are acknowledged together. Fixed, since the documentation of
/// [`subscribe_durable_with`](crate::EventStore::subscribe_durable_with) promises it: an actor may see this
/// many again.
const MAX_UNACKNOWLEDGED: u32 = 64;

type Item = Result<Arc<Event>, SubscriptionError>;

/// A subscription whose events are sent to an actor, one at a time: the next one when the actor has answered.
///
/// It ends with the actor, with the namespace, and on drop: an actor that subscribes itself keeps this in its state. It
/// costs a task, and a message and an answer per event.
#[must_use = "a forwarding that is dropped sends nothing"]
pub struct Forwarding {
    task: AbortOnDropHandle<ForwardingEnd>,
    /// For a durable subscription: its task releases the lease when it is gone, which is soon.
    record: Option<SubscriptionRecord>,
}

/// Why events are no longer sent to an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardingEnd {
    /// The actor has ended, or has dropped the reply port of a message without an answer.
    NoAnswer,
    /// The namespace has ended.
    NamespaceEnded,
    /// The subscription has ended at an event that cannot be read ([`OnDamaged::Stop`](crate::OnDamaged::Stop)), or
    /// that the actor cannot handle ([`FailureRule::fail_after`](crate::FailureRule::fail_after)).
    Stopped,
    /// The function that makes messages of events has panicked, or the runtime is shutting down.
    Broken,
}

impl Forwarding {
    /// Waits until no more events are sent, and returns the reason.
    pub async fn ended(mut self) -> ForwardingEnd {
        (&mut self.task).await.unwrap_or(ForwardingEnd::Broken)
    }

    /// Sends the events of a subscription to an actor.
    pub(crate) fn live<M: Message>(
        subscription: EventSubscription,
        actor: ActorRef<M>,
        message: impl FnMut(Item, RpcReplyPort<()>) -> M + Send + 'static,
    ) -> Self {
        Self::start(Feed::Live(Box::new(subscription)), None, actor, message)
    }

    /// The same for a durable one, which tries again after this pause to park an event that cannot be parked.
    pub(crate) fn durable<M: Message>(
        subscription: DurableSubscription,
        park_again: Duration,
        actor: ActorRef<M>,
        message: impl FnMut(Item, RpcReplyPort<()>) -> M + Send + 'static,
    ) -> Self {
        let record = Some(subscription.record().clone());
        let (subscription, answered) = (Box::new(subscription), Answered::default());
        Self::start(Feed::Durable { subscription, answered, park_again }, record, actor, message)
    }

    fn start<M: Message>(
        feed: Feed,
        record: Option<SubscriptionRecord>,
        actor: ActorRef<M>,
        message: impl FnMut(Item, RpcReplyPort<()>) -> M + Send + 'static,
    ) -> Self {
        Self { record, task: AbortOnDropHandle::new(tokio::spawn(forward(feed, actor, message))) }
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        // Before the task is aborted, which drops it with its lease: a new consumer waits for the lease.
        self.record.iter().for_each(SubscriptionRecord::leave);
    }
}

impl fmt::Debug for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarding").field("subscription", &self.record.as_ref().map(SubscriptionRecord::name)).finish()
    }
}

/// Where events come from, and where they are acknowledged.
enum Feed {
    Live(Box<EventSubscription>),
    Durable { subscription: Box<DurableSubscription>, answered: Answered, park_again: Duration },
}

/// The events that are answered and not acknowledged yet.
#[derive(Default)]
struct Answered {
    last: Option<EventId>,
    count: u32,
}

async fn forward<M: Message>(
    mut feed: Feed,
    actor: ActorRef<M>,
    mut message: impl FnMut(Item, RpcReplyPort<()>) -> M,
) -> ForwardingEnd {
    loop {
        let item = match feed.next_for(&actor).await {
            Ok(item) => item,
            Err(end) => return end,
        };
        match feed.admit(&item, &actor).await {
            Disposition::Send => {}
            Disposition::PassOver => {
                feed.answered(last_of(&item)).await;
                continue;
            }
            Disposition::End(end) => {
                feed.acknowledge().await;
                return end;
            }
        }
        let (last, failing) = (last_of(&item), feed.attempt(&item));
        let (sender, answer) = oneshot::channel();
        let attempt = Attempt { answer, failing };
        if actor.cast(message(item, sender.into())).is_err() {
            attempt.undo();
            feed.acknowledge().await;
            return ForwardingEnd::NoAnswer;
        }
        if !attempt.wait_for_answer(&actor).await {
            feed.acknowledge().await;
            return ForwardingEnd::NoAnswer;
        }
        feed.answered(last).await;
    }
}

/// What happens to an item.
enum Disposition {
    Send,
    PassOver,
    End(ForwardingEnd),
}

/// An event that was sent and is not answered yet. An actor that drops it without an answer has failed on it, whether
/// the task that waits for the answer lives to see that or is dropped with the actor's state.
struct Attempt {
    answer: oneshot::Receiver<()>,
    failing: Option<(SubscriptionRecord, EventId)>,
}

impl Attempt {
    /// Waits for the answer while the actor lives: the messages in the mailbox of an ended actor stay there.
    async fn wait_for_answer<M: Message>(mut self, actor: &ActorRef<M>) -> bool {
        let answered = tokio::select! {
            biased;
            answer = &mut self.answer => answer.is_ok(),
            _ = actor.wait(None) => self.answer.try_recv().is_ok(),
        };
        if answered && let Some((record, event)) = self.failing.take() {
            record.answer(event);
        }
        answered
    }

    /// Cancels the attempt: the message was not sent.
    fn undo(mut self) {
        self.failing = None;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some((record, event)) = self.failing.take() else { return };
        match self.answer.try_recv() {
            Ok(()) => record.answer(event),
            Err(TryRecvError::Closed) => {
                record.add_failure(event, "the actor let go of the event without an answer");
            }
            // An event that waits in a mailbox when its actor stops is no failure: its port is still there.
            Err(TryRecvError::Empty) => {}
        }
    }
}

/// The last event that is handled once this item is.
fn last_of(item: &Item) -> Option<EventId> {
    match item {
        Ok(event) => Some(event.id),
        Err(error) => error.done_up_to(),
    }
}

impl Feed {
    async fn next(&mut self) -> Option<Item> {
        let next = match self {
            Self::Live(subscription) => subscription.next().await,
            Self::Durable { subscription, .. } => subscription.next().await,
        };
        next.transpose()
    }

    /// The next item while the actor lives. Answered events are acknowledged if none is at hand.
    async fn next_for<M: Message>(&mut self, actor: &ActorRef<M>) -> Result<Item, ForwardingEnd> {
        let item = match self.next().now_or_never() {
            Some(item) => item,
            None => {
                self.acknowledge().await;
                tokio::select! {
                    item = self.next() => item,
                    _ = actor.wait(None) => return Err(ForwardingEnd::NoAnswer),
                }
            }
        };
        item.ok_or_else(|| if self.has_stopped() { ForwardingEnd::Stopped } else { ForwardingEnd::NamespaceEnded })
    }

    /// Waits until an item may be sent, or returns what happens to it instead.
    async fn admit<M: Message>(&mut self, item: &Item, actor: &ActorRef<M>) -> Disposition {
        let Self::Durable { subscription, park_again, .. } = self else { return Disposition::Send };
        if last_of(item).is_some_and(|event| subscription.is_replayed(event)) {
            return Disposition::Send;
        }
        loop {
            let until = match subscription.admit(item).await {
                Ok(Admission::Show) => return Disposition::Send,
                Ok(Admission::Done) => return Disposition::PassOver,
                Ok(Admission::End) => return Disposition::End(ForwardingEnd::Stopped),
                Ok(Admission::ShowAt(time)) if time <= Instant::now() => return Disposition::Send,
                Ok(Admission::ShowAt(time)) => time,
                Err(error) => {
                    let name = subscription.name();
                    report(|| tracing::warn!(subscription = %name, %error, "an event is not parked yet"));
                    // A pause of zero would be a busy loop.
                    Instant::now() + (*park_again).max(Duration::from_millis(1))
                }
            };
            #[expect(clippy::disallowed_methods, reason = "the delay is what this is for")]
            let alarm = tokio::time::sleep_until(until);
            tokio::select! {
                () = alarm => {}
                _ = actor.wait(None) => return Disposition::End(ForwardingEnd::NoAnswer),
            }
        }
    }

    /// Where a failure is counted if this item is not answered.
    fn attempt(&self, item: &Item) -> Option<(SubscriptionRecord, EventId)> {
        let Self::Durable { subscription, .. } = self else { return None };
        let event = last_of(item).filter(|event| !subscription.is_replayed(*event))?;
        Some((subscription.record().clone(), event))
    }

    fn has_stopped(&self) -> bool {
        match self {
            Self::Live(subscription) => subscription.has_stopped(),
            Self::Durable { subscription, .. } => subscription.has_stopped(),
        }
    }

    async fn answered(&mut self, event: Option<EventId>) {
        let Self::Durable { subscription, answered, .. } = self else { return };
        if let Some(event) = event.filter(|event| subscription.is_replayed(*event)) {
            if let Err(error) = subscription.ack(event).await {
                let name = subscription.name();
                report(|| tracing::warn!(subscription = %name, %event, %error, "a parked event is not removed yet"));
            }
            return;
        }
        event.into_iter().for_each(|event| subscription.record().answer(event));
        answered.last = event.or(answered.last);
        answered.count += 1;
        if answered.count >= MAX_UNACKNOWLEDGED {
            self.acknowledge().await;
        }
    }

    /// Acknowledges the answered events. If the store cannot remember it now, the next call makes up for it.
    async fn acknowledge(&mut self) {
        let Self::Durable { subscription, answered, .. } = self else { return };
        let Some(last) = answered.last else { return };
        answered.count = 0;
        match subscription.ack(last).await {
            Ok(()) => answered.last = None,
            Err(error) => {
                tracing::warn!(subscription = %subscription.name(), %error, "events are not acknowledged yet")
            }
        }
    }
}
