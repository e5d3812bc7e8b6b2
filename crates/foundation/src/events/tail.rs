//! Where those who follow a log live are told what was recorded.
//!
//! 1. A reader registers its waker and then looks; the writer changes the ring and then wakes. So one of them sees the
//!    other: no event is missed between looking and waiting.
//! 2. The writer never waits for a reader. The lock is held for a look of bounded length, and nobody is woken under it.
//! 3. It belongs to the namespace, not to the store's actor: those who follow outlive a restart of the store.

use std::sync::Arc;
use std::task::Waker;

use foundation_core::containment::{catch_panic, report};
use futures::task::AtomicWaker;
use parking_lot::Mutex;

use super::event::Event;
use super::id::EventId;
use super::ring::Ring;

/// The latest events of one namespace's store, and who waits for more.
#[derive(Default)]
pub(super) struct Tail(Mutex<State>);

#[derive(Default)]
struct State {
    /// `None` until a log was opened.
    ring: Option<Ring>,
    /// Copied when somebody comes or goes, so that it is at hand without the lock when all are to be woken.
    ears: Arc<Vec<Arc<AtomicWaker>>>,
}

impl Tail {
    /// The writer has opened the log, which ends at this position. To be called before anything is recorded.
    pub(super) fn opened(&self, position: Option<EventId>) {
        self.change(|state| state.ring.get_or_insert_default().move_to(position.map_or(0, EventId::get)));
    }

    /// The writer has taken in exported events, and the log ends at this position now.
    pub(super) fn imported(&self, position: EventId) {
        self.change(|state| state.ring.get_or_insert_default().import(position.get()));
    }

    /// The writer has recorded these events, in order. To be called before anybody is told that they are recorded.
    pub(super) fn extend(&self, events: &[Arc<Event>]) {
        let Some(last) = events.last() else { return };
        self.change(|state| {
            let ring = state.ring.get_or_insert_default();
            match state.ears.is_empty() {
                // Nobody reads along: nothing is kept, and whoever comes later reads the log up to here.
                true => ring.move_to(last.id.get()),
                false => ring.extend(events),
            }
        });
    }

    /// Begins to follow.
    pub(super) fn follow(self: &Arc<Self>) -> Ear {
        let waker = Arc::new(AtomicWaker::new());
        Arc::make_mut(&mut self.0.lock().ears).push(Arc::clone(&waker));
        Ear { tail: Arc::clone(self), waker }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock();
        change(&mut state);
        let ears = Arc::clone(&state.ears);
        drop(state);
        // Each by itself: a waker that panics must not keep the others asleep, nor end the writer.
        ears.iter().for_each(|ear| wake(|| ear.wake()));
    }
}

/// Wakes somebody, whose waker may be anybody's code.
pub(super) fn wake(wake: impl FnOnce()) {
    if let Err(panic) = catch_panic(wake) {
        report(|| tracing::warn!(%panic, "a waker of somebody who waits for the event store panicked"));
    }
}

/// Somebody who follows; dropped, it does not any more.
pub(super) struct Ear {
    tail: Arc<Tail>,
    waker: Arc<AtomicWaker>,
}

impl Ear {
    /// Will wake this one at each change from now on.
    pub(super) fn listen(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The highest id ever given, 0 if none was; `None` until a log was opened.
    pub(super) fn position(&self) -> Option<u64> {
        self.look(Ring::newest)
    }

    /// Looks at the ring; `None` if no log was opened yet.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Ring) -> T) -> Option<T> {
        self.tail.0.lock().ring.as_ref().map(look)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        Arc::make_mut(&mut self.tail.0.lock().ears).retain(|ear| !Arc::ptr_eq(ear, &self.waker));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_follow_any_more_is_forgotten() {
        let tail = Arc::new(Tail::default());
        let ears: Vec<_> = (0..3).map(|_| tail.follow()).collect();
        assert_eq!(tail.0.lock().ears.len(), 3);
        let kept = ears.into_iter().nth(1).unwrap();
        assert!(tail.0.lock().ears.iter().all(|ear| Arc::ptr_eq(ear, &kept.waker)));
        drop(kept);
        assert!(tail.0.lock().ears.is_empty());
    }
}
