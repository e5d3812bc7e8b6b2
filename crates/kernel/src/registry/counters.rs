//! The counters and measures of a namespace itself.

use std::time::Instant;

use crate::telemetry::{Counter, CounterIndex, CounterSet, Histogram, Snapshot};

type Index = CounterIndex<8>;

const REGISTRATIONS: Index = CounterIndex::at::<0>();
const RELEASES: Index = CounterIndex::at::<1>();
const LOOKUPS: Index = CounterIndex::at::<2>();
const MISSES: Index = CounterIndex::at::<3>();
const STARTS: Index = CounterIndex::at::<4>();
const EXITS: Index = CounterIndex::at::<5>();
const RESTARTS: Index = CounterIndex::at::<6>();
const FAILED_STARTS: Index = CounterIndex::at::<7>();

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

/// The counters of one namespace: its names and its supervisors. One cache line per counting thread.
#[derive(Default)]
pub(crate) struct Counters {
    counts: CounterSet<8>,
    /// Rare, so not part of the cache line.
    give_ups: Counter,
    lookup_duration: Histogram,
}

impl Counters {
    pub(crate) fn registered(&self) {
        self.counts.increment(REGISTRATIONS);
    }

    pub(crate) fn released(&self) {
        self.counts.increment(RELEASES);
    }

    /// Counts a lookup and returns whether to time it, which follows from the count.
    #[inline]
    pub(crate) fn looked_up(&self) -> bool {
        self.counts.advance(LOOKUPS, 1).is_multiple_of(SAMPLED)
    }

    pub(crate) fn found_since(&self, begun: Instant) {
        self.lookup_duration.record(begun.elapsed().as_nanos() as f64);
    }

    pub(crate) fn missed(&self) {
        self.counts.increment(MISSES);
    }

    pub(crate) fn child_started(&self, restarted: bool) {
        self.counts.increment(STARTS);
        if restarted {
            self.counts.increment(RESTARTS);
        }
    }

    pub(crate) fn child_exited(&self) {
        self.counts.increment(EXITS);
    }

    pub(crate) fn start_failed(&self) {
        self.counts.increment(FAILED_STARTS);
    }

    pub(crate) fn gave_up(&self) {
        self.give_ups.increment();
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        for (name, index) in NAMES {
            snapshot.insert(name, crate::telemetry::Reading::Counter(self.counts.value(index)));
        }
        snapshot.insert(GIVE_UPS, crate::telemetry::Reading::Counter(self.give_ups.value()));
        snapshot.insert(LOOKUP_DURATION, &self.lookup_duration);
        snapshot
    }
}
