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
    /// Replaced as a whole: a writer keeps the lock only to copy the pointer.
    queues: Mutex<Queues<T>>,
}

type Queues<T> = Arc<[Arc<Queue<T>>]>;

/// What of an item concerns a reader, and its size.
type Select<T> = dyn Fn(&T) -> Option<(usize, T)> + Send + Sync;

/// What one reader has not read.
struct Queue<T> {
    select: Box<Select<T>>,
    unread: Mutex<Unread<T>>,
}

struct Unread<T> {
    items: VecDeque<(usize, T)>,
    /// Of all items.
    size: usize,
    capacity: usize,
    missed: u64,
    waker: Option<Waker>,
}

impl<T> Default for Feed<T> {
    fn default() -> Self {
        Self { readers: AtomicUsize::new(0), queues: Mutex::new(Arc::new([])) }
    }
}

impl<T> Feed<T> {
    /// Whether there is a reader.
    pub(super) fn is_read(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    pub(super) fn push(&self, item: &T) {
        let queues = Arc::clone(&self.queues.lock());
        queues.iter().filter_map(|queue| queue.push(item)).for_each(wake);
    }

    fn replace(&self, change: impl FnOnce(&mut Vec<Arc<Queue<T>>>)) {
        let mut queues = self.queues.lock();
        let mut changed = queues.to_vec();
        change(&mut changed);
        *queues = changed.into();
    }

    /// Adds a reader of what `select` returns of each item. Unread items of up to this size together are kept, and one
    /// item of any size.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        capacity: usize,
        select: impl Fn(&T) -> Option<(usize, T)> + Send + Sync + 'static,
    ) -> Reader<T> {
        let unread = Unread { items: VecDeque::new(), size: 0, capacity: capacity.max(1), missed: 0, waker: None };
        let queue = Arc::new(Queue { select: Box::new(select), unread: Mutex::new(unread) });
        self.replace(|queues| queues.push(Arc::clone(&queue)));
        self.readers.fetch_add(1, Ordering::SeqCst);
        Reader { feed: Arc::clone(self), queue }
    }
}

impl<T> Queue<T> {
    fn push(&self, item: &T) -> Option<Waker> {
        let (size, item) = (self.select)(item)?;
        let mut unread = self.unread.lock();
        let fits = unread.items.is_empty() || unread.size.saturating_add(size) <= unread.capacity;
        if unread.missed == 0 && fits {
            unread.size += size;
            unread.items.push_back((size, item));
        } else {
            unread.lose(1);
        }
        unread.waker.take()
    }
}

impl<T> Unread<T> {
    fn clear(&mut self) {
        self.items.clear();
        (self.size, self.missed) = (0, 0);
    }

    /// Loses all items, and so many others.
    fn lose(&mut self, others: u64) {
        self.missed += others + self.items.len() as u64;
        self.items.clear();
        self.size = 0;
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
            Some((size, item)) => {
                unread.size -= size;
                Poll::Ready(Ok(item))
            }
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
        self.feed.replace(|queues| queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue)));
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
        let even = feed.subscribe(8, |number: &u32| number.is_multiple_of(2).then_some((1, *number)));
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
        let slow = feed.subscribe(2, |number: &u32| Some((1, *number)));
        let context = Context::from_waker(Waker::noop());
        (0..5).for_each(|number| feed.push(&number));
        assert_eq!(slow.poll(&context), Poll::Ready(Err(5)));
        feed.push(&5);
        assert_eq!(slow.poll(&context), Poll::Ready(Ok(5)));
    }

    #[test]
    fn items_are_kept_up_to_their_size_together_and_one_of_any_size() {
        let feed = Arc::new(Feed::default());
        let reader = feed.subscribe(4, |number: &u32| Some((*number as usize, *number)));
        let context = Context::from_waker(Waker::noop());
        feed.push(&9);
        assert_eq!(reader.poll(&context), Poll::Ready(Ok(9)));
        [2, 2].iter().for_each(|number| feed.push(number));
        assert_eq!(reader.poll(&context), Poll::Ready(Ok(2)));
        feed.push(&3);
        assert_eq!(reader.poll(&context), Poll::Ready(Err(2)));
    }

    #[test]
    fn forgotten_items_are_lost_with_the_later_ones_unless_they_are_replaced() {
        let feed = Arc::new(Feed::default());
        let reader = feed.subscribe(8, |number: &u32| Some((1, *number)));
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
        let reader = feed.subscribe(2, |number| Some((1, *number)));
        assert!(feed.is_read());
        drop(reader);
        assert!(!feed.is_read());
    }
}
