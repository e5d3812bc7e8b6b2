//! Who waits for which name.
//!
//! A waiter announces itself and then looks at the table; a writer changes the table and then looks for waiters. With a
//! sequentially consistent fence between the two halves on both sides, one of them sees the other: no wake is lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::namespace::ServiceName;

/// The waiters of one table.
#[derive(Default)]
pub(crate) struct Waiters {
    /// How many there are, so that a writer whom nobody waits for takes no lock.
    count: AtomicUsize,
    by_name: Mutex<HashMap<ServiceName, Place>>,
}

/// Where the waiters for one name meet.
#[derive(Default)]
struct Place {
    waiting: usize,
    notify: Arc<Notify>,
}

/// One waiter's announcement; it is given back on drop.
pub(crate) struct Listening<'a> {
    waiters: &'a Waiters,
    name: ServiceName,
    notify: Arc<Notify>,
}

impl Waiters {
    /// Announces a waiter. Look at the table only afterwards.
    pub(crate) fn listen(&self, name: &ServiceName) -> Listening<'_> {
        let notify = self.enter(name);
        self.count.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        Listening { waiters: self, name: name.clone(), notify }
    }

    fn enter(&self, name: &ServiceName) -> Arc<Notify> {
        let mut by_name = self.by_name.lock();
        let place = by_name.entry(name.clone()).or_default();
        place.waiting += 1;
        Arc::clone(&place.notify)
    }

    fn leave(&self, name: &ServiceName) {
        let mut by_name = self.by_name.lock();
        if let Some(place) = by_name.get_mut(name) {
            place.waiting -= 1;
            if place.waiting == 0 {
                by_name.remove(name);
            }
        }
    }

    /// Wakes whoever waits for this name. Change the table only before.
    pub(crate) fn wake(&self, name: &str) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        if let Some(place) = self.by_name.lock().get(name) {
            place.notify.notify_waiters();
        }
    }
}

impl Listening<'_> {
    /// The next change of the name. It counts from this call on, not from the first poll.
    pub(crate) fn change(&self) -> OwnedNotified {
        Arc::clone(&self.notify).notified_owned()
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.waiters.count.fetch_sub(1, Ordering::SeqCst);
        self.waiters.leave(&self.name);
    }
}
