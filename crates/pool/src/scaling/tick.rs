//! What the ticks of a pool remember of each other: demand, rates, and which workers were stuck.
//!
//! The figures are read by the caller: everything here is a function of values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::demand::{Demand, LoadFigures};
use super::plan::{SizePlan, SlotFound, plan, usable_limits};
use super::sizing::{Headcount, Sizing};
use crate::queue::figures::QueueLoad;
use crate::settings::Rules;
use crate::stats::stuck::Pace;
use crate::stats::worker_cells::{WorkerCounts, WorkerRates};
use crate::worker::slot::Slot;

/// The share of the latest tick in the rates.
const LATEST: f64 = 0.5;

/// What the ticks before have left.
#[derive(Debug, Default)]
pub(crate) struct Ticks {
    demand: Demand,
    sizing: Sizing,
    totals: WorkerCounts,
    ready: u64,
    stuck: BTreeSet<(Slot, bool)>,
    rates: BTreeMap<Slot, (WorkerCounts, WorkerRates)>,
}

/// The figures of a pool at a tick.
#[derive(Debug, Clone, Default)]
pub(crate) struct PoolFigures {
    /// The time since the tick before.
    pub(crate) elapsed: Duration,
    /// What the queue has for workers.
    pub(crate) queue: QueueLoad,
    /// Whether the pool is paused: what becomes ready meanwhile counts when it goes on, as jobs that wait.
    pub(crate) paused: bool,
    /// What all workers have ever done.
    pub(crate) totals: WorkerCounts,
    /// The times for which the current jobs of workers have lasted.
    pub(crate) current: Vec<Duration>,
}

/// A change of what is stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StuckChange {
    Began { slot: Slot, blocking: bool },
    Ended { slot: Slot },
}

impl Ticks {
    /// Takes the figures of a tick.
    pub(crate) fn note(&mut self, figures: &PoolFigures) {
        let (ended, queue) = (figures.totals.since(self.totals), figures.queue);
        let arrived = if figures.paused { 0 } else { queue.ready.saturating_sub(self.ready) };
        self.demand.note(&LoadFigures {
            elapsed: figures.elapsed,
            arrived,
            ended: ended.performed,
            worked: ended.busy,
            in_work: figures.current.len(),
            in_work_for: figures.current.iter().fold(Duration::ZERO, |all, it| all.saturating_add(*it)),
            waiting: queue.waiting,
            allowance: queue.allowance,
        });
        (self.totals, self.ready) = (figures.totals, queue.ready);
    }

    /// The size that the pool should have now, and what leads to it.
    pub(crate) fn size(&mut self, found: &[SlotFound], rules: &Rules, now: Duration) -> (usize, SizePlan) {
        let usable: Vec<_> = found.iter().filter(|slot| slot.is_usable()).collect();
        let idle = usable.iter().filter(|slot| slot.idle_for > rules.scaling.idle).count();
        let limits = usable_limits(&rules.workers, found, rules.stuck.spare_slots);
        let headcount = Headcount { usable: usable.len(), idle };
        let needed = self.demand.workers(rules.scaling.target);
        let size = self.sizing.decide(&rules.scaling, &limits, headcount, needed, now);
        (size, plan(found, size))
    }

    /// Takes what is stuck at a tick, and returns what has changed.
    pub(crate) fn stuck(&mut self, found: &[SlotFound]) -> Vec<StuckChange> {
        let stuck: BTreeSet<_> = found.iter().filter_map(stuck).collect();
        let is_stuck = |slot: Slot| stuck.contains(&(slot, true)) || stuck.contains(&(slot, false));
        let ended = self.stuck.iter().filter(|(slot, _)| !is_stuck(*slot));
        let ended = ended.map(|(slot, _)| StuckChange::Ended { slot: *slot });
        let began = stuck
            .difference(&self.stuck)
            .map(|(slot, blocking)| StuckChange::Began { slot: *slot, blocking: *blocking });
        let changes = ended.chain(began).collect();
        self.stuck = stuck;
        changes
    }

    /// The rates of a slot whose counts, the current job included, are these now.
    pub(crate) fn rates(&mut self, slot: Slot, counts: WorkerCounts, elapsed: Duration) -> WorkerRates {
        let (before, rates) =
            self.rates.get(&slot).copied().unwrap_or((WorkerCounts::default(), WorkerRates::default()));
        let rates = rates_after(rates, counts.since(before), elapsed);
        self.rates.insert(slot, (counts, rates));
        rates
    }

    /// Forgets a slot that has been removed.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.rates.remove(&slot);
    }
}

fn stuck(found: &SlotFound) -> Option<(Slot, bool)> {
    match found.pace {
        Pace::Normal => None,
        Pace::Slow(_) | Pace::Overdue(_) => Some((found.slot, false)),
        Pace::Blocking(_) => Some((found.slot, true)),
    }
}

fn rates_after(before: WorkerRates, counts: WorkerCounts, elapsed: Duration) -> WorkerRates {
    let seconds = elapsed.as_secs_f64();
    if seconds <= 0.0 {
        return before;
    }
    let averaged = |before: f64, now: f64| before + (now - before) * LATEST;
    let failed =
        if counts.performed == 0 { before.error_share } else { counts.failed as f64 / counts.performed as f64 };
    WorkerRates {
        per_second: averaged(before.per_second, counts.performed as f64 / seconds),
        error_share: averaged(before.error_share, failed).clamp(0.0, 1.0),
        busy_share: averaged(before.busy_share, (counts.busy.as_secs_f64() / seconds).min(1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn found(number: usize, pace: Pace) -> SlotFound {
        SlotFound { slot: Slot::new(number), pace, idle_for: Duration::ZERO, retiring: false, ended: false }
    }

    #[test]
    fn a_stuck_worker_is_told_once_and_again_when_it_is_not() {
        let mut ticks = Ticks::default();
        let slot = Slot::new(1);
        assert!(ticks.stuck(&[found(1, Pace::Normal), found(2, Pace::Normal)]).is_empty());
        let slow = [found(1, Pace::Slow(SECOND))];
        assert_eq!(ticks.stuck(&slow), [StuckChange::Began { slot, blocking: false }]);
        assert!(ticks.stuck(&[found(1, Pace::Overdue(SECOND))]).is_empty());
        assert_eq!(ticks.stuck(&[found(1, Pace::Blocking(SECOND))]), [StuckChange::Began { slot, blocking: true }]);
        assert_eq!(ticks.stuck(&[]), [StuckChange::Ended { slot }]);
    }

    #[test]
    fn rates_follow_what_a_worker_does() {
        let (mut ticks, slot) = (Ticks::default(), Slot::new(1));
        let mut counts = WorkerCounts::default();
        let mut rates = WorkerRates::default();
        for _ in 0..40 {
            counts = counts.plus(WorkerCounts { performed: 10, failed: 1, busy: SECOND / 4 });
            rates = ticks.rates(slot, counts, SECOND / 2);
        }
        assert!((rates.per_second - 20.0).abs() < 1e-6 && (rates.error_share - 0.1).abs() < 1e-6, "{rates:?}");
        assert!((rates.busy_share - 0.5).abs() < 1e-6, "{rates:?}");
        (0..40).for_each(|_| rates = ticks.rates(slot, counts, SECOND / 2));
        assert!(rates.per_second < 1e-6 && rates.busy_share < 1e-6, "{rates:?}");
    }
}
