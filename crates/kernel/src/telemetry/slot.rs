//! Thread slots: a small number for each thread that counts, so that it can have cells of its own to write.
//!
//! # Invariants
//!
//! 1. A slot is held by at most one thread at a time.
//! 2. Everything that the former holder of a slot did happens before the next holder gets the slot.
//! 3. A thread holds its slot from its first count until its thread-locals are destroyed. Whatever it counts
//!    after that, in the destructors of other thread-locals, goes where the threads without a slot count.
//! 4. A thread that found every slot taken counts without one for the rest of its life.
//!
//! 1 makes the holder the only writer of the slot's cells, so it may add with a load and a store;
//! 2 keeps that true when the slot changes hands.

use std::cell::Cell;

use parking_lot::Mutex;

/// The number of slots: as many threads can count without sharing a cell.
pub(super) const SLOTS: usize = u32::BITS as usize;

/// The result of [`current`] for a thread that holds no slot. It lies just beyond the last slot, so that `get` on an
/// array of `SLOTS` elements finds nothing.
pub(super) const SHARED: usize = SLOTS;

/// The thread has not counted yet.
const UNDECIDED: usize = usize::MAX;

/// The project's only static: threads belong to the process, and so do their numbers.
static ALLOCATOR: Allocator = Allocator::new();

thread_local! {
    // Apart from `CLAIM`, because a thread-local without a destructor is read without a check of its state.
    static CURRENT: Cell<usize> = const { Cell::new(UNDECIDED) };
    static CLAIM: Claim<'static> = Claim::take(&ALLOCATOR);
}

/// The calling thread's slot, or [`SHARED`].
#[inline]
pub(super) fn current() -> usize {
    match CURRENT.try_with(Cell::get) {
        Ok(UNDECIDED) => decide(),
        Ok(slot) => slot,
        Err(_) => SHARED,
    }
}

#[cold]
fn decide() -> usize {
    // The claim cannot be had while the thread-locals are being destroyed: that thread shares.
    let slot = CLAIM.try_with(|claim| claim.slot).unwrap_or(SHARED);
    remember(slot);
    slot
}

fn remember(slot: usize) {
    // A failure means that the cell is destroyed, and then `current` answers `SHARED` by itself.
    let _ = CURRENT.try_with(|current| current.set(slot));
}

/// A thread's hold on its slot, given back on drop.
struct Claim<'a> {
    allocator: &'a Allocator,
    slot: usize,
}

impl<'a> Claim<'a> {
    fn take(allocator: &'a Allocator) -> Self {
        let slot = allocator.take().unwrap_or(SHARED);
        Self { allocator, slot }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // Forget first: once the slot is given back another thread may write to its cells (invariants 1, 3).
        remember(SHARED);
        if self.slot != SHARED {
            self.allocator.give_back(self.slot);
        }
    }
}

/// The free slots, one bit each.
///
/// The mutex does more than guard the bits: giving back unlocks after the old holder's last write, and taking
/// locks before the new holder's first one. This orders the two (invariant 2), although both use relaxed atomics.
struct Allocator {
    free: Mutex<u32>,
}

impl Allocator {
    const fn new() -> Self {
        Self { free: Mutex::new(u32::MAX) }
    }

    /// The lowest free slot: few threads then touch few cells, however many threads come and go.
    fn take(&self) -> Option<usize> {
        let mut free = self.free.lock();
        if *free == 0 {
            return None;
        }
        let slot = free.trailing_zeros();
        *free &= !(1 << slot);
        Some(slot as usize)
    }

    fn give_back(&self, slot: usize) {
        *self.free.lock() |= 1 << slot;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::{self, Receiver, Sender};
    use std::thread;

    use super::*;

    #[test]
    fn the_lowest_free_slot_is_taken_first() {
        let allocator = Allocator::new();
        let mut claims: Vec<_> = (0..4).map(|_| Claim::take(&allocator)).collect();
        assert_eq!([0, 1, 2, 3], [0, 1, 2, 3].map(|i: usize| claims[i].slot));

        drop(claims.remove(1));
        assert_eq!(Claim::take(&allocator).slot, 1);
    }

    #[test]
    fn a_thread_that_finds_every_slot_taken_shares_and_gives_nothing_back() {
        let allocator = Allocator::new();
        let claims: Vec<_> = (0..SLOTS).map(|_| Claim::take(&allocator)).collect();
        assert_eq!(Claim::take(&allocator).slot, SHARED);
        assert_eq!(Claim::take(&allocator).slot, SHARED);

        drop(claims);
        assert_eq!(Claim::take(&allocator).slot, 0);
    }

    #[test]
    fn a_thread_keeps_its_slot() {
        let [first, second] = thread::spawn(|| [current(), current()]).join().unwrap();
        assert_eq!(first, second);
    }

    #[test]
    fn living_threads_never_hold_the_same_slot() {
        const THREADS: usize = SLOTS + 8;
        let barrier = Barrier::new(THREADS);
        let mut slots: Vec<usize> = thread::scope(|scope| {
            let hold = || {
                let slot = current();
                barrier.wait();
                slot
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(hold)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });

        slots.retain(|slot| *slot != SHARED);
        let held = slots.len();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), held);
    }

    #[test]
    fn a_slot_comes_back_when_its_thread_ends() {
        // Other tests hold slots at the same time, so a thread may find none: count those that did.
        // If ended threads kept theirs, no more than `SLOTS` could ever succeed.
        let holders = (0..100_000)
            .map(|_| thread::spawn(current).join().unwrap())
            .filter(|slot| *slot != SHARED)
            .take(2 * SLOTS + 1);
        assert_eq!(holders.count(), 2 * SLOTS + 1);
    }

    #[test]
    fn a_destructor_that_runs_after_the_slot_is_given_back_finds_it_gone() {
        // Which destructor runs first depends on which thread-local was used first, and on the platform.
        let answers = [true, false].map(|claim_first| {
            let thread = thread::spawn(move || ask_at_the_end(claim_first));
            thread.join().unwrap().recv().unwrap()
        });
        assert!(answers.contains(&SHARED));
    }

    /// Has a destructor ask for the slot when the calling thread ends.
    fn ask_at_the_end(claim_first: bool) -> Receiver<usize> {
        thread_local!(static LATE: Cell<Option<AsksLate>> = const { Cell::new(None) });

        let (sender, receiver) = mpsc::channel();
        if claim_first {
            current();
        }
        LATE.set(Some(AsksLate(sender)));
        current();
        receiver
    }

    struct AsksLate(Sender<usize>);

    impl Drop for AsksLate {
        fn drop(&mut self) {
            self.0.send(current()).unwrap();
        }
    }
}
