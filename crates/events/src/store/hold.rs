//! The events that must not be pruned yet.
//!
//! The writer reads the hold between two commits. So an event that is appended after the hold was taken is kept,
//! however a run of the retention meets the append.

use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::{catch_panic, drop_contained, report, waking_contained};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{EventId, EventLog, LogError, PruneBound};

/// The most events that are pruned between two commits.
const CHUNK: usize = 1_000;

/// The oldest event that is still needed: it and all after it are kept, whatever the retention and
/// [`prune_before`](super::EventStore::prune_before) say. Each namespace has one hold. The config server has it, since
/// changes at run time exist as events only.
///
/// A program without a config server may use it for views that it builds anew from the log at each start.
///
/// Modelled on PostgreSQL's replication slots, which hold its write-ahead log; but this holder is notified when events
/// that it holds are to be pruned, and can let go in time.
pub struct Hold {
    keep_from: watch::Sender<Option<EventId>>,
    holder: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("kept_from", &self.kept_from()).finish_non_exhaustive()
    }
}

impl Hold {
    pub(super) fn new() -> Self {
        Self { keep_from: watch::Sender::new(None), holder: Mutex::default() }
    }

    /// Keeps the events from this one on, instead of those kept before; `None` lets go.
    pub fn keep_from(&self, event: Option<EventId>) {
        self.keep_from.send_replace(event);
    }

    /// The first event that is kept.
    pub fn kept_from(&self) -> Option<EventId> {
        *self.keep_from.borrow()
    }

    /// Sets the callback that runs each time an event that is held is to be pruned, and replaces the one before. It must be
    /// brief.
    pub fn held_by(&self, notify: impl Fn() + Send + Sync + 'static) {
        let before = self.holder.lock().replace(Arc::new(notify));
        // Not under the lock: the callback may have the last reference to an actor.
        drop_contained("a former holder of events", before);
    }

    /// Waits until the hold is no longer at this event.
    pub(super) async fn moved(&self, from: Option<EventId>) {
        // The sender cannot be dropped first: `self` owns it.
        let _ = waking_contained(self.keep_from.subscribe().wait_for(|kept| *kept != from)).await.map(drop);
    }

    /// Notifies the holder that an event that it holds is to be pruned.
    pub(super) fn notify_holder(&self) {
        let notify = self.holder.lock().clone();
        if let Some(notify) = notify {
            if let Err(panic) = catch_panic(|| notify()) {
                report(|| tracing::error!(%panic, "the holder of events panicked when it was notified"));
            }
            drop_contained("the holder of events", notify);
        }
    }

    /// Prunes one chunk of the events that are not held.
    pub(super) fn prune(&self, log: &mut dyn EventLog, bound: PruneBound) -> Result<Pruned, LogError> {
        let kept_from = self.kept_from();
        match (log.prune(bound, kept_from, CHUNK)?, kept_from) {
            (0, Some(kept_from)) if is_exceeded(log, bound)? => Ok(Pruned::HeldBack(kept_from)),
            (0, _) => Ok(Pruned::Nothing),
            (events, _) => Ok(Pruned::Events(events)),
        }
    }
}

/// The outcome of pruning a chunk.
pub(super) enum Pruned {
    /// This many events are gone.
    Events(u64),
    /// The oldest event that should be pruned next is kept by the hold, which begins there.
    HeldBack(EventId),
    /// The bound is met.
    Nothing,
}

fn is_exceeded(log: &dyn EventLog, bound: PruneBound) -> Result<bool, LogError> {
    let reader = log.reader()?;
    let stats = reader.stats()?;
    Ok(match bound {
        PruneBound::Before(time) => match stats.oldest {
            Some(oldest) => match reader.get(oldest) {
                Ok(event) => event.is_some_and(|event| event.recorded_at < time),
                // The age of a damaged event is not known, so the holder is not asked to let go.
                Err(error) if error.damaged_event().is_some() => false,
                Err(error) => return Err(error),
            },
            None => false,
        },
        PruneBound::Count(most) => stats.held > most,
        PruneBound::Bytes(most) => stats.bytes > most,
    })
}
