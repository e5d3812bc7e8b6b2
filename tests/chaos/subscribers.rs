//! Durable subscribers that record the events that they receive.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foundation::EventStore;
use foundation::events::{EventId, SubscriptionError, SubscriptionName, SubscriptionSpec};

use super::clients::pause;

/// What one subscriber has seen.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    events: BTreeSet<u64>,
    /// Delivered again after its acknowledgement: never.
    twice: Vec<u64>,
    damaged: BTreeSet<u64>,
    errors: u64,
}

impl Seen {
    pub(crate) fn events(&self) -> BTreeSet<u64> {
        self.0.lock().unwrap().events.clone()
    }

    pub(crate) fn damaged(&self) -> BTreeSet<u64> {
        self.0.lock().unwrap().damaged.clone()
    }

    pub(crate) fn twice(&self) -> Vec<u64> {
        self.0.lock().unwrap().twice.clone()
    }

    pub(crate) fn errors(&self) -> u64 {
        self.0.lock().unwrap().errors
    }
}

/// Follows until the namespace ends; after an error it resumes at its position.
pub(crate) async fn follow(store: EventStore, name: SubscriptionName, seen: Seen) {
    loop {
        match follow_once(&store, name.clone(), &seen).await {
            Ok(()) => return,
            Err(_) => {
                seen.0.lock().unwrap().errors += 1;
                pause(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn follow_once(store: &EventStore, name: SubscriptionName, seen: &Seen) -> Result<(), SubscriptionError> {
    let mut subscription = store.subscribe_durable(name, SubscriptionSpec::from_beginning()).await?;
    loop {
        let event = match subscription.next().await {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(()),
            // Reported once; the next call continues after it.
            Err(SubscriptionError::Damaged { event, .. }) => {
                seen.0.lock().unwrap().damaged.insert(event.get());
                continue;
            }
            Err(error) => return Err(error),
        };
        note(seen, subscription.acknowledged(), event.id);
        // Acknowledged now and then, so that some are delivered again after a disruption.
        if event.id.get() % 8 == 0 {
            subscription.ack(event.id).await?;
        }
    }
}

/// An event that is delivered again after a disruption had not been acknowledged.
fn note(seen: &Seen, acknowledged: Option<EventId>, id: EventId) {
    let mut notes = seen.0.lock().unwrap();
    if Some(id) <= acknowledged {
        notes.twice.push(id.get());
    }
    notes.events.insert(id.get());
}
