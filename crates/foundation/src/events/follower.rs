//! Where somebody stands who follows a log, and what comes next: decided here, done in [`subscription`](super::subscription).
//!
//! 1. Everything up to `passed` is done with: it was given out or lies in `ready`, did not match, or was told as missed.
//! 2. `passed` grows by what follows on from it only, from the ring or from the log, and never beyond what the ring calls the
//!    newest. So the hand-over between the two has neither gap nor duplicate, in either direction, as often as it happens.
//! 3. The log is asked for what matches first and for its oldest event afterwards. What was pruned in between is then told
//!    as missed; in the other order it would be missing without a word.

use std::collections::VecDeque;
use std::sync::Arc;

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

/// What to read.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Of these kinds; of any if there are none.
    pub(super) kinds: Arc<[EventKind]>,
    /// Only later ones.
    pub(super) after: Option<EventId>,
    /// At most so many, the first ones.
    pub(super) at_most: usize,
    /// What was the newest when this was asked; later ones may be found or not.
    pub(super) newest: u64,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Found {
    /// The first events that match, in order: as many as were wanted, or all there are.
    pub(super) events: Vec<Arc<Event>>,
    /// The oldest event of any kind after the position, looked up after `events`.
    pub(super) oldest: Option<EventId>,
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
mod tests {
    use std::ops::RangeInclusive;
    use std::time::UNIX_EPOCH;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::new_event::NewEvent;
    use super::super::ring::RingLimits;
    use super::*;

    const KINDS: [EventKind; 3] =
        [EventKind::from_static("opened"), EventKind::from_static("closed"), EventKind::from_static("moved")];

    /// A log that is a list, its ring, and those who follow.
    struct World {
        recorded: Vec<Arc<Event>>,
        pruned: usize,
        ring: Ring,
        chunk: usize,
        readers: Vec<Reader>,
    }

    struct Reader {
        kinds: Arc<[EventKind]>,
        begun: u64,
        acknowledged: u64,
        follower: Follower,
        given: Vec<u64>,
        missed: Vec<RangeInclusive<u64>>,
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// Commits events of these kinds; the ring hears of it, or hears of it only when the log is opened again.
        Commit(Vec<usize>, bool),
        Prune(usize),
        Reopen,
        Subscribe(Vec<usize>, usize),
        /// A reader takes a turn; while it reads, so many events are committed, and pruned between its two looks.
        Read(usize, usize, usize),
        Acknowledge(usize),
        /// A reader is gone and comes back where it has acknowledged.
        Resume(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (vec(0..KINDS.len(), 1..12), prop::bool::weighted(0.9)).prop_map(|(kinds, told)| Step::Commit(kinds, told)),
            1 => (0..20usize).prop_map(Step::Prune),
            1 => Just(Step::Reopen),
            2 => (vec(0..KINDS.len(), 0..3), any::<usize>()).prop_map(|(kinds, from)| Step::Subscribe(kinds, from)),
            8 => (any::<usize>(), 0..4usize, 0..4usize).prop_map(|(who, more, fewer)| Step::Read(who, more, fewer)),
            2 => any::<usize>().prop_map(Step::Acknowledge),
            1 => any::<usize>().prop_map(Step::Resume),
        ]
    }

    impl World {
        fn new(events: usize, chunk: usize) -> Self {
            let ring = Ring::with_limits(RingLimits { events, ..RingLimits::default() });
            Self { recorded: Vec::new(), pruned: 0, ring, chunk, readers: Vec::new() }
        }

        fn take(&mut self, step: &Step) {
            match step {
                Step::Commit(kinds, told) => self.commit(kinds, *told),
                Step::Prune(count) => self.prune(*count),
                Step::Reopen => self.ring.move_to(self.recorded.len() as u64),
                Step::Subscribe(kinds, from) => self.subscribe(kinds, *from),
                _ if self.readers.is_empty() => {}
                Step::Read(who, more, fewer) => drop(self.read(who % self.readers.len(), *more, *fewer)),
                Step::Acknowledge(who) => {
                    let reader = self.reader(*who);
                    reader.acknowledged = reader.given.last().copied().unwrap_or(reader.acknowledged);
                }
                Step::Resume(who) => self.resume(who % self.readers.len()),
            }
        }

        fn reader(&mut self, who: usize) -> &mut Reader {
            let count = self.readers.len();
            &mut self.readers[who % count]
        }

        fn commit(&mut self, kinds: &[usize], told: bool) {
            let before = self.recorded.len();
            for kind in kinds {
                let id = EventId::after(self.recorded.len() as u64);
                let event = NewEvent::of(KINDS[*kind].clone()).record(id, "production", UNIX_EPOCH);
                self.recorded.push(Arc::new(event));
            }
            if told {
                self.ring.extend(&self.recorded[before..]);
            }
        }

        fn prune(&mut self, count: usize) {
            self.pruned = self.recorded.len().min(self.pruned + count);
        }

        fn subscribe(&mut self, kinds: &[usize], from: usize) {
            let kinds: Arc<[EventKind]> = kinds.iter().map(|kind| KINDS[*kind].clone()).collect();
            let begun = from as u64 % (self.ring.newest() + 1);
            let follower = self.follower(&kinds, begun);
            let (given, missed) = Default::default();
            self.readers.push(Reader { kinds, begun, acknowledged: begun, follower, given, missed });
        }

        fn resume(&mut self, who: usize) {
            let follower = self.follower(&self.readers[who].kinds, self.readers[who].acknowledged);
            let reader = &mut self.readers[who];
            let from = reader.acknowledged;
            reader.given.retain(|id| *id <= from);
            reader.missed.retain(|range| *range.start() <= from);
            reader.follower = follower;
        }

        fn follower(&self, kinds: &Arc<[EventKind]>, passed: u64) -> Follower {
            Follower { chunk: self.chunk, ..Follower::new(Arc::clone(kinds), passed) }
        }

        /// One turn; false if there was nothing to do.
        fn read(&mut self, who: usize, more: usize, fewer: usize) -> bool {
            let next = self.readers[who].follower.next(&self.ring);
            let told = match next {
                Next::Read(wanted) => {
                    let found = self.look(&wanted, more, fewer);
                    let Some(told) = self.readers[who].follower.learn(&wanted, found) else { return true };
                    told
                }
                next => next,
            };
            let reader = &mut self.readers[who];
            match told {
                Next::Event(event) => reader.given.push(event.id.get()),
                Next::Missed { from, to } => reader.missed.push(from.get()..=to.get()),
                Next::Wait => return false,
                other => panic!("a log that grows does not lead to {other:?}"),
            }
            true
        }

        fn look(&mut self, wanted: &Wanted, more: usize, fewer: usize) -> Found {
            self.commit(&vec![0; more], false);
            let after = wanted.after.map_or(0, EventId::get);
            let held = |world: &Self| world.recorded[world.pruned..].to_vec().into_iter();
            let matching = held(self).filter(|event| event.id.get() > after);
            let of_kind = |event: &Arc<Event>| wanted.kinds.is_empty() || wanted.kinds.contains(&event.kind);
            let events = matching.filter(of_kind).take(wanted.at_most).collect();
            self.prune(fewer);
            let oldest = held(self).map(|event| event.id).find(|id| id.get() > after);
            Found { events, oldest }
        }

        /// Each has seen what it wants, in order, once; or was told that it is missing, and then it is.
        fn check(&self) {
            for reader in &self.readers {
                let missed = |id: u64| reader.missed.iter().any(|range| range.contains(&id));
                let wants = |event: &&Arc<Event>| reader.kinds.is_empty() || reader.kinds.contains(&event.kind);
                let wanted = self.recorded[reader.begun as usize..].iter().filter(wants).map(|event| event.id.get());
                let expected: Vec<u64> = wanted.filter(|id| !missed(*id)).collect();
                assert_eq!(reader.given, expected);
                let last_missed = reader.missed.iter().map(|range| *range.end()).max();
                assert!(last_missed.unwrap_or(0) <= self.pruned as u64, "what was told as missed was pruned");
            }
        }
    }

    proptest! {
        #[test]
        fn each_reader_gets_what_it_wants_in_order_and_once_or_is_told(
            events in 1..8usize,
            chunk in 1..6usize,
            steps in vec(step(), 0..120),
        ) {
            let mut world = World::new(events, chunk);
            steps.iter().for_each(|step| world.take(step));
            world.take(&Step::Reopen);
            for who in 0..world.readers.len() {
                while world.read(who, 0, 0) {}
            }
            world.check();
        }
    }

    #[test]
    fn a_log_that_begins_anew_is_told_once() {
        let mut world = World::new(4, 4);
        world.commit(&[0, 0, 0], true);
        world.subscribe(&[], 3);
        assert!(matches!(world.readers[0].follower.next(&world.ring), Next::Wait));
        world.ring.move_to(1);
        let next = world.readers[0].follower.next(&world.ring);
        assert!(matches!(next, Next::Rewound { position, newest } if position.get() == 3 && newest == EventId::new(1)));
        assert!(matches!(world.readers[0].follower.next(&world.ring), Next::Wait));
    }

    #[test]
    fn a_position_that_is_not_reached_yet_is_waited_for() {
        let mut world = World::new(4, 4);
        let mut early = Follower::new([].into(), 2);
        world.commit(&[0, 0], true);
        assert!(matches!(early.next(&world.ring), Next::Wait));
        world.commit(&[0], true);
        assert!(matches!(early.next(&world.ring), Next::Event(event) if event.id.get() == 3));
    }
}
