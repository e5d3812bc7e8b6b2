//! What the checks of one incarnation share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::heartbeat::Heartbeats;

/// The turn of the checks of one incarnation, of which one runs at a time, and its heartbeats.
#[derive(Debug)]
pub(crate) struct CheckSlot {
    turn: Arc<Semaphore>,
    pub(crate) heartbeats: Heartbeats,
}

impl CheckSlot {
    pub(crate) fn new(now: Instant) -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), heartbeats: Heartbeats::new(now) }
    }

    /// Waits until no check of this incarnation runs. The permit goes with the run, so that one whose time is over and that
    /// still blocks a thread is not joined by the next.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.turn).acquire_owned().await.ok()
    }
}
