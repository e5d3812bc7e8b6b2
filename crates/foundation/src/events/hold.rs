//! What must not be forgotten yet.
//!
//! The hold is looked at by the writer, between two commits. So whoever takes hold before it appends finds its event
//! kept, however a look at the retention meets the append.

use std::sync::Arc;

use foundation_core::containment::{drop_contained, waking_contained};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::failure::LogFailure;
use super::id::EventId;
use super::log::{EventLog, PruneBound};

/// How many events are forgotten between two commits at most.
const CHUNK: usize = 1_000;

/// The oldest event that somebody still needs: it and all after it are kept, whatever the retention and
/// [`prune_before`](super::EventStore::prune_before) say. There is one hold in each namespace, and the config server has
/// it, which knows what was changed at run time from events alone.
///
/// After PostgreSQL's replication slots, which hold its write-ahead log; but whoever holds here is told that it is in the
/// way, and can let go in time.
pub(crate) struct Hold {
    keep_from: watch::Sender<Option<EventId>>,
    holder: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl Hold {
    pub(super) fn new() -> Self {
        Self { keep_from: watch::Sender::new(None), holder: Mutex::default() }
    }

    /// Keeps the events from this one on, instead of those that were kept before; `None` lets go.
    pub(crate) fn keep_from(&self, event: Option<EventId>) {
        self.keep_from.send_replace(event);
    }

    /// From which event on all are kept.
    pub(crate) fn kept_from(&self) -> Option<EventId> {
        *self.keep_from.borrow()
    }

    /// Who is told that the hold is in the way, instead of who was told before: each time again. Be brief.
    pub(crate) fn held_by(&self, told: impl Fn() + Send + Sync + 'static) {
        let before = self.holder.lock().replace(Arc::new(told));
        // Not under the lock: with it goes a reference to the actor that was told, and perhaps the last.
        drop_contained("a former holder of events", before);
    }

    /// Waits until other events are kept than those from this one on.
    pub(super) async fn moved(&self, from: Option<EventId>) {
        // That the sender goes first cannot be: it is in here.
        let _ = waking_contained(self.keep_from.subscribe().wait_for(|kept| *kept != from)).await.map(drop);
    }

    /// Tells whoever holds that it is in the way.
    pub(super) fn press(&self) {
        let told = self.holder.lock().clone();
        if let Some(told) = told {
            told();
        }
    }

    /// Forgets one chunk of what nobody holds.
    pub(super) fn prune(&self, log: &mut dyn EventLog, bound: PruneBound) -> Result<Pruned, LogFailure> {
        let kept_from = self.kept_from();
        let events = log.prune(bound, kept_from, CHUNK)?;
        let held_back = events == 0 && kept_from.is_some() && is_exceeded(log, bound)?;
        Ok(Pruned { events, held_back: kept_from.filter(|_| held_back) })
    }
}

/// What pruning came to.
pub(super) struct Pruned {
    pub(super) events: u64,
    /// The oldest event that somebody keeps, although it should go.
    pub(super) held_back: Option<EventId>,
}

fn is_exceeded(log: &dyn EventLog, bound: PruneBound) -> Result<bool, LogFailure> {
    let reader = log.reader()?;
    let stats = reader.stats()?;
    Ok(match bound {
        PruneBound::Before(time) => match stats.oldest {
            Some(oldest) => match reader.get(oldest) {
                Ok(event) => event.is_some_and(|event| event.recorded_at < time),
                // How old a damaged event is, is not known; whoever holds it is not asked to let go.
                Err(failure) if failure.damaged_event().is_some() => false,
                Err(failure) => return Err(failure),
            },
            None => false,
        },
        PruneBound::Count(most) => stats.held > most,
        PruneBound::Bytes(most) => stats.bytes > most,
    })
}
