//! The unread facts of one watch.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use parking_lot::Mutex;

use super::after_lock::AfterLock;
use crate::containment::drop_contained;

/// A bounded queue that never blocks its writers: excess facts are dropped, counted and reported.
pub(crate) struct Inbox<F>(Mutex<Unread<F>>);

struct Unread<F> {
    facts: VecDeque<F>,
    capacity: usize,
    /// How many facts were dropped since the reader was last notified. While there are any, no fact is kept: the reader
    /// has to read the table anyway.
    missed: u64,
    closed: bool,
    reader: Option<Waker>,
}

/// The result of a read.
pub(crate) enum Found<F> {
    Fact(F),
    /// This many facts were dropped. Facts are kept again from now on: read the table.
    Missed(u64),
    Closed,
    /// Nothing yet; the reader will be woken.
    Nothing,
}

impl<F> Inbox<F> {
    pub(crate) fn new(capacity: usize) -> Self {
        let (facts, reader) = (VecDeque::new(), None);
        Self(Mutex::new(Unread { facts, capacity, missed: 0, closed: false, reader }))
    }

    pub(crate) fn set_capacity(&self, capacity: usize) {
        self.0.lock().capacity = capacity.max(1);
    }

    /// Never blocks, and defers to `after` what must not run under the caller's lock.
    pub(crate) fn put(&self, fact: F, after: &mut AfterLock<F>) {
        let mut unread = self.0.lock();
        if unread.missed == 0 && unread.facts.len() < unread.capacity {
            unread.facts.push_back(fact);
        } else {
            let dropped = std::mem::take(&mut unread.facts);
            unread.missed += u64::try_from(dropped.len() + 1).unwrap_or(u64::MAX);
            after.drop(dropped.into_iter().chain([fact]));
        }
        after.wake(unread.reader.take());
    }

    /// Marks the end: no more facts will come.
    pub(crate) fn close(&self, after: &mut AfterLock<F>) {
        let mut unread = self.0.lock();
        unread.closed = true;
        after.wake(unread.reader.take());
    }

    pub(crate) fn take(&self, context: &Context<'_>) -> Found<F> {
        if let Some(found) = self.0.lock().take() {
            return found;
        }
        // Not under the lock: cloning and dropping a waker runs foreign code.
        let reader = context.waker().clone();
        let mut unread = self.0.lock();
        if let Some(found) = unread.take() {
            drop(unread);
            return found;
        }
        let replaced = unread.reader.replace(reader);
        drop(unread);
        drop_contained("a waker", replaced);
        Found::Nothing
    }
}

impl<F> Unread<F> {
    /// The next item to read.
    fn take(&mut self) -> Option<Found<F>> {
        match (self.missed, self.facts.pop_front()) {
            (0, Some(fact)) => Some(Found::Fact(fact)),
            (0, None) => self.closed.then_some(Found::Closed),
            (missed, _) => {
                self.missed = 0;
                Some(Found::Missed(missed))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(inbox: &Inbox<u32>, fact: u32) {
        let mut after = AfterLock::default();
        inbox.put(fact, &mut after);
        after.run();
    }

    fn take(inbox: &Inbox<u32>) -> Found<u32> {
        inbox.take(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_is_too_much_is_dropped_and_counted_and_then_it_goes_on() {
        let inbox = Inbox::new(2);
        (0..5).for_each(|n| put(&inbox, n));
        assert!(matches!(take(&inbox), Found::Missed(5)));
        assert!(matches!(take(&inbox), Found::Nothing));
        put(&inbox, 5);
        inbox.close(&mut AfterLock::default());
        assert!(matches!(take(&inbox), Found::Fact(5)));
        assert!(matches!(take(&inbox), Found::Closed));
    }

    #[test]
    fn what_fits_comes_in_order() {
        let inbox = Inbox::new(2);
        (0..2).for_each(|n| put(&inbox, n));
        assert!(matches!((take(&inbox), take(&inbox)), (Found::Fact(0), Found::Fact(1))));
    }
}
