//! The room of a queue, and the callers that wait for some.

use std::mem;
use std::task::Waker;

use super::waiters::Waiters;
use crate::overflow::WhenFull;

/// The room of a queue. A sender that was picked has a place reserved until it looks or goes away.
pub(super) struct Capacity {
    places: usize,
    pub(super) when_full: WhenFull,
    /// Places for senders that have been picked and have not looked yet.
    reserved: usize,
    /// Callers that wait for room.
    pub(super) senders: Waiters,
}

impl Capacity {
    pub(super) fn new(places: usize, when_full: WhenFull) -> Self {
        Self { places, when_full, reserved: 0, senders: Waiters::default() }
    }

    /// How many places are neither taken, by so many jobs, nor reserved.
    pub(super) fn free(&self, taken: usize) -> usize {
        self.places.saturating_sub(taken + self.reserved)
    }

    /// Gives a reserved place up.
    pub(super) fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Reserves a free place for the sender that has waited for the longest.
    pub(super) fn pick_sender(&mut self, taken: usize) -> Option<Waker> {
        if self.free(taken) == 0 {
            return None;
        }
        let sender = self.senders.pick_oldest()?;
        self.reserved += 1;
        Some(sender)
    }

    /// Picks all senders, whether there is room or not: they are refused. Each gives up the place that it has then.
    pub(super) fn pick_all(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.reserved += self.senders.len();
        mem::take(&mut self.senders).into_wakers()
    }
}
