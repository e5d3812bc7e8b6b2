//! The counters and measures of a namespace itself.

use std::time::Instant;

use crate::telemetry::{CounterIndex, CounterSet, Histogram, Reading, Snapshot};

type Index = CounterIndex<8>;

const REGISTRATIONS: Index = CounterIndex::at::<0>();
const RELEASES: Index = CounterIndex::at::<1>();
const LOOKUPS: Index = CounterIndex::at::<2>();
const MISSES: Index = CounterIndex::at::<3>();
const STARTS: Index = CounterIndex::at::<4>();
const EXITS: Index = CounterIndex::at::<5>();
const RESTARTS: Index = CounterIndex::at::<6>();
const FAILED_STARTS: Index = CounterIndex::at::<7>();

const ONLY: CounterIndex<1> = CounterIndex::at::<0>();

const NAMES: [(&str, Index); 8] = [
    ("registry.registrations", REGISTRATIONS),
    ("registry.releases", RELEASES),
    ("registry.lookups", LOOKUPS),
    ("registry.misses", MISSES),
    ("supervisor.starts", STARTS),
    ("supervisor.exits", EXITS),
    ("supervisor.restarts", RESTARTS),
    ("supervisor.failed_starts", FAILED_STARTS),
];

/// Nanoseconds from the start of a lookup until an actor is found.
const LOOKUP_DURATION: &str = "registry.lookup_duration_ns";
/// One in this many lookups of a thread is timed: reading the clock twice would take longer than the lookup itself.
const SAMPLED: u64 = 256;
const GIVE_UPS: &str = "supervisor.give_ups";

/// What is counted, lookups apart.
pub(crate) enum Counted {
    Registration,
    Release,
    /// A lookup that found no actor.
    Miss,
    /// A start of a child, be it a restart.
    Start,
    Restart,
    Exit,
    FailedStart,
    GiveUp,
}

/// The counters of one namespace: its names and its supervisors. One cache line per counting thread.
#[derive(Default)]
pub(crate) struct Counters {
    counts: CounterSet<8>,
    /// Rare, so not part of the cache line.
    give_ups: CounterSet<1>,
    lookup_duration: Histogram,
}

impl Counters {
    pub(crate) fn count(&self, counted: Counted) {
        let index = match counted {
            Counted::Registration => REGISTRATIONS,
            Counted::Release => RELEASES,
            Counted::Miss => MISSES,
            Counted::Start => STARTS,
            Counted::Restart => RESTARTS,
            Counted::Exit => EXITS,
            Counted::FailedStart => FAILED_STARTS,
            Counted::GiveUp => return self.give_ups.increment(ONLY),
        };
        self.counts.increment(index);
    }

    /// Counts a lookup and returns whether to time it, which follows from the count.
    #[inline]
    pub(crate) fn looked_up(&self) -> bool {
        self.counts.advance(LOOKUPS, 1).is_multiple_of(SAMPLED)
    }

    pub(crate) fn found_since(&self, begun: Instant) {
        self.lookup_duration.record(begun.elapsed().as_nanos() as f64);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        for (name, index) in NAMES {
            snapshot.insert(name, Reading::Counter(self.counts.value(index)));
        }
        snapshot.insert(GIVE_UPS, Reading::Counter(self.give_ups.value(ONLY)));
        snapshot.insert(LOOKUP_DURATION, &self.lookup_duration);
        snapshot
    }
}
