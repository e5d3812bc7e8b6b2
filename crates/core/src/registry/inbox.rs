//! What has happened and one watch has not read yet.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use parking_lot::Mutex;

/// A bounded queue that never blocks who writes: what is too much is dropped, counted, and told.
pub(crate) struct Inbox<F>(Mutex<Unread<F>>);

struct Unread<F> {
    facts: VecDeque<F>,
    capacity: usize,
    /// How many facts were dropped since the reader has last heard of it. While there are any, none is kept: the reader
    /// has to look at the table anyway.
    missed: u64,
    closed: bool,
    reader: Option<Waker>,
}

/// What a reader finds.
pub(crate) enum Found<F> {
    Fact(F),
    /// So many were dropped. Facts are kept again from now on: look at the table.
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

    pub(crate) fn put(&self, fact: F) {
        self.change(|unread| {
            if unread.missed == 0 && unread.facts.len() < unread.capacity {
                unread.facts.push_back(fact);
            } else {
                let dropped = std::mem::take(&mut unread.facts).len() + 1;
                unread.missed += u64::try_from(dropped).unwrap_or(u64::MAX);
            }
        });
    }

    /// Says that nothing more will come.
    pub(crate) fn close(&self) {
        self.change(|unread| unread.closed = true);
    }

    fn change(&self, change: impl FnOnce(&mut Unread<F>)) {
        let mut unread = self.0.lock();
        change(&mut unread);
        let reader = unread.reader.take();
        drop(unread);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(crate) fn take(&self, context: &Context<'_>) -> Found<F> {
        let mut unread = self.0.lock();
        match (unread.missed, unread.facts.pop_front()) {
            (0, Some(fact)) => Found::Fact(fact),
            (0, None) if unread.closed => Found::Closed,
            (0, None) => {
                unread.reader = Some(context.waker().clone());
                Found::Nothing
            }
            (missed, _) => {
                unread.missed = 0;
                Found::Missed(missed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(inbox: &Inbox<u32>) -> Found<u32> {
        inbox.take(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_is_too_much_is_dropped_and_counted_and_then_it_goes_on() {
        let inbox = Inbox::new(2);
        (0..5).for_each(|n| inbox.put(n));
        assert!(matches!(take(&inbox), Found::Missed(5)));
        assert!(matches!(take(&inbox), Found::Nothing));
        inbox.put(5);
        inbox.close();
        assert!(matches!(take(&inbox), Found::Fact(5)));
        assert!(matches!(take(&inbox), Found::Closed));
    }

    #[test]
    fn what_fits_comes_in_order() {
        let inbox = Inbox::new(2);
        (0..2).for_each(|n| inbox.put(n));
        assert!(matches!((take(&inbox), take(&inbox)), (Found::Fact(0), Found::Fact(1))));
    }
}
