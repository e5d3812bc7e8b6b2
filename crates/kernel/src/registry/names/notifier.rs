//! Where tasks wait: for the next notification, for a fact that comes true once, for a change of a name.
//!
//! 1. A notification reaches each future that was made before it, polled or not.
//! 2. No waker is cloned, woken or dropped under the lock: it is foreign code, which may use the notifier or its owner.
//! 3. A waker that panics keeps no other from being woken.
//! 4. A waiter for a name announces itself and then reads the table; a writer changes the table and then checks for
//!    waiters. With a sequentially consistent fence between the two halves on both sides, one of them sees the other:
//!    no wake is lost.
//!
//! tokio's `Notify` keeps the second, but not the third: tasks in one batch with a waker that panics are not woken.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use foldhash::HashMap;
use parking_lot::Mutex;

use crate::containment::{drop_contained, wake};
use crate::namespace::ServiceName;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

#[derive(Default)]
struct Notifier {
    /// How many notifications there have been; changed under the lock.
    calls: AtomicUsize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last_key: u64,
    /// In the order in which they came, which is the order in which they are woken.
    wakers: BTreeMap<u64, Waker>,
}

impl Notifier {
    /// Wakes all waiters. Must be called under no lock.
    fn notify_all(&self) {
        let mut waiting = self.waiting.lock();
        self.calls.fetch_add(1, Ordering::SeqCst);
        let wakers = std::mem::take(&mut waiting.wakers);
        drop(waiting);
        wakers.into_values().for_each(wake);
    }

    /// The next notification. It counts from this call on, not from the first poll.
    fn notified(&self) -> Notified<'_> {
        Notified { notifier: self, seen: self.calls.load(Ordering::SeqCst), key: None }
    }

    fn has_changed(&self, seen: usize) -> bool {
        self.calls.load(Ordering::SeqCst) != seen
    }
}

struct Notified<'a> {
    notifier: &'a Notifier,
    seen: usize,
    /// Where its waker is.
    key: Option<u64>,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (notifier, seen) = (self.notifier, self.seen);
        if notifier.has_changed(seen) {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        let mut waiting = notifier.waiting.lock();
        // Checked under the lock: a notification comes before this check, or finds the waker.
        if notifier.has_changed(seen) {
            drop(waiting);
            return Poll::Ready(());
        }
        let key = *self.key.get_or_insert_with(|| {
            waiting.last_key += 1;
            waiting.last_key
        });
        let replaced = waiting.wakers.insert(key, waker);
        drop(waiting);
        drop_contained("a waker", replaced);
        Poll::Pending
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let left = self.notifier.waiting.lock().wakers.remove(&key);
            drop_contained("a waker", left);
        }
    }
}

/// A fact that comes true once, and can be waited for.
#[derive(Default)]
pub(crate) struct Latch {
    is_set: AtomicBool,
    notifier: Notifier,
}

impl Latch {
    /// Call it under no lock.
    pub(crate) fn set(&self) {
        self.is_set.store(true, Ordering::SeqCst);
        self.notifier.notify_all();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// Returns when it is set.
    pub(crate) async fn wait(&self) {
        // Subscribe before checking.
        let notified = self.notifier.notified();
        if !self.is_set() {
            notified.await;
        }
    }
}

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
    pub(crate) fn change(&self) -> impl Future<Output = ()> {
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
    use std::task::Wake;

    use futures::FutureExt;

    use super::*;

    const A: ServiceName = ServiceName::from_static("a");
    const B: ServiceName = ServiceName::from_static("b");

    fn waiting(notifier: &Notifier) -> usize {
        notifier.waiting.lock().wakers.len()
    }

    #[test]
    fn a_notification_counts_from_the_call_on() {
        let notifier = Notifier::default();
        let mut before = notifier.notified();
        notifier.notify_all();
        assert!((&mut before).now_or_never().is_some());
        assert!(notifier.notified().now_or_never().is_none());
    }

    #[test]
    fn a_waiter_that_is_dropped_leaves_nothing_behind() {
        let notifier = Notifier::default();
        let mut waiters: Vec<_> = (0..3).map(|_| notifier.notified()).collect();
        for waiter in &mut waiters {
            assert!(waiter.now_or_never().is_none());
            assert!(waiter.now_or_never().is_none(), "polled again it takes no second place");
        }
        assert_eq!(waiting(&notifier), 3);
        drop(waiters.swap_remove(1));
        assert_eq!(waiting(&notifier), 2);
        drop(waiters);
        assert_eq!(waiting(&notifier), 0);
    }

    #[test]
    fn a_waker_that_panics_keeps_no_other_from_being_woken() {
        struct Counts(AtomicUsize);
        impl Wake for Counts {
            fn wake(self: Arc<Self>) {
                assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "the first panics");
            }
        }
        let (notifier, counts) = (Notifier::default(), Arc::new(Counts(AtomicUsize::new(0))));
        let waker = Waker::from(Arc::clone(&counts));
        let mut waiters: Vec<_> = (0..40).map(|_| notifier.notified()).collect();
        for waiter in &mut waiters {
            assert!(waiter.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        }
        notifier.notify_all();
        assert_eq!(counts.0.load(Ordering::SeqCst), 40);
    }

    #[test]
    fn a_latch_that_is_set_is_waited_for_no_more() {
        let latch = Latch::default();
        assert!(latch.wait().now_or_never().is_none());
        latch.set();
        assert!(latch.is_set() && latch.wait().now_or_never().is_some());
    }

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
