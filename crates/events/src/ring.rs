//! The latest events, as many as fit.
//!
//! 1. The kept events have consecutive ids, and the last of them has the id `newest`. So the events after a position
//!    are found by subtraction, and so is whether they are kept.
//! 2. At most `RingLimits::events` are kept, and at most `RingLimits::bytes` of them, approximately.
//! 3. `imports` are ranges of ids in ascending order, which do not touch each other; the latest `MAX_IMPORTS` of them.
//! 4. A reader only gets events that follow on from its position; one that is further behind reads the log.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;
use std::mem::size_of;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::Value;

use super::event::Event;

#[derive(Debug, Clone, Copy)]
pub(super) struct RingLimits {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

impl Default for RingLimits {
    fn default() -> Self {
        Self { events: 1_024, bytes: 8 << 20 }
    }
}

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
    pub(super) fn with_limits(limits: RingLimits) -> Self {
        Self { limits, ..Self::default() }
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
    use std::time::UNIX_EPOCH;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::id::EventId;
    use super::super::new_event::NewEvent;
    use super::*;

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
            let mut ring = Ring::with_limits(RingLimits { events: limit, bytes: usize::MAX });
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
        let mut ring = Ring::with_limits(RingLimits { events: 100, bytes: 3_000 });
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
