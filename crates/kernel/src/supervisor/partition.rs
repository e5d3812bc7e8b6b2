//! One child many times, and a key to choose among them: Elixir's `PartitionSupervisor`.
//!
//! The partitions are the children `0`, `1`, … of an ordinary supervisor. Their current actors are in
//! [`PartitionSlots`], one for each partition, which readers read without asking an actor.
//!
//! 1. A slot is taken before its actor starts. It is free when the last clone of its lease is dropped; the handler and
//!    state of its holder have then been dropped.
//! 2. A slot is never taken from a living holder, and a lease only fills and frees the slot while it is its own.
//! 3. Keys are routed to the partitions below `open`. A partition is closed before it is stopped, and opened when it
//!    has started.

mod error;
mod key;
pub(super) mod supervisor;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use ractor::{ActorCell, ActorStatus};
use tokio::time::Instant;

pub use error::PartitionError;

/// What a partition can be: an actor, a dynamic supervisor or a task supervisor.
pub trait Partition: sealed::SlotHolder + Clone + Send + Sync + 'static {}

impl<T: sealed::SlotHolder + Clone + Send + Sync + 'static> Partition for T {}

mod sealed {
    pub trait SlotHolder {
        fn is_live(&self) -> bool;
    }
}

/// Whether an actor takes messages.
fn is_live(cell: &ActorCell) -> bool {
    cell.get_status() < ActorStatus::Draining
}

struct PartitionSlot<P> {
    /// The number of its latest lease.
    lease: u64,
    holder: Holder<P>,
}

enum Holder<P> {
    /// Empty since then, or never held.
    Vacant(Option<Instant>),
    /// Starting, with no holder since then.
    Starting(Option<Instant>),
    Started(P),
}

struct PartitionSlots<P> {
    slots: Box<[RwLock<PartitionSlot<P>>]>,
    open: AtomicUsize,
}

impl<P: Partition> PartitionSlots<P> {
    fn new(partitions: NonZeroUsize) -> Self {
        let free = |_| RwLock::new(PartitionSlot { lease: 0, holder: Holder::Vacant(None) });
        let slots = (0..partitions.get()).map(free).collect();
        Self { slots, open: AtomicUsize::new(partitions.get()) }
    }

    /// How many there are in all, open or closed.
    fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many are routed to.
    fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    fn set_open(&self, partitions: usize) {
        self.open.store(partitions, Ordering::Release);
    }

    /// The living holder of this slot.
    fn at(&self, partition: usize) -> Result<P, PartitionError> {
        match self.slots.get(partition).map(|slot| slot.read()).as_deref() {
            Some(PartitionSlot { holder: Holder::Started(holder), .. }) if holder.is_live() => Ok(holder.clone()),
            _ => Err(PartitionError::Down { partition }),
        }
    }

    /// The open slots that have been empty for this long.
    fn vacant(&self, for_long: Duration, now: Instant) -> Vec<usize> {
        let is_long = |since: &Instant| now.saturating_duration_since(*since) >= for_long;
        let is_vacant = |slot: &RwLock<PartitionSlot<P>>| match &slot.read().holder {
            Holder::Vacant(since) => since.as_ref().is_none_or(is_long),
            Holder::Starting(since) => since.as_ref().is_some_and(is_long),
            Holder::Started(_) => false,
        };
        let open = self.slots.iter().enumerate().take(self.open());
        open.filter(|(_, slot)| is_vacant(slot)).map(|(partition, _)| partition).collect()
    }

    /// Takes a slot for an actor that is about to start; `None` if another one lives on it, or is about to.
    fn take(self: &Arc<Self>, partition: usize) -> Option<SlotLease<P>> {
        let mut slot = self.slots.get(partition)?.write();
        let (taken, since) = match &slot.holder {
            Holder::Vacant(since) => (false, *since),
            Holder::Starting(since) => (true, *since),
            Holder::Started(holder) => (holder.is_live(), None),
        };
        if taken {
            return None;
        }
        let number = slot.lease + 1;
        let before = std::mem::replace(&mut *slot, PartitionSlot { lease: number, holder: Holder::Starting(since) });
        drop(slot);
        // After the lock has been released: this may drop the last reference to an actor.
        drop(before);
        Some(SlotLease(Arc::new(Share { slots: Arc::clone(self), partition, number })))
    }

    fn set(&self, Share { partition, number, .. }: &Share<P>, holder: Holder<P>) {
        let mut slot = self.slots[*partition].write();
        if slot.lease != *number {
            return;
        }
        let before = std::mem::replace(&mut slot.holder, holder);
        drop(slot);
        drop(before);
    }
}

/// The right to a slot; the last clone to be dropped returns it.
struct SlotLease<P: Partition>(Arc<Share<P>>);

impl<P: Partition> Clone for SlotLease<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Partition> SlotLease<P> {
    /// Publishes the started actor. It may have ended already: then this clone is the last one, and frees the slot.
    fn fill(self, holder: P) {
        self.0.slots.set(&self.0, Holder::Started(holder));
    }
}

struct Share<P: Partition> {
    slots: Arc<PartitionSlots<P>>,
    partition: usize,
    number: u64,
}

impl<P: Partition> Drop for Share<P> {
    fn drop(&mut self) {
        self.slots.set(self, Holder::Vacant(Some(Instant::now())));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[derive(Clone, Default)]
    struct Guest(Arc<AtomicBool>);

    impl sealed::SlotHolder for Guest {
        fn is_live(&self) -> bool {
            !self.0.load(Ordering::Relaxed)
        }
    }

    impl Guest {
        fn die(&self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn one_slot() -> Arc<PartitionSlots<Guest>> {
        Arc::new(PartitionSlots::new(NonZeroUsize::MIN))
    }

    #[test]
    fn a_slot_is_never_taken_from_a_living_or_starting_holder() {
        let (slots, guest) = (one_slot(), Guest::default());
        let lease = slots.take(0).unwrap();
        assert!(slots.at(0).is_err());
        assert!(slots.take(0).is_none());
        lease.clone().fill(guest.clone());
        assert!(slots.at(0).is_ok());
        assert!(slots.take(0).is_none());
        guest.die();
        assert!(slots.at(0).is_err());
        assert!(slots.take(0).is_some());
        assert!(slots.take(1).is_none());
    }

    #[test]
    fn the_last_share_of_a_lease_frees_the_slot_and_drops_the_guest() {
        let (slots, guest) = (one_slot(), Guest::default());
        let lease = slots.take(0).unwrap();
        lease.clone().fill(guest.clone());
        assert_eq!(Arc::strong_count(&guest.0), 2);
        drop(lease);
        assert_eq!(Arc::strong_count(&guest.0), 1);
        assert!(slots.take(0).is_some());
    }

    #[test]
    fn a_lease_that_comes_back_late_does_not_free_the_slot_of_the_next() {
        let (slots, first, second) = (one_slot(), Guest::default(), Guest::default());
        let late = slots.take(0).unwrap();
        late.clone().fill(first.clone());
        first.die();
        let lease = slots.take(0).unwrap();
        lease.clone().fill(second);
        late.clone().fill(first);
        assert!(slots.at(0).is_ok());
        drop(late);
        assert!(slots.at(0).is_ok());
        drop(lease);
        assert!(slots.at(0).is_err());
    }
}
