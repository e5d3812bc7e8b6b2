//! Handing the events of a subscription to an actor.

use std::sync::Arc;

use foundation_core::ask;
use foundation_core::ractor::{ActorRef, Message, RpcReplyPort};
use futures::FutureExt;
use tokio::task::JoinHandle;

use super::durable_subscription::DurableSubscription;
use super::event::Event;
use super::id::EventId;
use super::subscription::EventSubscription;
use super::subscription_error::SubscriptionError;

/// So many answered events are acknowledged together, at most.
const TOGETHER: u32 = 64;

type Item = Result<Arc<Event>, SubscriptionError>;

/// A subscription whose events are sent to an actor, one at a time: the next one when the actor has answered.
///
/// It ends with the actor and with the namespace, and when it is dropped: an actor that subscribes itself keeps this in its
/// state. What it costs: a task, and a message and an answer an event.
#[must_use = "a forwarding that is dropped sends nothing"]
#[derive(Debug)]
pub struct Forwarding(JoinHandle<ForwardingEnd>);

/// Why events are not sent to an actor any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardingEnd {
    /// The actor has ended, or has dropped the reply port of a message without an answer.
    NoAnswer,
    /// The namespace has ended.
    NamespaceEnded,
    /// The function that makes messages of events has panicked, or the runtime is going down.
    Broken,
}

impl Forwarding {
    /// Waits until nothing is sent any more, and says why.
    pub async fn ended(mut self) -> ForwardingEnd {
        (&mut self.0).await.unwrap_or(ForwardingEnd::Broken)
    }

    pub(super) fn start<M: Message>(
        feed: Feed,
        actor: ActorRef<M>,
        message: impl FnMut(Item, RpcReplyPort<()>) -> M + Send + 'static,
    ) -> Self {
        Self(tokio::spawn(forward(feed, actor, message)))
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where events come from, and where it is told that they are handled.
pub(super) enum Feed {
    Live(EventSubscription),
    Durable { subscription: DurableSubscription, answered: Answered },
}

/// What is answered and not acknowledged yet.
#[derive(Default)]
pub(super) struct Answered {
    last: Option<EventId>,
    count: u32,
}

async fn forward<M: Message>(
    mut feed: Feed,
    actor: ActorRef<M>,
    mut message: impl FnMut(Item, RpcReplyPort<()>) -> M,
) -> ForwardingEnd {
    loop {
        let item = match feed.next().now_or_never() {
            Some(item) => item,
            None => {
                feed.acknowledge().await;
                tokio::select! {
                    item = feed.next() => item,
                    _ = actor.wait(None) => return ForwardingEnd::NoAnswer,
                }
            }
        };
        let Some(item) = item else { return ForwardingEnd::NamespaceEnded };
        let last = last_of(&item);
        if ask(&actor, |reply| message(item, reply)).await.is_err() {
            feed.acknowledge().await;
            return ForwardingEnd::NoAnswer;
        }
        feed.answered(last).await;
    }
}

/// The last event that is done with when this was handled.
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

    async fn answered(&mut self, event: Option<EventId>) {
        let Self::Durable { answered, .. } = self else { return };
        answered.last = event.or(answered.last);
        answered.count += 1;
        if answered.count >= TOGETHER {
            self.acknowledge().await;
        }
    }

    /// Acknowledges what was answered. If the store cannot remember it now, the next time makes up for it.
    async fn acknowledge(&mut self) {
        let Self::Durable { subscription, answered } = self else { return };
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
