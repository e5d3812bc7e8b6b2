//! A request to a worker, beside its jobs.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// What a request is about that is about everything, and is not taken back.
pub(crate) const ALL: u64 = u64::MAX;

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

    /// Takes the request back, unless it is about [everything](ALL).
    pub(crate) fn take_back(&self) {
        let given = self.given.load(Ordering::Acquire);
        if given != 0 && given != ALL {
            // One that was given since then stays.
            let _ = self.given.compare_exchange(given, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// What the request is about, if there is one.
    pub(crate) fn about(&self) -> Option<u64> {
        Some(self.given.load(Ordering::Acquire)).filter(|about| *about > 0)
    }

    /// Returns when there is a request about this, or about everything: at once if there is.
    pub(crate) async fn given(&self, about: u64) {
        self.given_of(|given| given == about).await;
    }

    /// The same for a request of which this is true.
    pub(crate) async fn given_of(&self, is_meant: impl Fn(u64) -> bool) {
        loop {
            let notified = self.notify.notified();
            // Registered before the look: a request between the two is not missed.
            if self.about().is_some_and(|given| given == ALL || is_meant(given)) {
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
        signal.give(ALL);
        signal.take_back();
        assert!(signal.given(2).now_or_never().is_some());
    }
}
