//! Waiting for a turn at a queue: for a job, for room, or for the end of all jobs.

use std::ops::DerefMut;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use foundation_kernel::containment::drop_contained;

use super::waiters::Waiters;

/// A state under a lock, for which tasks wait.
pub(super) trait Locked {
    type State;
    type Guard<'a>: DerefMut<Target = Self::State>
    where
        Self: 'a;
    /// What is to be done when the lock has been released.
    type After: Default;

    fn lock(&self) -> Self::Guard<'_>;

    /// Does what is to be done without the lock.
    fn run(&self, after: Self::After);
}

/// What a task waits for.
pub(super) trait Turn<Q: Locked> {
    type Output;

    /// The list in which it waits.
    fn list(state: &mut Q::State) -> &mut Waiters;

    /// The slot of a worker that waits; 0 of another task.
    fn slot(&self) -> usize {
        0
    }

    /// Takes what it waits for, if that is there; `picked` says that it was picked for it.
    fn take(&mut self, state: &mut Q::State, picked: bool, after: &mut Q::After) -> Option<Self::Output>;

    /// Passes on what it was picked for and does not take.
    fn pass_on(state: &mut Q::State, after: &mut Q::After);
}

/// The wait itself. Dropped early, it leaves the list, or passes its turn on.
pub(super) struct Wait<'a, Q: Locked, K: Turn<Q>> {
    queue: &'a Q,
    turn: K,
    /// Whether what it waits for was not there just now.
    looked: bool,
    /// Of its place in the list.
    ticket: Option<u64>,
}

impl<'a, Q: Locked, K: Turn<Q>> Wait<'a, Q, K> {
    pub(super) fn new(queue: &'a Q, turn: K) -> Self {
        Self { queue, turn, looked: false, ticket: None }
    }

    /// The same of a turn that was not there just now.
    pub(super) fn of_looked(queue: &'a Q, turn: K) -> Self {
        Self { queue, turn, looked: true, ticket: None }
    }

    pub(super) fn queue(&self) -> &'a Q {
        self.queue
    }

    /// Whether it stands in the list, or has been picked.
    pub(super) fn waits(&self) -> bool {
        self.ticket.is_some()
    }

    /// What it waits for.
    pub(super) fn turn(&mut self) -> &mut K {
        &mut self.turn
    }

    /// Takes what is there, or waits with this waker if there is one.
    fn look(&mut self, waker: Option<Waker>) -> Option<K::Output> {
        let mut after = Q::After::default();
        let mut state = self.queue.lock();
        let waits = self.ticket.filter(|ticket| K::list(&mut state).contains(*ticket));
        let picked = self.ticket.is_some() && waits.is_none();
        let output = self.turn.take(&mut state, picked, &mut after);
        let list = K::list(&mut state);
        let left = match (&output, waker, waits) {
            (Some(_), waker, waits) => {
                self.ticket = None;
                waits.and_then(|ticket| list.leave(ticket)).or(waker)
            }
            (None, Some(waker), Some(ticket)) => list.exchange(ticket, waker),
            (None, Some(waker), None) => {
                self.ticket = Some(list.join(self.turn.slot(), waker));
                None
            }
            (None, None, _) => None,
        };
        drop(state);
        drop_contained("a waker", left);
        self.queue.run(after);
        output
    }
}

// It is moved only between polls, and pins nothing.
impl<Q: Locked, K: Turn<Q>> Unpin for Wait<'_, Q, K> {}

impl<Q: Locked, K: Turn<Q>> Future for Wait<'_, Q, K> {
    type Output = K::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<K::Output> {
        // A waker is cloned only by a task that has to wait, and never under the lock.
        let output = if self.ticket.is_some() || self.looked { None } else { self.look(None) };
        let output = output.or_else(|| self.look(Some(context.waker().clone())));
        output.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<Q: Locked, K: Turn<Q>> Drop for Wait<'_, Q, K> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut after = Q::After::default();
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
