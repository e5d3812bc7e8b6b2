//! Followers against the memory log, in random interleavings.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::{
    EventLog, EventReader, EventStats, LogError, MemoryLog, NewEvent, PruneBound, Query, SubscriptionName, Verification,
};

const KINDS: [EventKind; 3] =
    [EventKind::from_static("opened"), EventKind::from_static("closed"), EventKind::from_static("moved")];

/// A log, its ring, and its followers.
struct World {
    log: MemoryLog,
    recorded: Vec<Arc<Event>>,
    pruned: u64,
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
    /// Commits events of these kinds; the ring gets them at once, or only when the log is opened again.
    Commit(Vec<usize>, bool),
    Prune(u64),
    Reopen,
    Subscribe(Vec<usize>, usize),
    /// A reader takes a turn; while it reads, this many events are committed, and pruned between its two reads.
    Read(usize, usize, u64),
    Acknowledge(usize),
    /// A reader is dropped and resumes where it has acknowledged.
    Resume(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (vec(0..KINDS.len(), 1..12), prop::bool::weighted(0.9)).prop_map(|(kinds, is_live)| Step::Commit(kinds, is_live)),
        1 => (0..20u64).prop_map(Step::Prune),
        1 => Just(Step::Reopen),
        2 => (vec(0..KINDS.len(), 0..3), any::<usize>()).prop_map(|(kinds, from)| Step::Subscribe(kinds, from)),
        8 => (any::<usize>(), 0..4usize, 0..4u64).prop_map(|(who, more, fewer)| Step::Read(who, more, fewer)),
        2 => any::<usize>().prop_map(Step::Acknowledge),
        1 => any::<usize>().prop_map(Step::Resume),
    ]
}

/// A reader that prunes events after each read.
struct PruningReader {
    log: MemoryLog,
    fewer: u64,
    pruned: AtomicU64,
}

impl EventReader for PruningReader {
    fn query(&self, query: &Query) -> Result<Vec<Arc<Event>>, LogError> {
        let found = self.log.query(query);
        self.pruned.fetch_add(prune(&self.log, self.fewer), Ordering::Relaxed);
        Ok(found)
    }

    fn get(&self, id: EventId) -> Result<Option<Arc<Event>>, LogError> {
        Ok(self.log.get(id))
    }

    fn stats(&self) -> Result<EventStats, LogError> {
        Ok(self.log.stats())
    }

    fn acknowledged(&self, _: &SubscriptionName) -> Result<Option<EventId>, LogError> {
        Ok(None)
    }

    fn verify(&self, _: &mut dyn FnMut(u64)) -> Result<Verification, LogError> {
        Ok(self.log.verify())
    }
}

/// Prunes this many of the oldest events, as far as there are any.
fn prune(log: &MemoryLog, count: u64) -> u64 {
    EventLog::prune(&mut log.clone(), PruneBound::Count(0), None, count as usize).unwrap()
}

impl World {
    fn new(events: usize, chunk: usize) -> Self {
        let ring = Ring::with_limits(events, 8 << 20);
        Self { log: MemoryLog::new("production"), recorded: Vec::new(), pruned: 0, ring, chunk, readers: Vec::new() }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Commit(kinds, is_live) => self.commit(kinds, *is_live),
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

    fn commit(&mut self, kinds: &[usize], is_live: bool) {
        let batch = kinds.iter().map(|kind| NewEvent::of(KINDS[*kind].clone())).collect();
        let appended = self.log.append_batch(batch, UNIX_EPOCH).unwrap();
        if is_live {
            self.ring.extend(&appended.events);
        }
        self.recorded.extend(appended.events);
    }

    fn prune(&mut self, count: u64) {
        self.pruned += prune(&self.log, count);
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
    fn read(&mut self, who: usize, more: usize, fewer: u64) -> bool {
        let next = self.readers[who].follower.next(&self.ring);
        let next = match next {
            Next::Read(request) => {
                let found = self.find(&request, more, fewer);
                let Some(next) = self.readers[who].follower.learn(&request, found) else { return true };
                next
            }
            next => next,
        };
        let reader = &mut self.readers[who];
        match next {
            Next::Event(event) => reader.given.push(event.id.get()),
            Next::Missed { from, to } => reader.missed.push(from.get()..=to.get()),
            Next::Wait => return false,
            other => panic!("a log that grows does not lead to {other:?}"),
        }
        true
    }

    fn find(&mut self, request: &ChunkRequest, more: usize, fewer: u64) -> Chunk {
        self.commit(&vec![0; more], false);
        let reader = PruningReader { log: self.log.clone(), fewer, pruned: AtomicU64::new(0) };
        let found = request.read(|query| reader.page(query), || Ok(reader.stats()?.oldest)).unwrap();
        self.pruned += reader.pruned.into_inner();
        found
    }

    /// Each has seen the events it wants, in order, once; or their loss was reported, and then they were pruned.
    fn check(&self) {
        for reader in &self.readers {
            let missed = |id: u64| reader.missed.iter().any(|range| range.contains(&id));
            let wants = |event: &&Arc<Event>| reader.kinds.is_empty() || reader.kinds.contains(&event.kind);
            let wanted = self.recorded[reader.begun as usize..].iter().filter(wants).map(|event| event.id.get());
            let expected: Vec<u64> = wanted.filter(|id| !missed(*id)).collect();
            assert_eq!(reader.given, expected);
            let last_missed = reader.missed.iter().map(|range| *range.end()).max();
            assert!(last_missed.unwrap_or(0) <= self.pruned, "only pruned events are reported as missed");
        }
    }
}

proptest! {
    #[test]
    fn each_reader_gets_its_events_in_order_and_once_or_a_report_of_their_loss(
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
fn a_log_that_begins_anew_is_reported_once() {
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
fn a_reader_before_the_end_of_a_log_that_begins_anew_goes_on_without_a_report() {
    let mut ring = Ring::default();
    ring.move_to(3);
    let known = ring.rewound();
    ring.move_to(2);
    for standing in [1, 2] {
        let mut follower = Follower::new([].into(), standing);
        follower.rewound = Some(known);
        match follower.next(&ring) {
            Next::Read(request) => assert_eq!((standing, request.newest), (1, 2)),
            next => assert!(matches!(next, Next::Wait) && standing == 2, "{next:?}"),
        }
    }
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
