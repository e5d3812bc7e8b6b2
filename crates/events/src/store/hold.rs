//! The events that must not be pruned yet.
//!
//! The writer reads the hold between two commits. So an event that is appended after the hold was taken is kept,
//! however a run of the retention meets the append.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use foundation_kernel::containment::{catch_panic, drop_contained, report, waking_contained};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{EventId, EventLog, LogError, PruneBound};

/// The most events that are pruned between two commits.
const CHUNK: usize = 1_000;

/// The oldest event that is still needed: it and all after it are kept, whatever the retention and
/// [`prune_before`](super::EventStore::prune_before) say.
///
/// Each part of a program that needs old events has a hold [of its own](Self::of), by its name: the events that any of them
/// holds are kept. The config server has the hold of the [store](super::EventStore::hold), since changes at run time exist
/// as events only. A program without a config server may use it for views that it builds anew from the log at each start.
///
/// Modelled on PostgreSQL's replication slots, which hold its write-ahead log; but a holder is notified when events
/// that it holds are to be pruned, and can let go in time.
#[derive(Clone)]
pub struct Hold {
    holder: Arc<str>,
    all: Arc<Holds>,
}

/// The holds of one store, by the names of their holders.
#[derive(Default)]
struct Holds {
    kept: watch::Sender<BTreeMap<Arc<str>, EventId>>,
    holders: Mutex<BTreeMap<Arc<str>, Notify>>,
}

/// Notifies a holder that events that it holds are to be pruned.
type Notify = Arc<dyn Fn() + Send + Sync>;

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("kept_from", &self.kept_from()).finish_non_exhaustive()
    }
}

impl Hold {
    pub(super) fn new() -> Self {
        Self { holder: "".into(), all: Arc::default() }
    }

    /// The hold of another holder on the events of the same store.
    pub fn of(&self, holder: impl Into<Arc<str>>) -> Self {
        Self { holder: holder.into(), all: Arc::clone(&self.all) }
    }

    /// Keeps the events from this one on, instead of those kept before; `None` lets go.
    pub fn keep_from(&self, event: Option<EventId>) {
        self.all.kept.send_modify(|kept| match event {
            Some(event) => drop(kept.insert(Arc::clone(&self.holder), event)),
            None => drop(kept.remove(&self.holder)),
        });
    }

    /// The first event that this holder keeps.
    pub fn kept_from(&self) -> Option<EventId> {
        self.all.kept.borrow().get(&self.holder).copied()
    }

    /// Sets the callback that runs each time an event that is held is to be pruned, and replaces the one before. It must be
    /// brief.
    pub fn held_by(&self, notify: impl Fn() + Send + Sync + 'static) {
        let before = self.all.holders.lock().insert(Arc::clone(&self.holder), Arc::new(notify));
        // Not under the lock: the callback may have the last reference to an actor.
        drop_contained("a former holder of events", before);
    }

    /// The first event that any holder keeps.
    fn first_kept(&self) -> Option<EventId> {
        self.all.kept.borrow().values().min().copied()
    }

    /// Waits until the first event that is kept is another one.
    pub(super) async fn moved(&self, from: Option<EventId>) {
        let has_moved = |kept: &BTreeMap<Arc<str>, EventId>| kept.values().min().copied() != from;
        // The sender cannot be dropped first: `self` owns it.
        let _ = waking_contained(self.all.kept.subscribe().wait_for(has_moved)).await.map(drop);
    }

    /// Notifies the holders that keep this event or one before it, and so hold back what is to be pruned; not those that
    /// have been notified. True if there was one.
    pub(super) fn notify_holders(&self, event: EventId, notified: &mut BTreeSet<Arc<str>>) -> bool {
        let kept = self.all.kept.borrow().clone();
        let holders = self.all.holders.lock().clone();
        let holds_back = |holder: &str| kept.get(holder).is_some_and(|kept| *kept <= event);
        let mut is_any = false;
        for (holder, notify) in holders {
            if holds_back(&holder) && notified.insert(holder) {
                is_any = true;
                if let Err(panic) = catch_panic(|| notify()) {
                    report(|| tracing::error!(%panic, "a holder of events panicked when it was notified"));
                }
            }
            drop_contained("a holder of events", notify);
        }
        is_any
    }

    /// Prunes one chunk of the events that are not held.
    pub(super) fn prune(&self, log: &mut dyn EventLog, bound: PruneBound) -> Result<Pruned, LogError> {
        let kept_from = self.first_kept();
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_holders_that_hold_back_are_notified_and_each_once_and_a_panic_of_one_ends_there() {
        let (first, noted) = (Hold::new(), Arc::new(Mutex::new(Vec::new())));
        for holder in ["a", "b", "c", "d"] {
            let noted = Arc::clone(&noted);
            first.of(holder).held_by(move || {
                noted.lock().push(holder);
                assert_ne!(holder, "a", "no luck");
            });
        }
        let event = |id| EventId::new(id).unwrap();
        [("a", 3), ("c", 3), ("d", 7)].iter().for_each(|(holder, id)| first.of(*holder).keep_from(EventId::new(*id)));
        let mut notified = BTreeSet::new();
        assert!(first.notify_holders(event(3), &mut notified));
        assert_eq!(*noted.lock(), ["a", "c"]);
        assert!(first.notify_holders(event(7), &mut notified) && !first.notify_holders(event(7), &mut notified));
        assert_eq!(*noted.lock(), ["a", "c", "d"]);
    }

    proptest! {
        #[test]
        fn the_first_event_that_any_holder_keeps_is_kept(steps in vec((0..3_usize, 0..9_u64), 0..20)) {
            let (first, mut model) = (Hold::new(), [None; 3]);
            let holds = [first.clone(), first.of("a"), first.of("b")];
            for (holder, event) in steps {
                model[holder] = EventId::new(event);
                holds[holder].keep_from(model[holder]);
                prop_assert_eq!(holds.each_ref().map(Hold::kept_from), model);
                prop_assert_eq!(first.first_kept(), model.into_iter().flatten().min());
            }
        }
    }
}
