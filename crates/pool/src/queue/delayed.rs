//! Jobs that become due at a time: later attempts, and jobs for later.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use tokio::time::Instant;

/// Items by the time at which they are due; of those due at the same time the first one in comes first.
#[derive(Debug)]
pub(crate) struct Delayed<T> {
    heap: BinaryHeap<Entry<T>>,
    /// How many items have ever come in.
    entered: u64,
}

#[derive(Debug)]
struct Entry<T> {
    due: Instant,
    number: u64,
    item: T,
}

impl<T> Delayed<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), entered: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Adds an item; true if it is the next one that is due.
    pub(crate) fn push(&mut self, due: Instant, item: T) -> bool {
        self.entered += 1;
        let first = self.next_due().is_none_or(|next| due < next);
        self.heap.push(Entry { due, number: self.entered, item });
        first
    }

    /// When the next item is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.due)
    }

    /// Takes an item that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.next_due()? > now {
            return None;
        }
        self.heap.pop().map(|entry| entry.item)
    }

    /// Takes all, in no order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.heap.drain().map(|entry| entry.item)
    }
}

impl<T> Entry<T> {
    fn order(&self) -> (Instant, u64) {
        (self.due, self.number)
    }
}

// The heap has its greatest entry at the top, so what is due first is the greatest.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.order().cmp(&self.order())
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn items_come_out_when_they_are_due_in_the_order_of_their_times(
            dues in proptest::collection::vec(0u64..20, 0..100), now in 0u64..20,
        ) {
            let origin = Instant::now();
            let at = |seconds| origin + Duration::from_secs(seconds);
            let mut delayed = Delayed::new();
            for (number, due) in dues.iter().enumerate() {
                let first = delayed.push(at(*due), (*due, number));
                prop_assert_eq!(first, dues[..number].iter().all(|other| due < other));
            }
            let mut expected: Vec<_> = dues.iter().copied().zip(0..).collect();
            expected.sort_unstable();
            let (expected, later) = expected.split_at(expected.partition_point(|(due, _)| *due <= now));
            let found: Vec<_> = std::iter::from_fn(|| delayed.pop_due(at(now))).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(delayed.next_due(), later.first().map(|(due, _)| at(*due)));
            prop_assert_eq!((delayed.len(), delayed.is_empty()), (later.len(), later.is_empty()));
            prop_assert_eq!(delayed.drain().count(), later.len());
        }
    }
}
