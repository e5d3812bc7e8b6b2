//! The locks of one namespace, each with its owner and its waiters.
//!
//! 1. A caller is in the queue of a lock until it gives the lock back or gives up. The first in the queue has it.
//! 2. A lock without an owner and waiters does not exist.
//! 3. No waker is cloned, woken or dropped under the table's own lock.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::containment::{drop_contained, wake};
use crate::namespace::ServiceName;

#[derive(Default)]
pub(crate) struct Locks(Mutex<Queues>);

#[derive(Default)]
struct Queues {
    by_name: HashMap<ServiceName, VecDeque<Waiter>>,
    last: u64,
}

/// A caller that has a lock or waits for it.
struct Waiter {
    number: u64,
    waker: Option<Waker>,
}

/// A place in the queue of one lock, and at its head the lock itself; it is given back on drop.
pub(crate) struct Locked<'a> {
    locks: &'a Locks,
    name: ServiceName,
    number: u64,
}

impl Locks {
    /// Waits until the lock of this name is free. Callers are served in order.
    pub(crate) async fn lock(&self, name: &ServiceName) -> Locked<'_> {
        let locked = self.enqueue(name);
        poll_fn(|context| locked.poll(context)).await;
        locked
    }

    fn enqueue(&self, name: &ServiceName) -> Locked<'_> {
        let mut queues = self.0.lock();
        queues.last += 1;
        let number = queues.last;
        queues.by_name.entry(name.clone()).or_default().push_back(Waiter { number, waker: None });
        Locked { locks: self, name: name.clone(), number }
    }
}

impl Locked<'_> {
    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut waker = Some(context.waker().clone());
        let mut queues = self.locks.0.lock();
        let is_first = queues.wait(&self.name, self.number, &mut waker);
        drop(queues);
        drop_contained("a waker", waker);
        if is_first { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Queues {
    /// Whether it is this caller's turn; if not, its waker is replaced.
    fn wait(&mut self, name: &ServiceName, number: u64, waker: &mut Option<Waker>) -> bool {
        let Some(queue) = self.by_name.get_mut(name) else { return true };
        // The queue is in the order of the numbers.
        match queue.binary_search_by_key(&number, |waiter| waiter.number) {
            Ok(0) | Err(_) => true,
            Ok(at) => {
                std::mem::swap(&mut queue[at].waker, waker);
                false
            }
        }
    }

    /// Removes a caller; returns its waker, and the waker of the caller whose turn it is now.
    fn leave(&mut self, name: &ServiceName, number: u64) -> (Option<Waker>, Option<Waker>) {
        let Some(queue) = self.by_name.get_mut(name) else { return (None, None) };
        let at = queue.binary_search_by_key(&number, |waiter| waiter.number);
        let left = at.ok().and_then(|at| queue.remove(at)).and_then(|waiter| waiter.waker);
        let next = if at == Ok(0) { queue.front_mut().and_then(|next| next.waker.take()) } else { None };
        if queue.is_empty() {
            self.by_name.remove(name);
        }
        (left, next)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let (left, next) = self.locks.0.lock().leave(&self.name, self.number);
        drop_contained("a waker", left);
        if let Some(next) = next {
            wake(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    static A: ServiceName = ServiceName::from_static("a");
    static B: ServiceName = ServiceName::from_static("b");

    fn places(locks: &Locks) -> usize {
        locks.0.lock().by_name.len()
    }

    #[test]
    fn a_lock_without_an_owner_and_waiters_does_not_exist() {
        let locks = Locks::default();
        let held = locks.lock(&A).now_or_never().expect("it is free");
        let mut waiting = Box::pin(locks.lock(&A));
        assert!((&mut waiting).now_or_never().is_none());
        let other = locks.lock(&B).now_or_never().expect("another one");
        assert_eq!(places(&locks), 2);
        drop(other);
        drop(held);
        assert_eq!(places(&locks), 1, "a caller waits");
        drop(waiting.now_or_never().expect("it is free again"));
        assert_eq!(places(&locks), 0);
    }

    #[test]
    fn a_waiter_that_gives_up_leaves_the_queue_at_any_position() {
        let locks = Locks::default();
        for dropped in 0..3 {
            let held = locks.lock(&A).now_or_never().expect("it is free");
            let mut queue: Vec<_> = (0..3).map(|_| Box::pin(locks.lock(&A))).collect();
            for waiting in &mut queue {
                assert!(waiting.now_or_never().is_none());
            }
            drop(queue.remove(dropped));
            drop(held);
            assert!(queue.pop().expect("the last").now_or_never().is_none(), "not its turn");
            assert!(queue.pop().expect("the first").now_or_never().is_some());
            drop(queue);
            assert_eq!(places(&locks), 0);
        }
    }
}
