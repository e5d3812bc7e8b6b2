use thiserror::Error;

use super::damaged::DamagedEvent;
use super::follower::Unreadable;
use super::id::EventId;
use super::store_error::EventStoreError;
use super::subscription_name::SubscriptionName;
use foundation_kernel::text::excerpt;

/// What a subscription reports besides its events, or why there is none.
///
/// ```
/// use foundation_events::{EventId, SubscriptionError};
///
/// let missed = SubscriptionError::Missed { from: EventId::FIRST, to: EventId::new(9).unwrap() };
/// assert_eq!(missed.to_string(), "events 1 to 9 were pruned before the subscription had read them");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// These events were pruned before the subscription had read them; some or none of them were of the requested
    /// kinds. It goes on after them.
    #[error("events {from} to {to} were pruned before the subscription had read them")]
    Missed {
        /// The first of them.
        from: EventId,
        /// The last of them.
        to: EventId,
    },
    /// This event is damaged: it was recorded and cannot be read any more as it was. The next call goes on after it,
    /// unless the specification says [`OnDamaged::Stop`](crate::OnDamaged::Stop).
    #[error("the row of event {event} is damaged: {reason}")]
    Damaged {
        /// The event.
        event: EventId,
        /// What is wrong with it.
        reason: String,
    },
    /// These events were recorded and are not in the log any more, although they were not pruned. A subscription to
    /// some kinds only does not notice them. The next call goes on after them, as with a damaged one.
    #[error("events {from} to {to} are missing from the log, and were not pruned")]
    Lost {
        /// The first of them.
        from: EventId,
        /// The last of them.
        to: EventId,
    },
    /// The store has opened another log than before, or has lost events. The subscription goes on where that log ends
    /// now.
    #[error(
        "the subscription has read up to event {position}, and the log that the store has opened ends {}",
        end(*newest)
    )]
    Rewound {
        /// Up to where the subscription had read.
        position: EventId,
        /// Where the log ended when it was opened; `None` if it was empty.
        newest: Option<EventId>,
    },
    /// The durable subscription has a consumer already.
    #[error("the durable subscription {name} has a consumer already: {}", excerpt(consumer))]
    Taken {
        /// The subscription.
        name: SubscriptionName,
        /// Its consumer.
        consumer: String,
    },
    /// Only events that were given out can be acknowledged.
    #[error(
        "event {event} cannot be acknowledged by the subscription {name}, which has come {}",
        given_out(*last)
    )]
    NotGivenOut {
        /// The subscription.
        name: SubscriptionName,
        /// The event to acknowledge.
        event: EventId,
        /// The last event that was given out; `None` if there was none.
        last: Option<EventId>,
    },
    /// The store could not be reached. Nothing is lost: the next call tries again from the same position, after a pause
    /// that doubles from 50 ms up to 5 s while this goes on.
    #[error(transparent)]
    Store(#[from] EventStoreError),
}

impl SubscriptionError {
    /// The last event that is handled once the reader has seen this.
    pub(super) fn done_up_to(&self) -> Option<EventId> {
        match self {
            Self::Missed { to, .. } | Self::Lost { to, .. } => Some(*to),
            Self::Damaged { event, .. } => Some(*event),
            _ => None,
        }
    }
}

impl From<Unreadable> for SubscriptionError {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Damaged(DamagedEvent { event, reason }) => Self::Damaged { event, reason },
            Unreadable::Lost { from, to } => Self::Lost { from, to },
        }
    }
}

fn end(newest: Option<EventId>) -> String {
    newest.map_or_else(|| "before the first event".to_owned(), |newest| format!("with event {newest}"))
}

fn given_out(last: Option<EventId>) -> String {
    last.map_or_else(|| "to no event yet".to_owned(), |last| format!("to event {last} only"))
}
