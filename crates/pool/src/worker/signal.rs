//! A request to a worker, beside its jobs.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A request that is made once and stays made until it is taken back.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    given: AtomicBool,
    notify: Notify,
}

impl Signal {
    pub(crate) fn give(&self) {
        self.given.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Takes the request back, or takes it as done.
    pub(crate) fn clear(&self) {
        self.given.store(false, Ordering::Release);
    }

    pub(crate) fn is_given(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }

    /// Returns when the request is made: at once if it has been.
    pub(crate) async fn given(&self) {
        loop {
            let notified = self.notify.notified();
            // Registered before the look: a request between the two is not missed.
            if self.is_given() {
                return;
            }
            notified.await;
        }
    }
}
