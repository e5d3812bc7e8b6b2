//! What a namespace counts about itself.

use crate::telemetry::{CounterIndex, CounterSet, Snapshot};

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

/// The counters of one namespace: its names and its supervisors. One cache line per counting thread.
#[derive(Default)]
pub(crate) struct Counters(CounterSet<8>);

impl Counters {
    pub(crate) fn registered(&self) {
        self.0.increment(REGISTRATIONS);
    }

    pub(crate) fn released(&self) {
        self.0.increment(RELEASES);
    }

    #[inline]
    pub(crate) fn looked_up(&self) {
        self.0.increment(LOOKUPS);
    }

    pub(crate) fn missed(&self) {
        self.0.increment(MISSES);
    }

    pub(crate) fn child_started(&self, restarted: bool) {
        self.0.increment(STARTS);
        if restarted {
            self.0.increment(RESTARTS);
        }
    }

    pub(crate) fn child_exited(&self) {
        self.0.increment(EXITS);
    }

    pub(crate) fn start_failed(&self) {
        self.0.increment(FAILED_STARTS);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        for (name, index) in NAMES {
            snapshot.insert(name, crate::telemetry::Reading::Counter(self.0.value(index)));
        }
        snapshot
    }
}
