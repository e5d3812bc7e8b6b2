//! The latest events, shared with those that follow a log live.
//!
//! 1. A reader registers its waker before it reads the ring; the writer changes the ring before it wakes. So no event
//!    is missed between reading and waiting.
//! 2. The writer never waits for a reader. The lock is held for a bounded read, and no waker is called under it.
//! 3. It belongs to the namespace, not to the store's actor: readers outlive a restart of the store.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;
use std::mem::size_of;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::task::Waker;

use foundation_kernel::containment::{drop_contained, wake};
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use serde_json::Value;

use crate::{Event, EventId};

/// The latest events of one namespace's store, and the wakers of its readers.
#[derive(Default)]
pub(crate) struct Tail(Mutex<State>);

#[derive(Default)]
struct State {
    /// `None` until a log was opened.
    ring: Option<Ring>,
    /// Copied when a reader is added or removed, so that all can be woken without the lock.
    wakers: Arc<Vec<Arc<AtomicWaker>>>,
}

impl Tail {
    /// The writer has opened the log, which ends at this position. To be called before anything is recorded.
    pub(crate) fn opened(&self, position: Option<EventId>) {
        self.change(|state| state.ring.get_or_insert_default().move_to(position.map_or(0, EventId::get)));
    }

    /// The writer has imported events, and the log ends at this position now.
    pub(crate) fn imported(&self, position: EventId) {
        self.change(|state| state.ring.get_or_insert_default().import(position.get()));
    }

    /// The writer has recorded these events, in order. To be called before any caller gets its answer.
    pub(crate) fn extend(&self, events: &[Arc<Event>]) {
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
    pub(crate) fn follow(self: &Arc<Self>) -> TailReader {
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
        wakers.iter().filter_map(|waker| waker.take()).for_each(wake);
        // A reader that was dropped meanwhile has left its waker here.
        let left = Arc::into_inner(wakers).into_iter().flatten();
        left.for_each(|waker| drop_contained("the waker of a reader of events", waker));
    }
}

/// A reader of the tail; it stops following on drop.
pub(crate) struct TailReader {
    tail: Arc<Tail>,
    waker: Arc<AtomicWaker>,
}

impl TailReader {
    /// Registers a waker that is woken at each change.
    pub(crate) fn register_waker(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The highest id ever given, 0 if none was; `None` until a log was opened.
    pub(crate) fn position(&self) -> Option<u64> {
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

/// The latest events, as many as fit.
///
/// 1. The kept events have consecutive ids, and the last of them has the id `newest`. So the events after a position
///    are found by subtraction, and so is whether they are kept.
/// 2. At most `limits.events` are kept, and at most `limits.bytes` of them, approximately.
/// 3. `imports` are ranges of ids in ascending order, which do not touch each other; the latest `MAX_IMPORTS` of them.
/// 4. A reader only gets events that follow on from its position; one that is further behind reads the log.
#[derive(Debug, Default)]
pub(super) struct Ring {
    limits: RingLimits,
    kept: VecDeque<RingEntry>,
    bytes: usize,
    newest: u64,
    rewound: u64,
    /// Events that were recorded elsewhere and imported since the first log was opened.
    imports: VecDeque<RangeInclusive<u64>>,
}

#[derive(Debug)]
struct RingLimits {
    events: usize,
    bytes: usize,
}

impl Default for RingLimits {
    fn default() -> Self {
        Self { events: 1_024, bytes: 8 << 20 }
    }
}

/// The most ranges of imported events that are remembered.
const MAX_IMPORTS: usize = 1_024;

#[derive(Debug)]
struct RingEntry {
    event: Arc<Event>,
    bytes: usize,
}

/// The result of a read at a position.
pub(super) enum TailRead<'a> {
    /// The events that follow on from it, at least one.
    Events(Following<'a>),
    /// Nothing: the position is the newest one, or one that is not reached yet.
    Nothing,
    /// The next events are not kept here any more: the log has them, or had them.
    InLog,
}

/// Kept events in their order.
pub(super) struct Following<'a>(Iter<'a, RingEntry>);

impl<'a> Iterator for Following<'a> {
    type Item = &'a Arc<Event>;

    fn next(&mut self) -> Option<&'a Arc<Event>> {
        self.0.next().map(|kept| &kept.event)
    }
}

impl Ring {
    #[cfg(test)]
    pub(super) fn with_limits(events: usize, bytes: usize) -> Self {
        Self { limits: RingLimits { events, bytes }, ..Self::default() }
    }

    /// The highest id ever given; 0 if none was.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// How often the log turned out to end before the events taken from it: it is another log then.
    pub(super) fn rewound(&self) -> u64 {
        self.rewound
    }

    /// Takes newly recorded events, in order.
    pub(super) fn extend<'a>(&mut self, events: impl IntoIterator<Item = &'a Arc<Event>>) {
        for event in events {
            let id = event.id.get();
            if id != self.newest.saturating_add(1) {
                self.move_to(id - 1);
            }
            self.push(Arc::clone(event), id);
        }
    }

    /// Moves to the end of a log that was opened, or that has no live reader: earlier events are read in the log.
    pub(super) fn move_to(&mut self, newest: u64) {
        if newest != self.newest {
            self.kept.clear();
            self.bytes = 0;
        }
        if newest < self.newest {
            self.rewound += 1;
        }
        self.newest = newest;
    }

    /// Moves to the end of a log that has imported all events after the newest one up to this.
    pub(super) fn import(&mut self, newest: u64) {
        let first = self.newest.saturating_add(1);
        self.move_to(newest);
        match self.imports.back_mut() {
            _ if newest < first => {}
            Some(last) if last.end().saturating_add(1) == first => *last = *last.start()..=newest,
            _ => self.imports.push_back(first..=newest),
        }
        if self.imports.len() > MAX_IMPORTS {
            self.imports.pop_front();
        }
    }

    /// The last of the imported events that follow on from a position, if the next one is imported.
    pub(super) fn imported_after(&self, position: u64) -> Option<u64> {
        let next = position.saturating_add(1);
        self.imports.iter().find(|import| import.contains(&next)).map(|import| *import.end())
    }

    /// The first imported event after a position, if the next one is not imported.
    pub(super) fn next_import(&self, position: u64) -> Option<u64> {
        let next = position.saturating_add(1);
        self.imports.iter().map(|import| *import.start()).find(|first| *first > next)
    }

    /// The events that follow a position.
    pub(super) fn after(&self, position: u64) -> TailRead<'_> {
        let floor = self.newest - self.kept.len() as u64;
        match position.checked_sub(floor).map(usize::try_from) {
            _ if position >= self.newest => TailRead::Nothing,
            Some(Ok(place)) => TailRead::Events(Following(self.kept.range(place..))),
            _ => TailRead::InLog,
        }
    }

    fn push(&mut self, event: Arc<Event>, id: u64) {
        let bytes = weight(&event);
        self.kept.push_back(RingEntry { event, bytes });
        self.newest = id;
        self.bytes += bytes;
        while self.kept.len() > self.limits.events || self.bytes > self.limits.bytes {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.bytes;
        }
    }
}

/// The bytes of an event in memory, approximately: each value of the payload counts, with its text.
fn weight(event: &Event) -> usize {
    size_of::<Event>() + weight_of(&event.payload)
}

/// Recurses as deep as the value nests, which is bounded for every recorded event.
fn weight_of(value: &Value) -> usize {
    let within = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight_of).sum(),
        Value::Object(fields) => fields.iter().map(|(name, field)| name.len() + weight_of(field)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + within
}

#[cfg(test)]
mod tests {
    use std::task::Wake;
    use std::time::UNIX_EPOCH;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use crate::NewEvent;

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

    struct PanicsWhenDropped;

    impl Wake for PanicsWhenDropped {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("a foreign waker");
        }
    }

    /// When it is woken, this reader registers a waker and is dropped.
    struct Leaves(Mutex<Option<TailReader>>);

    impl Wake for Leaves {
        fn wake(self: Arc<Self>) {
            let reader = self.0.lock().take().unwrap();
            reader.register_waker(&Waker::from(Arc::new(PanicsWhenDropped)));
        }
    }

    #[test]
    fn the_waker_of_a_reader_that_leaves_while_others_are_woken_does_not_end_the_writer() {
        let tail = Arc::new(Tail::default());
        let (leaving, staying) = (tail.follow(), tail.follow());
        staying.register_waker(&Waker::from(Arc::new(Leaves(Mutex::new(Some(leaving))))));
        tail.extend(&events(1, 1, 0));
        assert_eq!((staying.position(), tail.0.lock().wakers.len()), (Some(1), 1));
    }

    fn events(from: u64, count: u64, text: usize) -> Vec<Arc<Event>> {
        let event = |id| {
            let event = NewEvent::new("noted").unwrap().payload("x".repeat(text)).unwrap();
            Arc::new(event.record(EventId::new(id).unwrap(), "production", UNIX_EPOCH))
        };
        (from..from + count).map(event).collect()
    }

    fn ids(ring: &Ring, position: u64) -> Option<Vec<u64>> {
        match ring.after(position) {
            TailRead::Events(events) => Some(events.map(|event| event.id.get()).collect()),
            TailRead::Nothing => Some(Vec::new()),
            TailRead::InLog => None,
        }
    }

    proptest! {
        #[test]
        fn a_reader_gets_all_that_follows_or_is_sent_to_the_log(
            limit in 1..20usize,
            batches in vec((1..9u64, prop::bool::weighted(0.2)), 0..30),
        ) {
            let mut ring = Ring::with_limits(limit, usize::MAX);
            let (mut newest, mut kept) = (0, 0);
            for (count, unheard) in batches {
                if unheard {
                    (newest, kept) = (newest + 1, 0);
                }
                ring.extend(&events(newest + 1, count, 0));
                (newest, kept) = (newest + count, (kept + count).min(limit as u64));
                for position in 0..=newest {
                    let expected = (position >= newest - kept).then(|| (position + 1..=newest).collect::<Vec<_>>());
                    prop_assert_eq!(ids(&ring, position), expected);
                }
            }
            prop_assert_eq!((ring.newest(), ring.rewound()), (newest, 0));
        }
    }

    #[test]
    fn large_events_push_out_as_many_as_they_need() {
        let mut ring = Ring::with_limits(100, 3_000);
        ring.extend(&events(1, 3, 500));
        assert_eq!(ids(&ring, 0), Some(vec![1, 2, 3]));
        ring.extend(&events(4, 1, 1_500));
        assert_eq!((ids(&ring, 1), ids(&ring, 2)), (None, Some(vec![3, 4])));
        ring.extend(&events(5, 1, 5_000));
        assert_eq!((ids(&ring, 4), ids(&ring, 5)), (None, Some(vec![])));
        assert_eq!(ring.bytes, 0);
    }

    #[test]
    fn a_log_that_ends_earlier_than_before_is_noticed() {
        let mut ring = Ring::default();
        ring.extend(&events(1, 5, 0));
        ring.move_to(5);
        assert_eq!((ids(&ring, 0).map(|ids| ids.len()), ring.rewound()), (Some(5), 0));
        ring.move_to(2);
        assert_eq!((ids(&ring, 0), ids(&ring, 2), ring.rewound()), (None, Some(vec![]), 1));
        assert_eq!(ring.bytes, 0);
        ring.extend(&events(1, 1, 0));
        assert_eq!((ids(&ring, 0), ring.newest(), ring.rewound()), (Some(vec![1]), 1, 2));
    }
}
