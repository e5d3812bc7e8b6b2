//! Waiting for a turn at a queue: for a job, for room, or for the end of all jobs.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use foundation_kernel::containment::drop_contained;

use super::after::After;
use super::job_queue::JobQueue;
use super::state::State;
use super::waiters::Waiters;

/// What a task waits for.
pub(super) trait Turn<J, T> {
    type Output;

    /// The list in which it waits.
    fn list(state: &mut State<J, T>) -> &mut Waiters;

    /// Takes what it waits for, if that is there; `picked` says that it was picked for it.
    fn take(&mut self, state: &mut State<J, T>, picked: bool, after: &mut After<J, T>) -> Option<Self::Output>;

    /// Passes on what it was picked for and does not take.
    fn pass_on(state: &mut State<J, T>, after: &mut After<J, T>);
}

/// The wait itself. Dropped early, it leaves the list, or passes its turn on.
pub(super) struct Wait<'a, J, T, K: Turn<J, T>> {
    queue: &'a JobQueue<J, T>,
    turn: K,
    /// Of its place in the list; once it has been picked, of none.
    ticket: Option<u64>,
}

impl<'a, J, T, K: Turn<J, T>> Wait<'a, J, T, K> {
    pub(super) fn new(queue: &'a JobQueue<J, T>, turn: K) -> Self {
        Self { queue, turn, ticket: None }
    }

    /// Takes what is there, or waits with this waker if there is one.
    fn look(&mut self, mut waker: Option<Waker>) -> Option<K::Output> {
        let (mut after, mut left) = (After::new(), None);
        let mut state = self.queue.lock();
        let list = K::list(&mut state);
        let picked = self.ticket.is_some_and(|ticket| !list.contains(ticket));
        let output = self.turn.take(&mut state, picked, &mut after);
        let list = K::list(&mut state);
        match (&output, waker.take()) {
            (Some(_), unused) => {
                left = self.ticket.take().and_then(|ticket| list.leave(ticket)).or(unused);
            }
            (None, None) => {}
            (None, Some(waker)) => match self.ticket.filter(|_| !picked) {
                Some(ticket) => left = list.exchange(ticket, waker),
                None => self.ticket = Some(list.join(waker)),
            },
        }
        drop(state);
        drop_contained("a waker", left);
        self.queue.run(after);
        output
    }

    /// What it waits for.
    pub(super) fn turn(&mut self) -> &mut K {
        &mut self.turn
    }
}

// It is moved only between polls, and pins nothing.
impl<J, T, K: Turn<J, T>> Unpin for Wait<'_, J, T, K> {}

impl<J, T, K: Turn<J, T>> Future for Wait<'_, J, T, K> {
    type Output = K::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<K::Output> {
        // A waker is cloned only by a task that has to wait, and never under the lock.
        let output = match self.ticket {
            None => self.look(None),
            Some(_) => None,
        };
        let output = output.or_else(|| self.look(Some(context.waker().clone())));
        output.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<J, T, K: Turn<J, T>> Drop for Wait<'_, J, T, K> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut after = After::new();
        let mut state = self.queue.lock();
        let left = K::list(&mut state).leave(ticket);
        if left.is_none() {
            K::pass_on(&mut state, &mut after);
        }
        drop(state);
        drop_contained("a waker", left);
        self.queue.run(after);
    }
}
