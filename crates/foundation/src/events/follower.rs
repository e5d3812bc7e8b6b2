//! Where somebody stands who follows a log, and what comes next: decided here, done in [`subscription`](super::subscription).
//!
//! 1. Everything up to `passed` is done with: it was given out or lies in `ready`, did not match, or was told as missed.
//! 2. `passed` grows by what follows on from it only, from the ring or from the log, and never beyond what the ring calls the
//!    newest. So the hand-over between the two has neither gap nor duplicate, in either direction, as often as it happens.

use std::collections::VecDeque;
use std::sync::Arc;

use super::chunk::{Found, Wanted};
use super::event::Event;
use super::id::EventId;
use super::kind::EventKind;
use super::ring::{Ahead, Ring};

/// How many events are looked at or read at once.
const CHUNK: usize = 256;

#[derive(Debug)]
pub(super) struct Follower {
    kinds: Arc<[EventKind]>,
    chunk: usize,
    passed: u64,
    /// How often the ring had been rewound when it was looked at; `None` before the first look.
    rewound: Option<u64>,
    ready: VecDeque<Arc<Event>>,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Next {
    /// Give it out.
    Event(Arc<Event>),
    /// Tell that these were pruned before they were read.
    Missed { from: EventId, to: EventId },
    /// Tell that the log is another one, which ends here already.
    Rewound { position: EventId, newest: Option<EventId> },
    /// Read the log and [learn](Follower::learn) what is in it.
    Read(Wanted),
    /// Wait until the ring changes.
    Wait,
}

impl Follower {
    /// One that has passed everything up to a position.
    pub(super) fn new(kinds: Arc<[EventKind]>, passed: u64) -> Self {
        Self { kinds, chunk: CHUNK, passed, rewound: None, ready: VecDeque::new() }
    }

    /// Up to where everything was given out, did not match, or was told as missed.
    pub(super) fn position(&self) -> u64 {
        self.ready.front().map_or(self.passed, |event| event.id.get() - 1)
    }

    /// What is at hand without a look at the ring.
    pub(super) fn ready(&mut self) -> Option<Arc<Event>> {
        self.ready.pop_front()
    }

    /// What comes next, as the ring shows it. It looks at those that the ring has, at most.
    pub(super) fn next(&mut self, ring: &Ring) -> Next {
        loop {
            if let Some(event) = self.ready() {
                return Next::Event(event);
            }
            if let Some(rewound) = self.rewound(ring) {
                return rewound;
            }
            match ring.after(self.passed) {
                Ahead::Nothing => return Next::Wait,
                Ahead::InLog => return Next::Read(self.wanted(ring)),
                Ahead::Events(events) => events.take(self.chunk).for_each(|event| self.pass(event)),
            }
        }
    }

    /// Takes what was found where [`Next::Read`] said; tells what was missed before it.
    pub(super) fn learn(&mut self, wanted: &Wanted, found: Found) -> Option<Next> {
        let oldest = found.oldest.map_or(wanted.newest, |oldest| oldest.get() - 1).min(wanted.newest);
        if oldest > self.passed {
            let (from, to) = (EventId::after(self.passed), EventId::after(oldest - 1));
            self.passed = oldest;
            return Some(Next::Missed { from, to });
        }
        let complete = found.events.len() < wanted.at_most;
        let last = found.events.last().map_or(self.passed, |event| event.id.get());
        let known = found.events.into_iter().filter(|event| event.id.get() <= wanted.newest);
        self.ready.extend(known);
        // If all that match were found, so were all up to the newest; if not, only those up to the last one.
        self.passed = if complete { wanted.newest } else { last.min(wanted.newest) };
        None
    }

    fn wanted(&self, ring: &Ring) -> Wanted {
        Wanted {
            kinds: Arc::clone(&self.kinds),
            after: EventId::new(self.passed),
            at_most: self.chunk,
            newest: ring.newest(),
        }
    }

    fn pass(&mut self, event: &Arc<Event>) {
        self.passed = event.id.get();
        if self.kinds.is_empty() || self.kinds.contains(&event.kind) {
            self.ready.push_back(Arc::clone(event));
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

#[cfg(test)]
mod tests;
