//! Tasks that wait for a turn, in the order in which they came.
//!
//! Nothing here wakes, clones or drops a waker: they go in and out, and the caller does that without its lock.

use std::collections::VecDeque;
use std::mem;
use std::task::Waker;

/// The wakers of tasks that wait, by ticket, the oldest first.
#[derive(Default)]
pub(crate) struct Waiters {
    /// In the order of their tickets.
    waiting: VecDeque<Waiter>,
    tickets: u64,
}

struct Waiter {
    ticket: u64,
    /// The slot of a worker; 0 of others.
    slot: usize,
    waker: Waker,
}

impl Waiters {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds a task; the ticket is never given again.
    pub(crate) fn join(&mut self, slot: usize, waker: Waker) -> u64 {
        self.tickets += 1;
        self.waiting.push_back(Waiter { ticket: self.tickets, slot, waker });
        self.tickets
    }

    /// Whether the task waits, and has not been picked.
    pub(crate) fn contains(&self, ticket: u64) -> bool {
        self.position(ticket).is_some()
    }

    /// Exchanges the waker of a task that waits; what comes back is to be dropped.
    pub(crate) fn exchange(&mut self, ticket: u64, waker: Waker) -> Option<Waker> {
        match self.position(ticket) {
            Some(at) => Some(mem::replace(&mut self.waiting[at].waker, waker)),
            None => Some(waker),
        }
    }

    /// Removes a task, unless it has been picked.
    pub(crate) fn leave(&mut self, ticket: u64) -> Option<Waker> {
        let at = self.position(ticket)?;
        self.waiting.remove(at).map(|waiter| waiter.waker)
    }

    pub(crate) fn pick_oldest(&mut self) -> Option<Waker> {
        self.waiting.pop_front().map(|waiter| waiter.waker)
    }

    pub(crate) fn pick_newest(&mut self) -> Option<Waker> {
        self.waiting.pop_back().map(|waiter| waiter.waker)
    }

    /// Picks the newest one whose slot is like this. Linear in those that wait.
    pub(crate) fn pick_newest_of(&mut self, is: impl Fn(usize) -> bool) -> Option<Waker> {
        let at = self.waiting.iter().rposition(|waiter| is(waiter.slot))?;
        self.waiting.remove(at).map(|waiter| waiter.waker)
    }

    pub(crate) fn into_wakers(self) -> impl Iterator<Item = Waker> {
        self.waiting.into_iter().map(|waiter| waiter.waker)
    }

    fn position(&self, ticket: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiters(count: usize) -> (Waiters, Vec<u64>) {
        let mut waiters = Waiters::default();
        let tickets = (0..count).map(|slot| waiters.join(slot, Waker::noop().clone())).collect();
        (waiters, tickets)
    }

    #[test]
    fn a_task_that_was_picked_has_nothing_to_leave_or_exchange() {
        let (mut waiters, tickets) = waiters(3);
        assert!(waiters.pick_newest().is_some());
        assert!(waiters.pick_oldest().is_some());
        assert!(waiters.leave(tickets[2]).is_none());
        assert!(!waiters.contains(tickets[0]));
        assert!(waiters.contains(tickets[1]));
        assert!(waiters.leave(tickets[1]).is_some());
        assert_eq!(waiters.len(), 0);
        assert!(waiters.pick_newest().is_none());
    }

    #[test]
    fn a_task_is_picked_by_its_slot_and_the_others_keep_their_order() {
        let (mut waiters, tickets) = waiters(3);
        assert!(waiters.pick_newest_of(|slot| slot == 1).is_some());
        assert!(waiters.pick_newest_of(|slot| slot == 1).is_none());
        assert!(waiters.contains(tickets[0]) && !waiters.contains(tickets[1]) && waiters.contains(tickets[2]));
    }
}
