use thiserror::Error;

use super::id::EventId;
use super::store_error::EventStoreError;
use super::subscription_name::SubscriptionName;
use crate::one_line::excerpt;

/// What a subscription has to tell beside its events, or why there is none.
///
/// ```
/// use foundation::{EventId, SubscriptionError};
///
/// let missed = SubscriptionError::Missed { from: EventId::FIRST, to: EventId::new(9).unwrap() };
/// assert_eq!(missed.to_string(), "events 1 to 9 were pruned before the subscription had read them");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// These events were pruned before the subscription had read them; some or none of them were of the kinds that it
    /// asked for. It goes on after them.
    #[error("events {from} to {to} were pruned before the subscription had read them")]
    Missed {
        /// The first of them.
        from: EventId,
        /// The last of them.
        to: EventId,
    },
    /// The store has opened another log than the one that it had, or it has lost events. The subscription goes on where
    /// that log ends now.
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
        /// Who has it.
        consumer: String,
    },
    /// Only what was given out can be acknowledged.
    #[error(
        "event {event} cannot be acknowledged by the subscription {name}, which has come {}",
        given_out(*last)
    )]
    NotGivenOut {
        /// The subscription.
        name: SubscriptionName,
        /// What was to be acknowledged.
        event: EventId,
        /// The last event that was given out; `None` if there was none.
        last: Option<EventId>,
    },
    /// The store could not be asked or told. Nothing is lost: the next call tries again from the same position.
    #[error(transparent)]
    Store(#[from] EventStoreError),
}

fn end(newest: Option<EventId>) -> String {
    newest.map_or_else(|| "before the first event".to_owned(), |newest| format!("with event {newest}"))
}

fn given_out(last: Option<EventId>) -> String {
    last.map_or_else(|| "to no event yet".to_owned(), |last| format!("to event {last} only"))
}
