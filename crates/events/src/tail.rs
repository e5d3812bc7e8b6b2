//! The latest events, shared with those that follow a log live.
//!
//! 1. A reader registers its waker before it reads the ring; the writer changes the ring before it wakes. So no event
//!    is missed between reading and waiting.
//! 2. The writer never waits for a reader. The lock is held for a bounded read, and no waker is called under it.
//! 3. It belongs to the namespace, not to the store's actor: readers outlive a restart of the store.

use std::sync::Arc;
use std::task::Waker;

use foundation_kernel::containment::{catch_panic, report};
use futures::task::AtomicWaker;
use parking_lot::Mutex;

use super::event::Event;
use super::id::EventId;
use super::ring::Ring;

/// The latest events of one namespace's store, and the wakers of its readers.
#[derive(Default)]
pub(super) struct Tail(Mutex<State>);

#[derive(Default)]
struct State {
    /// `None` until a log was opened.
    ring: Option<Ring>,
    /// Copied when a reader is added or removed, so that all can be woken without the lock.
    wakers: Arc<Vec<Arc<AtomicWaker>>>,
}

impl Tail {
    /// The writer has opened the log, which ends at this position. To be called before anything is recorded.
    pub(super) fn opened(&self, position: Option<EventId>) {
        self.change(|state| state.ring.get_or_insert_default().move_to(position.map_or(0, EventId::get)));
    }

    /// The writer has imported events, and the log ends at this position now.
    pub(super) fn imported(&self, position: EventId) {
        self.change(|state| state.ring.get_or_insert_default().import(position.get()));
    }

    /// The writer has recorded these events, in order. To be called before any caller gets its answer.
    pub(super) fn extend(&self, events: &[Arc<Event>]) {
        let Some(last) = events.last() else { return };
        self.change(|state| {
            let ring = state.ring.get_or_insert_default();
            match state.wakers.is_empty() {
                // Without readers nothing is kept: a later reader reads the log up to here.
                true => ring.move_to(last.id.get()),
                false => ring.extend(events),
            }
        });
    }

    /// Adds a reader.
    pub(super) fn follow(self: &Arc<Self>) -> TailReader {
        let waker = Arc::new(AtomicWaker::new());
        Arc::make_mut(&mut self.0.lock().wakers).push(Arc::clone(&waker));
        TailReader { tail: Arc::clone(self), waker }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock();
        change(&mut state);
        let wakers = Arc::clone(&state.wakers);
        drop(state);
        // One by one: a waker that panics must neither keep the others asleep nor end the writer.
        wakers.iter().for_each(|waker| wake(|| waker.wake()));
    }
}

/// Calls a waker, which may be foreign code.
pub(super) fn wake(wake: impl FnOnce()) {
    if let Err(panic) = catch_panic(wake) {
        report(|| tracing::warn!(%panic, "a waker of a task that waits for the event store panicked"));
    }
}

/// A reader of the tail; it stops following on drop.
pub(super) struct TailReader {
    tail: Arc<Tail>,
    waker: Arc<AtomicWaker>,
}

impl TailReader {
    /// Registers a waker that is woken at each change.
    pub(super) fn register_waker(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The highest id ever given, 0 if none was; `None` until a log was opened.
    pub(super) fn position(&self) -> Option<u64> {
        self.read(Ring::newest)
    }

    /// Reads the ring; `None` if no log was opened yet.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Ring) -> T) -> Option<T> {
        self.tail.0.lock().ring.as_ref().map(read)
    }
}

impl Drop for TailReader {
    fn drop(&mut self) {
        Arc::make_mut(&mut self.tail.0.lock().wakers).retain(|waker| !Arc::ptr_eq(waker, &self.waker));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_reader_is_forgotten() {
        let tail = Arc::new(Tail::default());
        let readers: Vec<_> = (0..3).map(|_| tail.follow()).collect();
        assert_eq!(tail.0.lock().wakers.len(), 3);
        let kept = readers.into_iter().nth(1).unwrap();
        assert!(tail.0.lock().wakers.iter().all(|waker| Arc::ptr_eq(waker, &kept.waker)));
        drop(kept);
        assert!(tail.0.lock().wakers.is_empty());
    }
}
