//! Who consumes which durable subscription of a namespace: one at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;

use super::subscription_name::SubscriptionName;

/// The consumers by the names of their subscriptions.
#[derive(Default)]
pub(super) struct Seats(Mutex<HashMap<SubscriptionName, String>>);

/// The right to consume one subscription; given back when it is dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    name: SubscriptionName,
}

impl Seats {
    /// Takes the seat.
    ///
    /// # Errors
    /// Who has it.
    pub(super) fn take(self: &Arc<Self>, name: &SubscriptionName, consumer: String) -> Result<Seat, String> {
        match self.0.lock().entry(name.clone()) {
            Entry::Occupied(taken) => Err(taken.get().clone()),
            Entry::Vacant(free) => {
                free.insert(consumer);
                Ok(Seat { seats: Arc::clone(self), name: name.clone() })
            }
        }
    }
}

impl Seat {
    pub(super) fn name(&self) -> &SubscriptionName {
        &self.name
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.0.lock().remove(&self.name);
    }
}
