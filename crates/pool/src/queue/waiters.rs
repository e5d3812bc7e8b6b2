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
    waiting: VecDeque<(u64, Waker)>,
    tickets: u64,
}

impl Waiters {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds a task; the ticket is never given again.
    pub(crate) fn join(&mut self, waker: Waker) -> u64 {
        self.tickets += 1;
        self.waiting.push_back((self.tickets, waker));
        self.tickets
    }

    /// Whether the task waits, and has not been picked.
    pub(crate) fn contains(&self, ticket: u64) -> bool {
        self.position(ticket).is_some()
    }

    /// Exchanges the waker of a task that waits; what comes back is to be dropped.
    pub(crate) fn exchange(&mut self, ticket: u64, waker: Waker) -> Option<Waker> {
        match self.position(ticket) {
            Some(at) => Some(mem::replace(&mut self.waiting[at].1, waker)),
            None => Some(waker),
        }
    }

    /// Removes a task, unless it has been picked.
    pub(crate) fn leave(&mut self, ticket: u64) -> Option<Waker> {
        let at = self.position(ticket)?;
        self.waiting.remove(at).map(|(_, waker)| waker)
    }

    pub(crate) fn pick_oldest(&mut self) -> Option<Waker> {
        self.waiting.pop_front().map(|(_, waker)| waker)
    }

    pub(crate) fn pick_newest(&mut self) -> Option<Waker> {
        self.waiting.pop_back().map(|(_, waker)| waker)
    }

    pub(crate) fn into_wakers(self) -> impl Iterator<Item = Waker> {
        self.waiting.into_iter().map(|(_, waker)| waker)
    }

    fn position(&self, ticket: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiters(count: usize) -> (Waiters, Vec<u64>) {
        let mut waiters = Waiters::default();
        let tickets = (0..count).map(|_| waiters.join(Waker::noop().clone())).collect();
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
}
