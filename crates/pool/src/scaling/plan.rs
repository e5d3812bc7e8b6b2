//! Which workers start and which end, so that a pool has its size.
//!
//! 1. Workers that block their thread are not usable: they count in no size, and are never asked to end for one.
//! 2. Slots that start are those with the lowest free numbers. A worker that was asked to end and has not is kept before one
//!    is started; one that has ended keeps its number until its supervisor has removed it.
//! 3. Those that have been idle for the longest end first, and then those with the highest numbers.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::stats::stuck::Pace;
use crate::worker::slot::Slot;

/// A slot, as a tick finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotFound {
    pub(crate) slot: Slot,
    pub(crate) pace: Pace,
    /// For how long its worker has had nothing to do.
    pub(crate) idle_for: Duration,
    /// Its worker has been asked to end.
    pub(crate) retiring: bool,
    /// Its worker has ended.
    pub(crate) ended: bool,
}

/// What is to be done about the size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SizePlan {
    pub(crate) start: Vec<Slot>,
    /// Workers that end after their current job.
    pub(crate) retire: Vec<Slot>,
    /// Workers that were asked to end and are kept.
    pub(crate) keep: Vec<Slot>,
}

impl SlotFound {
    fn is_blocking(&self) -> bool {
        matches!(self.pace, Pace::Blocking(_))
    }

    /// Whether it counts in the size.
    pub(crate) fn is_usable(&self) -> bool {
        !self.retiring && !self.is_blocking()
    }
}

/// The limits of the usable workers, if some workers block and may be replaced by this many spare ones.
pub(crate) fn usable_limits(
    workers: &RangeInclusive<usize>,
    found: &[SlotFound],
    spare_slots: usize,
) -> RangeInclusive<usize> {
    let blocking = found.iter().filter(|slot| slot.is_blocking()).count();
    let most = (workers.end() + spare_slots.min(blocking)).saturating_sub(blocking);
    *workers.start().min(&most)..=most
}

/// What leads from the slots that there are to this many usable workers.
pub(crate) fn plan(found: &[SlotFound], size: usize) -> SizePlan {
    let usable: Vec<_> = found.iter().filter(|slot| slot.is_usable()).collect();
    if size >= usable.len() { grow(found, size - usable.len()) } else { shrink(usable, size) }
}

fn grow(found: &[SlotFound], missing: usize) -> SizePlan {
    let retiring = found.iter().filter(|slot| slot.retiring && !slot.ended && !slot.is_blocking());
    let keep: Vec<_> = retiring.map(|slot| slot.slot).take(missing).collect();
    let taken: BTreeSet<_> = found.iter().map(|slot| slot.slot).collect();
    let free = (1..).map(Slot::new).filter(|slot| !taken.contains(slot));
    SizePlan { start: free.take(missing - keep.len()).collect(), keep, ..SizePlan::default() }
}

fn shrink(mut usable: Vec<&SlotFound>, size: usize) -> SizePlan {
    usable.sort_by_key(|slot| (Reverse(slot.idle_for), Reverse(slot.slot)));
    let surplus = usable.len() - size;
    SizePlan { retire: usable.iter().take(surplus).map(|slot| slot.slot).collect(), ..SizePlan::default() }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn slots() -> impl Strategy<Value = Vec<SlotFound>> {
        let pace =
            prop_oneof![4 => Just(Pace::Normal), 1 => Just(Pace::Slow(SECOND)), 1 => Just(Pace::Blocking(SECOND))];
        btree_map(1usize..40, (pace, 0u64..5, prop::bool::weighted(0.2), any::<bool>()), 0..20).prop_map(|slots| {
            let slot = |(number, (pace, idle, retiring, ended))| SlotFound {
                slot: Slot::new(number),
                pace,
                idle_for: Duration::from_secs(idle),
                retiring,
                ended: retiring && ended,
            };
            slots.into_iter().map(slot).collect()
        })
    }

    #[test]
    fn the_workers_that_have_been_idle_for_the_longest_end_first() {
        let slot = |number, idle: u32| SlotFound {
            slot: Slot::new(number),
            pace: Pace::Normal,
            idle_for: idle * SECOND,
            retiring: false,
            ended: false,
        };
        let found = [slot(1, 0), slot(2, 5), slot(3, 0), slot(5, 1)];
        assert_eq!(plan(&found, 1).retire, [2, 5, 3].map(Slot::new));
        assert_eq!(plan(&found, 6).start, [4, 6].map(Slot::new));
    }

    #[test]
    fn a_worker_that_blocks_is_replaced_as_long_as_there_are_spare_slots() {
        let blocking = |number| SlotFound {
            slot: Slot::new(number),
            pace: Pace::Blocking(SECOND),
            idle_for: Duration::ZERO,
            retiring: false,
            ended: false,
        };
        let found: Vec<_> = (1..=3).map(blocking).collect();
        let limits = |blocking: usize, spare| usable_limits(&(2..=4), &found[..blocking], spare);
        assert_eq!((limits(0, 2), limits(1, 2), limits(3, 2), limits(3, 0)), (2..=4, 2..=4, 2..=3, 1..=1));
    }

    proptest! {
        #[test]
        fn a_plan_leads_to_the_size_and_touches_no_worker_that_blocks(found in slots(), size in 0usize..40) {
            let SizePlan { start, retire, keep } = plan(&found, size);
            let of = |slot: &Slot| found.iter().find(|it| it.slot == *slot);
            prop_assert!(start.iter().all(|slot| of(slot).is_none()));
            prop_assert!(retire.iter().all(|slot| of(slot).is_some_and(SlotFound::is_usable)));
            prop_assert!(keep.iter().all(|slot| of(slot).is_some_and(|it| it.retiring && !it.ended && !it.is_usable())));
            let distinct: BTreeSet<_> = start.iter().chain(&retire).chain(&keep).collect();
            prop_assert_eq!(distinct.len(), start.len() + retire.len() + keep.len());
            let usable = found.iter().filter(|slot| slot.is_usable()).count();
            prop_assert_eq!(usable + start.len() + keep.len() - retire.len(), size);
            prop_assert!(retire.is_empty() || (start.is_empty() && keep.is_empty()));
        }
    }
}
