//! Following what happens to a pool.

use std::fmt;
use std::sync::OnceLock;

use foundation_kernel::containment::{catch_panic, report, waking_contained};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::event::PoolEvent;

/// How many events a watch may be behind.
const MAX_UNREAD: usize = 1_024;

/// An item of a [`PoolWatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolWatched {
    /// Something happened.
    Event(PoolEvent),
    /// The reader was too slow: this many events are missed. [`Pool::stats`](crate::Pool::stats) shows what there is now.
    Lagged {
        /// How many events are missed.
        missed: u64,
    },
}

/// The events of a pool from now on.
///
/// A slow reader does not slow the pool: one that is more than 1,024 events behind misses the earlier ones.
#[must_use = "a watch that is dropped sees nothing"]
pub struct PoolWatch(broadcast::Receiver<PoolEvent>);

impl PoolWatch {
    /// The next item; it waits for one. `None` when there is no pool and no handle on it any more. This method is cancel
    /// safe.
    pub async fn next(&mut self) -> Option<PoolWatched> {
        match waking_contained(self.0.recv()).await {
            Ok(event) => Some(PoolWatched::Event(event)),
            Err(RecvError::Lagged(missed)) => Some(PoolWatched::Lagged { missed }),
            Err(RecvError::Closed) => None,
        }
    }
}

impl fmt::Debug for PoolWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolWatch").field("unread", &self.0.len()).finish()
    }
}

type Listener = dyn Fn(&PoolEvent) + Send + Sync;

/// The events of a pool, for its watches and for one listener.
pub(crate) struct Events {
    watches: broadcast::Sender<PoolEvent>,
    listener: OnceLock<Box<Listener>>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { watches: broadcast::Sender::new(MAX_UNREAD), listener: OnceLock::new() }
    }

    /// Calls this function for each event from now on, contained by itself; the first one stays. False if there is one.
    pub(crate) fn listen(&self, listener: impl Fn(&PoolEvent) + Send + Sync + 'static) -> bool {
        self.listener.set(Box::new(listener)).is_ok()
    }

    /// Whether anyone sees events.
    pub(crate) fn is_observed(&self) -> bool {
        self.listener.get().is_some() || self.watches.receiver_count() > 0
    }

    pub(crate) fn watch(&self) -> PoolWatch {
        PoolWatch(self.watches.subscribe())
    }

    /// Shows an event. Never under a lock of ours: it wakes and calls foreign code.
    pub(crate) fn emit(&self, event: PoolEvent) {
        if let Some(listener) = self.listener.get() {
            listener(&event);
        }
        // There need be no watch.
        if let Err(panic) = catch_panic(|| drop(self.watches.send(event))) {
            report(|| tracing::warn!(%panic, "the waker of a watch of a pool panicked"));
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("watches", &self.watches.receiver_count()).finish_non_exhaustive()
    }
}
