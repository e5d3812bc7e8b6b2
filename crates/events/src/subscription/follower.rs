//! The latest events of a log, shared with all that follow it, and the position of a subscription in the log, with its
//! next step: decided here, done in [`live`](super::live).
//!
//! Of a follower:
//! 1. Everything up to `passed` is handled: it was given out or is in `ready`, did not match, or was reported as
//!    missed.
//! 2. `passed` only grows by what follows on from it, from the ring or from the log, and never beyond the newest id of
//!    the ring. So the hand-over between the two has neither gap nor duplicate, in either direction, as often as it
//!    happens.
//!
//! Of the tail:
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

use crate::{DamagedEvent, Event, EventId, EventKind, EventPage, Query};

/// The most events that are visited or read at once.
const CHUNK: usize = 256;

#[derive(Debug)]
pub(super) struct Follower {
    kinds: Arc<[EventKind]>,
    chunk: usize,
    passed: u64,
    /// The ring's count of rewinds when it was last read; `None` before the first time.
    rewound: Option<u64>,
    ready: VecDeque<Queued>,
    skips_imports: bool,
}

/// An item of the log that is to be given out, in the order of ids.
#[derive(Debug)]
enum Queued {
    Event(Arc<Event>),
    Unreadable(Unreadable),
}

/// Events that have ids and that the log cannot show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// A damaged event.
    Damaged(DamagedEvent),
    /// The events of this range are missing from the log, although they were not pruned.
    Lost { from: EventId, to: EventId },
}

/// The next step.
#[derive(Debug)]
pub(super) enum Next {
    /// Give the event out.
    Event(Arc<Event>),
    /// Report that these cannot be read.
    Unreadable(Unreadable),
    /// Report that these were pruned before they were read.
    Missed { from: EventId, to: EventId },
    /// Report that the log is another one, which ends here already.
    Rewound { position: EventId, newest: Option<EventId> },
    /// Read the log and [learn](Follower::learn) what is in it.
    Read(ChunkRequest),
    /// Wait until the ring changes.
    Wait,
}

impl Follower {
    /// A follower that has passed everything up to a position.
    pub(super) fn new(kinds: Arc<[EventKind]>, passed: u64) -> Self {
        Self { kinds, chunk: CHUNK, passed, rewound: None, ready: VecDeque::new(), skips_imports: false }
    }

    /// The same without imported events.
    pub(super) fn without_imports(self) -> Self {
        Self { skips_imports: true, ..self }
    }

    /// The position up to which everything was given out, did not match, or was reported as missed.
    pub(super) fn position(&self) -> u64 {
        self.ready.front().map_or(self.passed, |item| item.first().get() - 1)
    }

    /// The next item that is ready, without reading the ring.
    fn ready(&mut self) -> Option<Next> {
        self.ready.pop_front().map(Next::from)
    }

    /// The next step, as the ring shows it. It visits at most the events that the ring has.
    fn next(&mut self, ring: &Ring) -> Next {
        loop {
            if let Some(next) = self.ready() {
                return next;
            }
            if let Some(rewound) = self.rewound(ring) {
                return rewound;
            }
            if let Some(imported) = ring.imported_after(self.passed).filter(|_| self.skips_imports) {
                self.passed = imported;
                continue;
            }
            match ring.after(self.passed) {
                TailRead::Nothing => return Next::Wait,
                TailRead::InLog => return Next::Read(self.request(ring)),
                TailRead::Events(events) => events.take(self.chunk).for_each(|event| self.pass(event)),
            }
        }
    }

    /// Takes the result of [`Next::Read`]; reports events that were missed before it.
    pub(super) fn learn(&mut self, request: &ChunkRequest, found: Chunk) -> Option<Next> {
        let oldest = found.oldest.map_or(request.newest, |oldest| oldest.get() - 1).min(request.newest);
        if oldest > self.passed {
            let (from, to) = (EventId::after(self.passed), EventId::after(oldest - 1));
            self.passed = oldest;
            return Some(Next::Missed { from, to });
        }
        let Chunk { events, damaged, .. } = found;
        let last = damaged.as_ref().map(|damaged| damaged.event).or(events.last().map(|event| event.id));
        // If all matching events were found, everything up to the newest is covered; otherwise only up to the last one.
        let complete = damaged.is_none() && events.len() < request.at_most;
        let items = events.into_iter().map(Queued::Event);
        let items = items.chain(damaged.map(Unreadable::Damaged).map(Queued::Unreadable));
        items.filter(|item| item.first().get() <= request.newest).for_each(|item| self.take(item));
        if complete || last.is_some_and(|last| last.get() >= request.newest) {
            self.expect(request.newest.saturating_add(1));
            self.passed = request.newest;
        }
        None
    }

    fn request(&self, ring: &Ring) -> ChunkRequest {
        let import = ring.next_import(self.passed).filter(|_| self.skips_imports);
        ChunkRequest {
            kinds: Arc::clone(&self.kinds),
            after: EventId::new(self.passed),
            at_most: self.chunk,
            newest: import.map_or(ring.newest(), |first| first - 1),
        }
    }

    fn take(&mut self, item: Queued) {
        let id = item.first().get();
        self.expect(id);
        self.passed = id;
        self.ready.push_back(item);
    }

    /// A subscription to every event reports those that are missing before this one.
    fn expect(&mut self, next: u64) {
        if self.kinds.is_empty() && next > self.passed + 1 {
            let (from, to) = (EventId::after(self.passed), EventId::after(next - 2));
            self.ready.push_back(Queued::Unreadable(Unreadable::Lost { from, to }));
        }
    }

    fn pass(&mut self, event: &Arc<Event>) {
        self.passed = event.id.get();
        if self.kinds.is_empty() || self.kinds.contains(&event.kind) {
            self.ready.push_back(Queued::Event(Arc::clone(event)));
        }
    }

    fn rewound(&mut self, ring: &Ring) -> Option<Next> {
        let known = self.rewound.replace(ring.rewound());
        if known.is_none_or(|known| known == ring.rewound()) {
            return None;
        }
        let position = EventId::new(self.passed).filter(|position| position.get() > ring.newest())?;
        self.passed = ring.newest();
        Some(Next::Rewound { position, newest: EventId::new(ring.newest()) })
    }
}

impl Queued {
    /// The first event that it is about.
    fn first(&self) -> EventId {
        match self {
            Self::Event(event) => event.id,
            Self::Unreadable(unreadable) => unreadable.first(),
        }
    }
}

impl From<Queued> for Next {
    fn from(item: Queued) -> Self {
        match item {
            Queued::Event(event) => Self::Event(event),
            Queued::Unreadable(unreadable) => Self::Unreadable(unreadable),
        }
    }
}

impl Unreadable {
    fn first(&self) -> EventId {
        match self {
            Self::Damaged(damaged) => damaged.event,
            Self::Lost { from, .. } => *from,
        }
    }

    /// How many events it is about.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Damaged(_) => 1,
            Self::Lost { from, to } => to.get() - from.get() + 1,
        }
    }
}

/// A request to read a chunk.
#[derive(Debug, Clone)]
pub(crate) struct ChunkRequest {
    /// Only these kinds; any if there are none.
    kinds: Arc<[EventKind]>,
    /// Only events after this one.
    after: Option<EventId>,
    /// At most this many, the first ones.
    at_most: usize,
    /// The newest event at the time of the request; later ones may be found or not.
    newest: u64,
}

/// A chunk that was read.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The first events that match, in order: as many as were requested, or all there are.
    events: Vec<Arc<Event>>,
    /// The damaged event after them, at which the read ended.
    damaged: Option<DamagedEvent>,
    /// The oldest event of any kind in the log, looked up after `events`; at least as far back as matters.
    oldest: Option<EventId>,
}

impl ChunkRequest {
    /// Reads the chunk with these two reads of a log: a page, and the oldest event there is.
    ///
    /// # Errors
    /// Those of the reads.
    pub(crate) fn read<E>(
        &self,
        page: impl FnOnce(&Query) -> Result<EventPage, E>,
        oldest: impl FnOnce() -> Result<Option<EventId>, E>,
    ) -> Result<Chunk, E> {
        let after = self.after.into_iter().fold(Query::new(), Query::after);
        let page = page(&after.kinds(self.kinds.iter().cloned()).limit(self.at_most))?;
        // The matching events are read first, the oldest one second: events pruned in between are then reported as
        // missed. In the other order they would be missing silently.
        let oldest = match first(&page) {
            Some(first) if first == EventId::after(self.after.map_or(0, EventId::get)) => Some(first),
            _ => oldest()?,
        };
        let EventPage { events, damaged, .. } = page;
        Ok(Chunk { events, damaged: damaged.into_iter().next(), oldest })
    }
}

/// The first event of a page, damaged or not.
fn first(page: &EventPage) -> Option<EventId> {
    let event = page.events.first().map(|event| event.id);
    event.or_else(|| page.damaged.first().map(|damaged| damaged.event))
}

// ---- the tail ----

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
    /// The next step of a follower. The waker is woken at the next change.
    pub(super) fn next(&self, follower: &mut Follower, waker: &Waker) -> Next {
        if let Some(next) = follower.ready() {
            return next;
        }
        // Register the waker before checking: a change in between wakes this task again.
        self.register_waker(waker);
        self.read(|ring| follower.next(ring)).unwrap_or(Next::Wait)
    }

    /// Registers a waker that is woken at each change.
    pub(crate) fn register_waker(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The highest id ever given, 0 if none was; `None` until a log was opened.
    pub(crate) fn position(&self) -> Option<u64> {
        self.read(Ring::newest)
    }

    /// Reads the ring; `None` if no log was opened yet.
    fn read<T>(&self, read: impl FnOnce(&Ring) -> T) -> Option<T> {
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
struct Ring {
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
enum TailRead<'a> {
    /// The events that follow on from it, at least one.
    Events(Following<'a>),
    /// Nothing: the position is the newest one, or one that is not reached yet.
    Nothing,
    /// The next events are not kept here any more: the log has them, or had them.
    InLog,
}

/// Kept events in their order.
struct Following<'a>(Iter<'a, RingEntry>);

impl<'a> Iterator for Following<'a> {
    type Item = &'a Arc<Event>;

    fn next(&mut self) -> Option<&'a Arc<Event>> {
        self.0.next().map(|kept| &kept.event)
    }
}

impl Ring {
    #[cfg(test)]
    fn with_limits(events: usize, bytes: usize) -> Self {
        Self { limits: RingLimits { events, bytes }, ..Self::default() }
    }

    /// The highest id ever given; 0 if none was.
    fn newest(&self) -> u64 {
        self.newest
    }

    /// How often the log turned out to end before the events taken from it: it is another log then.
    fn rewound(&self) -> u64 {
        self.rewound
    }

    /// Takes newly recorded events, in order.
    fn extend<'a>(&mut self, events: impl IntoIterator<Item = &'a Arc<Event>>) {
        for event in events {
            let id = event.id.get();
            if id != self.newest.saturating_add(1) {
                self.move_to(id - 1);
            }
            self.push(Arc::clone(event), id);
        }
    }

    /// Moves to the end of a log that was opened, or that has no live reader: earlier events are read in the log.
    fn move_to(&mut self, newest: u64) {
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
    fn import(&mut self, newest: u64) {
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
    fn imported_after(&self, position: u64) -> Option<u64> {
        let next = position.saturating_add(1);
        self.imports.iter().find(|import| import.contains(&next)).map(|import| *import.end())
    }

    /// The first imported event after a position, if the next one is not imported.
    fn next_import(&self, position: u64) -> Option<u64> {
        let next = position.saturating_add(1);
        self.imports.iter().map(|import| *import.start()).find(|first| *first > next)
    }

    /// The events that follow a position.
    fn after(&self, position: u64) -> TailRead<'_> {
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
mod tail_tests;
#[cfg(test)]
mod tests;
