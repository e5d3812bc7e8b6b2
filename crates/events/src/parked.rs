use std::sync::Arc;
use std::time::SystemTime;

use super::event::Event;
use super::subscription_name::SubscriptionName;

/// An event that a durable subscription has put aside, since its consumer failed on it each time.
///
/// It is kept whole, in the log and beside its events: pruning does not reach it.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct ParkedEvent {
    /// The subscription.
    pub subscription: SubscriptionName,
    /// The event.
    pub event: Arc<Event>,
    /// How often its consumer has failed on it.
    pub failures: u32,
    /// The reason, as far as it is known.
    pub reason: String,
    /// When it was parked.
    pub parked_at: SystemTime,
}

impl ParkedEvent {
    /// This event of this subscription, after so many failures.
    pub fn new(
        subscription: SubscriptionName,
        event: Arc<Event>,
        failures: u32,
        reason: impl Into<String>,
        parked_at: SystemTime,
    ) -> Self {
        Self { subscription, event, failures, reason: reason.into(), parked_at }
    }
}
