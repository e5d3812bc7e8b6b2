//! The position of a subscription in a log, and its next step: decided here, done in
//! [`live`](super::live).
//!
//! 1. Everything up to `passed` is handled: it was given out or is in `ready`, did not match, or was reported as
//!    missed.
//! 2. `passed` only grows by what follows on from it, from the ring or from the log, and never beyond the newest id of
//!    the ring. So the hand-over between the two has neither gap nor duplicate, in either direction, as often as it
//!    happens.

use std::collections::VecDeque;
use std::sync::Arc;

use super::tail::{Ring, TailRead};
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
    Read(Wanted),
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
    pub(super) fn ready(&mut self) -> Option<Next> {
        self.ready.pop_front().map(Next::from)
    }

    /// The next step, as the ring shows it. It visits at most the events that the ring has.
    pub(super) fn next(&mut self, ring: &Ring) -> Next {
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
                TailRead::InLog => return Next::Read(self.wanted(ring)),
                TailRead::Events(events) => events.take(self.chunk).for_each(|event| self.pass(event)),
            }
        }
    }

    /// Takes the result of [`Next::Read`]; reports events that were missed before it.
    pub(super) fn learn(&mut self, wanted: &Wanted, found: Found) -> Option<Next> {
        let oldest = found.oldest.map_or(wanted.newest, |oldest| oldest.get() - 1).min(wanted.newest);
        if oldest > self.passed {
            let (from, to) = (EventId::after(self.passed), EventId::after(oldest - 1));
            self.passed = oldest;
            return Some(Next::Missed { from, to });
        }
        let Found { events, damaged, .. } = found;
        let last = damaged.as_ref().map(|damaged| damaged.event).or(events.last().map(|event| event.id));
        // If all matching events were found, everything up to the newest is covered; otherwise only up to the last one.
        let complete = damaged.is_none() && events.len() < wanted.at_most;
        let items = events.into_iter().map(Queued::Event);
        let items = items.chain(damaged.map(Unreadable::Damaged).map(Queued::Unreadable));
        items.filter(|item| item.first().get() <= wanted.newest).for_each(|item| self.take(item));
        if complete || last.is_some_and(|last| last.get() >= wanted.newest) {
            self.expect(wanted.newest.saturating_add(1));
            self.passed = wanted.newest;
        }
        None
    }

    fn wanted(&self, ring: &Ring) -> Wanted {
        let import = ring.next_import(self.passed).filter(|_| self.skips_imports);
        Wanted {
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
pub(crate) struct Wanted {
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
pub(crate) struct Found {
    /// The first events that match, in order: as many as were wanted, or all there are.
    events: Vec<Arc<Event>>,
    /// The damaged event after them, at which the read ended.
    damaged: Option<DamagedEvent>,
    /// The oldest event of any kind in the log, looked up after `events`; at least as far back as matters.
    oldest: Option<EventId>,
}

impl Wanted {
    /// Reads the chunk with these two reads of a log: a page, and the oldest event there is.
    ///
    /// # Errors
    /// Those of the reads.
    pub(crate) fn read<E>(
        &self,
        page: impl FnOnce(&Query) -> Result<EventPage, E>,
        oldest: impl FnOnce() -> Result<Option<EventId>, E>,
    ) -> Result<Found, E> {
        let after = self.after.into_iter().fold(Query::new(), Query::after);
        let page = page(&after.kinds(self.kinds.iter().cloned()).limit(self.at_most))?;
        // The matching events are read first, the oldest one second: events pruned in between are then reported as
        // missed. In the other order they would be missing silently.
        let oldest = match first(&page) {
            Some(first) if first == EventId::after(self.after.map_or(0, EventId::get)) => Some(first),
            _ => oldest()?,
        };
        let EventPage { events, damaged, .. } = page;
        Ok(Found { events, damaged: damaged.into_iter().next(), oldest })
    }
}

/// The first event of a page, damaged or not.
fn first(page: &EventPage) -> Option<EventId> {
    let event = page.events.first().map(|event| event.id);
    event.or_else(|| page.damaged.first().map(|damaged| damaged.event))
}

#[cfg(test)]
mod tests;
