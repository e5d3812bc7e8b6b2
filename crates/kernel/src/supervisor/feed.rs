//! Bounded queues of what happens, one for each reader.
//!
//! A writer never waits for a reader: a full queue is emptied and counts what it has lost. Without a reader a writer
//! reads one number.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::containment::wake;

/// The queues of all readers.
pub(super) struct Feed<T> {
    /// How many there are. A writer that has not seen a new one yet has not handled its request for a snapshot either,
    /// which orders the two.
    readers: AtomicUsize,
    queues: Mutex<Vec<Arc<Queue<T>>>>,
}

/// What of an item concerns a reader.
type Select<T> = dyn Fn(&T) -> Option<T> + Send + Sync;

/// What one reader has not read.
struct Queue<T> {
    select: Box<Select<T>>,
    unread: Mutex<Unread<T>>,
}

struct Unread<T> {
    items: VecDeque<T>,
    capacity: usize,
    missed: u64,
    waker: Option<Waker>,
}

impl<T> Default for Feed<T> {
    fn default() -> Self {
        Self { readers: AtomicUsize::new(0), queues: Mutex::default() }
    }
}

impl<T> Feed<T> {
    /// Whether there is a reader.
    pub(super) fn is_read(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    pub(super) fn push(&self, item: &T) {
        // The wakers run after the lock is released.
        let woken: Vec<Waker> = self.queues.lock().iter().filter_map(|queue| queue.push(item)).collect();
        woken.into_iter().for_each(wake);
    }

    /// Adds a reader of what `select` returns of each item, of which so many are kept.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        capacity: usize,
        select: impl Fn(&T) -> Option<T> + Send + Sync + 'static,
    ) -> Reader<T> {
        let unread = Unread { items: VecDeque::new(), capacity: capacity.max(1), missed: 0, waker: None };
        let queue = Arc::new(Queue { select: Box::new(select), unread: Mutex::new(unread) });
        self.queues.lock().push(Arc::clone(&queue));
        self.readers.fetch_add(1, Ordering::SeqCst);
        Reader { feed: Arc::clone(self), queue }
    }
}

impl<T> Queue<T> {
    fn push(&self, item: &T) -> Option<Waker> {
        let item = (self.select)(item)?;
        let mut unread = self.unread.lock();
        if unread.missed == 0 && unread.items.len() < unread.capacity {
            unread.items.push_back(item);
        } else {
            unread.lose(1);
        }
        unread.waker.take()
    }
}

impl<T> Unread<T> {
    fn clear(&mut self) {
        self.items.clear();
        self.missed = 0;
    }

    /// Loses all items, and so many others.
    fn lose(&mut self, others: u64) {
        self.missed += others + self.items.len() as u64;
        self.items.clear();
    }
}

/// One reader of a [`Feed`].
pub(super) struct Reader<T> {
    feed: Arc<Feed<T>>,
    queue: Arc<Queue<T>>,
}

impl<T> Reader<T> {
    /// The next item, or how many were lost. To be polled with a contained waker: it is woken by the writer.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Result<T, u64>> {
        let mut unread = self.queue.unread.lock();
        if unread.missed > 0 {
            return Poll::Ready(Err(std::mem::take(&mut unread.missed)));
        }
        match unread.items.pop_front() {
            Some(item) => Poll::Ready(Ok(item)),
            None => {
                let before = unread.waker.replace(context.waker().clone());
                drop(unread);
                // Not under the lock: this may drop the waker of another task.
                drop(before);
                Poll::Pending
            }
        }
    }

    /// Forgets what has not been read. It counts as lost unless something [replaces](Forgotten::replaced) it.
    pub(super) fn forget(&self) -> Forgotten<'_, T> {
        let mut unread = self.queue.unread.lock();
        let missed = unread.missed + unread.items.len() as u64;
        unread.clear();
        Forgotten { reader: self, missed }
    }

    pub(super) fn set_capacity(&self, capacity: usize) {
        self.queue.unread.lock().capacity = capacity.max(1);
    }
}

/// The items that a reader has forgotten.
pub(super) struct Forgotten<'a, T> {
    reader: &'a Reader<T>,
    missed: u64,
}

impl<T> Forgotten<'_, T> {
    /// They are not missed: the reader has learnt otherwise what they say.
    pub(super) fn replaced(mut self) {
        self.missed = 0;
    }
}

impl<T> Drop for Forgotten<'_, T> {
    fn drop(&mut self) {
        if self.missed > 0 {
            // Later items do not fit without these.
            self.reader.queue.unread.lock().lose(self.missed);
        }
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.feed.queues.lock().retain(|queue| !Arc::ptr_eq(queue, &self.queue));
        self.feed.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<T> fmt::Debug for Feed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("readers", &self.readers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    use super::*;

    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_reader_gets_what_concerns_it_in_order_and_is_woken() {
        let (feed, flag) = (Arc::new(Feed::default()), Arc::new(Flag(AtomicBool::new(false))));
        let even = feed.subscribe(8, |number: &u32| number.is_multiple_of(2).then_some(*number));
        let waker = Waker::from(Arc::clone(&flag));
        let context = Context::from_waker(&waker);
        assert_eq!(even.poll(&context), Poll::Pending);
        feed.push(&1);
        assert!(!flag.0.load(Ordering::Relaxed));
        (2..=5).for_each(|number| feed.push(&number));
        assert!(flag.0.load(Ordering::Relaxed));
        assert_eq!(even.poll(&context), Poll::Ready(Ok(2)));
        assert_eq!(even.poll(&context), Poll::Ready(Ok(4)));
        assert_eq!(even.poll(&context), Poll::Pending);
    }

    #[test]
    fn a_slow_reader_gets_the_number_of_those_it_has_lost_and_then_the_later_ones() {
        let feed = Arc::new(Feed::default());
        let slow = feed.subscribe(2, |number: &u32| Some(*number));
        let context = Context::from_waker(Waker::noop());
        (0..5).for_each(|number| feed.push(&number));
        assert_eq!(slow.poll(&context), Poll::Ready(Err(5)));
        feed.push(&5);
        assert_eq!(slow.poll(&context), Poll::Ready(Ok(5)));
    }

    #[test]
    fn forgotten_items_are_lost_with_the_later_ones_unless_they_are_replaced() {
        let feed = Arc::new(Feed::default());
        let reader = feed.subscribe(8, |number: &u32| Some(*number));
        let context = Context::from_waker(Waker::noop());
        feed.push(&1);
        let forgotten = reader.forget();
        feed.push(&2);
        forgotten.replaced();
        assert_eq!(reader.poll(&context), Poll::Ready(Ok(2)));
        feed.push(&3);
        let forgotten = reader.forget();
        feed.push(&4);
        drop(forgotten);
        assert_eq!(reader.poll(&context), Poll::Ready(Err(2)));
        drop(reader.forget());
        feed.push(&5);
        assert_eq!(reader.poll(&context), Poll::Ready(Ok(5)), "nothing was forgotten");
    }

    #[test]
    fn a_feed_has_no_reader_when_the_last_is_dropped() {
        let feed: Arc<Feed<u32>> = Arc::default();
        assert!(!feed.is_read());
        let reader = feed.subscribe(2, |number| Some(*number));
        assert!(feed.is_read());
        drop(reader);
        assert!(!feed.is_read());
    }
}
