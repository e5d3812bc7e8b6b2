//! The slots of a pool: what is known of each, over the lives of its workers.
//!
//! 1. A slot is there from the first start of its worker until it has been removed with its last one.
//! 2. What a removed slot had counted stays in the totals.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::signal::{ALL, Signal};
use super::slot::Slot;
use crate::stats::measurement::Measurement;
use crate::stats::worker_cells::{WorkerCells, WorkerCounts};

/// What the request to end is about.
pub(crate) const RETIRE: u64 = 1;

/// What is known of one slot.
#[derive(Debug)]
pub(crate) struct SlotState {
    pub(crate) cells: Arc<WorkerCells>,
    /// Its worker ends after its current job. See [`RETIRE`].
    pub(crate) retire: Signal,
    /// Its worker abandons the job of this number, which comes back, and is made anew.
    pub(crate) abandon: Signal,
}

/// The slots of a pool.
#[derive(Debug)]
pub(crate) struct Slots {
    origin: Instant,
    measurement: Measurement,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    slots: BTreeMap<Slot, Arc<SlotState>>,
    removed: WorkerCounts,
}

impl Slots {
    pub(crate) fn new(measurement: Measurement) -> Self {
        Self { origin: Instant::now(), measurement, table: Mutex::default() }
    }

    /// The slot of this number, which is made if it is not there.
    pub(crate) fn slot(&self, slot: Slot) -> Arc<SlotState> {
        let mut table = self.table.lock();
        let made = || SlotState {
            cells: Arc::new(WorkerCells::new(self.origin, self.measurement)),
            retire: Signal::default(),
            abandon: Signal::default(),
        };
        Arc::clone(table.slots.entry(slot).or_insert_with(|| Arc::new(made())))
    }

    /// All slots, in the order of their numbers.
    pub(crate) fn all(&self) -> Vec<(Slot, Arc<SlotState>)> {
        self.table.lock().slots.iter().map(|(slot, state)| (*slot, Arc::clone(state))).collect()
    }

    /// The workers of another life begin: what the slots have counted stays in the totals. A worker that an earlier life has
    /// left behind, since it blocks its thread, shares nothing with its successor.
    pub(crate) fn begin_life(&self) {
        let mut table = self.table.lock();
        let former = std::mem::take(&mut table.slots);
        table.removed = former.values().map(|state| state.cells.counts()).fold(table.removed, WorkerCounts::plus);
    }

    /// Lets all workers abandon their jobs, which come back, and end.
    pub(crate) fn abandon_all(&self) {
        for (_, state) in self.all() {
            // First: one that has abandoned its job is not made anew then.
            state.retire.give(RETIRE);
            state.abandon.give(ALL);
        }
    }

    pub(crate) fn remove(&self, slot: Slot) {
        let mut table = self.table.lock();
        if let Some(state) = table.slots.remove(&slot) {
            table.removed = table.removed.plus(state.cells.counts());
        }
    }

    /// What all workers have done, those of removed slots included.
    pub(crate) fn totals(&self) -> WorkerCounts {
        let table = self.table.lock();
        table.slots.values().map(|state| state.cells.counts()).fold(table.removed, WorkerCounts::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_of_another_life_has_no_requests_and_the_totals_stay() {
        let slots = Slots::new(Measurement::Off);
        let former = slots.slot(Slot::new(1));
        former.retire.give(RETIRE);
        former.cells.begin(1, 1);
        former.cells.end(false);
        slots.begin_life();
        assert_eq!((slots.slot(Slot::new(1)).retire.about(), slots.totals().performed), (None, 1));
    }

    #[test]
    fn what_a_removed_slot_has_done_stays_in_the_totals() {
        let slots = Slots::new(Measurement::Off);
        for number in 1..=3 {
            let slot = slots.slot(Slot::new(number));
            slot.cells.begin(1, 1);
            slot.cells.end(number == 2);
        }
        slots.remove(Slot::new(2));
        slots.remove(Slot::new(9));
        let totals = slots.totals();
        assert_eq!((totals.performed, totals.failed, slots.all().len()), (3, 1, 2));
        assert_eq!(slots.slot(Slot::new(2)).cells.counts(), WorkerCounts::default());
    }
}
