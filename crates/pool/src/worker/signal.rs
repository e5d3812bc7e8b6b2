//! A request to a worker, beside its jobs.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// A request that stays made until it is taken back: with a number, which says what it is about.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// Zero without a request.
    given: AtomicU64,
    notify: Notify,
}

impl Signal {
    pub(crate) fn give(&self, about: u64) {
        self.given.store(about, Ordering::Release);
        self.notify.notify_waiters();
    }

    pub(crate) fn take_back(&self) {
        self.given.store(0, Ordering::Release);
    }

    /// What the request is about, if there is one.
    pub(crate) fn about(&self) -> Option<u64> {
        Some(self.given.load(Ordering::Acquire)).filter(|about| *about > 0)
    }

    /// Returns when there is a request about this: at once if there is.
    pub(crate) async fn given(&self, about: u64) {
        loop {
            let notified = self.notify.notified();
            // Registered before the look: a request between the two is not missed.
            if self.about() == Some(about) {
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_request_is_received_by_the_one_that_it_is_about() {
        let signal = Signal::default();
        let (mut first, mut second) = (pin!(signal.given(1)), pin!(signal.given(2)));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        signal.give(2);
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_some());
        signal.take_back();
        assert!(signal.given(2).now_or_never().is_none());
    }
}
