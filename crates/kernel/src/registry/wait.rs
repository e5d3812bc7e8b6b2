//! The waiters for names.
//!
//! A waiter announces itself and then reads the table; a writer changes the table and then checks for waiters. With a
//! sequentially consistent fence between the two halves on both sides, one of them sees the other: no wake is lost.

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::Mutex;

use super::notifier::{Notified, Notifier};
use crate::namespace::ServiceName;
use crate::sync::atomic::{AtomicUsize, Ordering, fence};

/// The waiters of one table.
#[derive(Default)]
pub(crate) struct Waiters {
    /// How many there are, so that a writer without waiters takes no lock.
    count: AtomicUsize,
    by_name: Mutex<HashMap<ServiceName, NameWaiters>>,
}

/// The waiters for one name.
#[derive(Default)]
struct NameWaiters {
    waiting: usize,
    notifier: Arc<Notifier>,
}

/// One waiter's announcement; it is given back on drop.
pub(crate) struct Listening<'a> {
    waiters: &'a Waiters,
    name: ServiceName,
    notifier: Arc<Notifier>,
}

impl Waiters {
    /// Announces a waiter. The table must be read after this call.
    pub(crate) fn listen(&self, name: &ServiceName) -> Listening<'_> {
        let notifier = self.enter(name);
        self.count.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        Listening { waiters: self, name: name.clone(), notifier }
    }

    fn enter(&self, name: &ServiceName) -> Arc<Notifier> {
        let mut by_name = self.by_name.lock();
        let of_name = by_name.entry(name.clone()).or_default();
        of_name.waiting += 1;
        Arc::clone(&of_name.notifier)
    }

    fn leave(&self, name: &ServiceName) {
        let mut by_name = self.by_name.lock();
        if let Some(of_name) = by_name.get_mut(name) {
            of_name.waiting -= 1;
            if of_name.waiting == 0 {
                by_name.remove(name);
            }
        }
    }

    /// Wakes the waiters for this name. The table must be changed before this call.
    pub(crate) fn wake(&self, name: &str) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        // Not under the lock: a waker may end another wait.
        let notifier = self.by_name.lock().get(name).map(|of_name| Arc::clone(&of_name.notifier));
        if let Some(notifier) = notifier {
            notifier.notify_all();
        }
    }
}

impl Listening<'_> {
    /// The next change of the name. It counts from this call on, not from the first poll.
    pub(crate) fn change(&self) -> Notified<'_> {
        self.notifier.notified()
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.waiters.count.fetch_sub(1, Ordering::SeqCst);
        self.waiters.leave(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const A: ServiceName = ServiceName::from_static("a");
    const B: ServiceName = ServiceName::from_static("b");

    fn is_empty(waiters: &Waiters) -> bool {
        waiters.count.load(Ordering::SeqCst) == 0 && waiters.by_name.lock().is_empty()
    }

    #[test]
    fn a_change_counts_from_the_call_on_and_for_its_own_name_only() {
        let waiters = Waiters::default();
        let (a, b) = (waiters.listen(&A), waiters.listen(&B));
        let (mut change_of_a, mut change_of_b) = (Box::pin(a.change()), Box::pin(b.change()));
        waiters.wake("a");
        assert!((&mut change_of_a).now_or_never().is_some());
        assert!((&mut change_of_b).now_or_never().is_none());
        assert!(a.change().now_or_never().is_none(), "a wake is not kept for those who ask later");
    }

    #[test]
    fn waiters_that_are_cancelled_leave_nothing_behind() {
        let waiters = Waiters::default();
        for _ in 0..1_000 {
            let (first, second, other) = (waiters.listen(&A), waiters.listen(&A), waiters.listen(&B));
            let mut change = Box::pin(second.change());
            assert!((&mut change).now_or_never().is_none());
            drop((first, other));
            assert!(!is_empty(&waiters));
            waiters.wake("a");
            assert!(change.now_or_never().is_some(), "the other one's end did not take its place away");
        }
        assert!(is_empty(&waiters));
    }
}
