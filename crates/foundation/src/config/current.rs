//! The configuration of one namespace, as its readers and subscribers have it. It belongs to the namespace, so that they
//! outlive the actor.
//!
//! 1. The tree is the loaded one with every recorded change up to the event `seen` made, in order, and no other.
//! 2. A subscriber hears of each change that is made after it came, once, and when the tree has it.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::broadcast;

use super::subscription::ConfigChanged;
use super::tree::ConfigTree;
use crate::events::EventId;

/// How many changes a subscriber may be behind.
const BACKLOG: usize = 1_024;

pub(super) struct Current {
    made: RwLock<Made>,
    /// Made for the first subscriber: its backlog is allocated as a whole, and most namespaces have none.
    changes: Mutex<Option<broadcast::Sender<ConfigChanged>>>,
}

struct Made {
    tree: Arc<ConfigTree>,
    seen: Option<EventId>,
}

impl Current {
    pub(super) fn new(loaded: Arc<ConfigTree>) -> Self {
        Self { made: RwLock::new(Made { tree: loaded, seen: None }), changes: Mutex::default() }
    }

    pub(super) fn tree(&self) -> Arc<ConfigTree> {
        Arc::clone(&self.made.read().tree)
    }

    /// The last recorded change that was looked at.
    pub(super) fn seen(&self) -> Option<EventId> {
        self.made.read().seen
    }

    /// Takes note of a recorded change that no longer applies.
    pub(super) fn pass_over(&self, event: EventId) {
        self.made.write().seen = Some(event);
    }

    /// Makes a recorded change.
    pub(super) fn make(&self, next: ConfigTree, event: EventId, changed: &ConfigChanged) {
        *self.made.write() = Made { tree: Arc::new(next), seen: Some(event) };
        if let Some(changes) = &*self.changes.lock() {
            // That all subscribers have gone is no error.
            let _ = changes.send(changed.clone());
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<ConfigChanged> {
        self.changes.lock().get_or_insert_with(|| broadcast::Sender::new(BACKLOG)).subscribe()
    }

    pub(super) fn subscribers(&self) -> usize {
        self.changes.lock().as_ref().map_or(0, broadcast::Sender::receiver_count)
    }

    /// Tells the subscribers that there will be no more changes.
    pub(super) fn end_subscriptions(&self) {
        *self.changes.lock() = None;
    }
}
