//! Who has or waits for which lock.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::namespace::ServiceName;

/// The locks that somebody has or waits for: one that nobody asks for does not exist.
#[derive(Default)]
pub(crate) struct Locks(Mutex<HashMap<ServiceName, Place>>);

/// One lock, and how many have it or wait for it.
#[derive(Default)]
struct Place {
    asking: usize,
    gate: Gate,
}

// tokio's is fair: who waits first gets it first, and who gives up waiting leaves the queue.
type Gate = Arc<tokio::sync::Mutex<()>>;

/// Somebody's interest in a lock; it is given back on drop.
struct Asking<'a> {
    locks: &'a Locks,
    name: ServiceName,
}

/// A lock that one has. Fields drop in their order: the lock is free before its place is given up.
pub(crate) struct Locked<'a> {
    _gate: OwnedMutexGuard<()>,
    _asking: Asking<'a>,
}

impl Locks {
    /// Waits until nobody else has the lock of this name.
    pub(crate) async fn lock(&self, name: &ServiceName) -> Locked<'_> {
        let (asking, gate) = self.ask(name);
        Locked { _gate: gate.lock_owned().await, _asking: asking }
    }

    fn ask(&self, name: &ServiceName) -> (Asking<'_>, Gate) {
        let mut places = self.0.lock();
        let place = places.entry(name.clone()).or_default();
        place.asking += 1;
        (Asking { locks: self, name: name.clone() }, Arc::clone(&place.gate))
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut places = self.locks.0.lock();
        if let Some(place) = places.get_mut(&self.name) {
            place.asking -= 1;
            if place.asking == 0 {
                places.remove(&self.name);
            }
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
        locks.0.lock().len()
    }

    #[test]
    fn a_lock_that_nobody_has_or_waits_for_does_not_exist() {
        let locks = Locks::default();
        let held = locks.lock(&A).now_or_never().expect("it is free");
        let mut waiting = Box::pin(locks.lock(&A));
        assert!((&mut waiting).now_or_never().is_none());
        let other = locks.lock(&B).now_or_never().expect("another one");
        assert_eq!(places(&locks), 2);
        drop(other);
        drop(held);
        assert_eq!(places(&locks), 1, "somebody waits");
        drop(waiting.now_or_never().expect("it is free again"));
        assert_eq!(places(&locks), 0);
    }

    #[test]
    fn who_gives_up_waiting_leaves_the_queue_wherever_it_stood() {
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
