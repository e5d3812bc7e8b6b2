//! Jobs at whose time something happens: they become due, or have waited for too long.

use std::time::Duration;

use tokio::time::Instant;

use crate::slab::SlabIndex;

/// A time from now; one that the clock cannot tell is a year from now.
pub(crate) fn far(now: Instant, delay: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
    now.checked_add(delay.min(YEAR)).unwrap_or(now)
}

/// The mark of a job without a time.
const NONE: u32 = u32::MAX;

/// Places of a slab by time, the earliest first; of those with the same time the one with the lower number comes first.
///
/// A binary heap that knows where each place stands, so that a job can leave before its time. Adding and removing are
/// logarithmic in the jobs that have a time; a job without one costs nothing, or four bytes beside one that has.
#[derive(Debug, Default)]
pub(crate) struct Timetable {
    heap: Vec<Entry>,
    /// Where each place stands in the heap.
    positions: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    time: Instant,
    number: u64,
    at: SlabIndex,
}

impl Timetable {
    /// Gives a place, which has none, a time.
    pub(crate) fn insert(&mut self, at: SlabIndex, time: Instant, number: u64) {
        if self.positions.len() <= at.number() {
            self.positions.resize(at.number() + 1, NONE);
        }
        self.heap.push(Entry { time, number, at });
        self.rise(self.heap.len() - 1);
    }

    /// The earliest time of all.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.time)
    }

    /// Takes the place whose time has come first, if it has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<SlabIndex> {
        let first = self.heap.first().filter(|entry| entry.time <= now)?.at;
        self.remove(first);
        Some(first)
    }

    /// Removes a place, if it has a time.
    #[inline]
    pub(crate) fn remove(&mut self, at: SlabIndex) {
        if !self.heap.is_empty() {
            self.remove_entry(at);
        }
    }

    fn remove_entry(&mut self, at: SlabIndex) {
        let Some(position) = self.positions.get_mut(at.number()) else { return };
        let position = std::mem::replace(position, NONE) as usize;
        if position >= self.heap.len() {
            return;
        }
        self.heap.swap_remove(position);
        if position < self.heap.len() {
            // The last one stands here now: it belongs above or below, and one of these does nothing.
            let position = self.rise(position);
            self.sink(position);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Moves an entry up to where it belongs, and returns its position.
    fn rise(&mut self, mut position: usize) -> usize {
        while position > 0 && self.heap[position] < self.heap[(position - 1) / 2] {
            self.heap.swap(position, (position - 1) / 2);
            self.note(position);
            position = (position - 1) / 2;
        }
        self.note(position);
        position
    }

    /// Moves an entry down to where it belongs.
    fn sink(&mut self, mut position: usize) {
        loop {
            let children = (2 * position + 1)..(2 * position + 3).min(self.heap.len());
            let Some(child) = children.min_by_key(|child| self.heap[*child]) else { break };
            if self.heap[position] <= self.heap[child] {
                break;
            }
            self.heap.swap(position, child);
            self.note(position);
            position = child;
        }
        self.note(position);
    }

    fn note(&mut self, position: usize) {
        let at = self.heap[position].at;
        self.positions[at.number()] = position as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::slab::Slab;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64),
        Remove(usize),
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..20_u64).prop_map(Step::Insert),
            2 => (0..100_usize).prop_map(Step::Remove),
            1 => (0..5_u64).prop_map(Step::Pass),
        ];
        proptest::collection::vec(step, 0..300)
    }

    proptest! {
        #[test]
        fn places_come_out_at_their_times_in_order_unless_they_are_removed_before(steps in steps()) {
            let origin = Instant::now();
            let (mut slab, mut table, mut expected) = (Slab::default(), Timetable::default(), BTreeSet::new());
            let mut now = origin;
            for (number, step) in (0..).zip(steps) {
                match step {
                    Step::Insert(seconds) => {
                        let (at, time) = (slab.insert(()), now + Duration::from_secs(seconds));
                        table.insert(at, time, number);
                        expected.insert((time, number, at));
                    }
                    Step::Remove(chosen) => if let Some(entry) = expected.iter().nth(chosen).copied() {
                        table.remove(entry.2);
                        table.remove(entry.2);
                        expected.remove(&entry);
                        slab.take(entry.2);
                    },
                    Step::Pass(seconds) => now += Duration::from_secs(seconds),
                }
                while let Some(at) = table.pop(now) {
                    let (time, _, first) = expected.pop_first().unwrap();
                    prop_assert!(first == at && time <= now);
                    slab.take(at);
                }
                prop_assert_eq!(table.next(), expected.first().map(|(time, ..)| *time));
                prop_assert!(table.next().is_none_or(|next| next > now));
                prop_assert_eq!(table.heap.len(), expected.len());
            }
        }
    }
}
