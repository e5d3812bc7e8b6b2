//! tokio's `Notify`, as far as it wakes all who wait.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::lock::Mutex;

pub(crate) struct Notify {
    calls: AtomicUsize,
    waiting: Mutex<Vec<Waker>>,
}

impl Default for Notify {
    fn default() -> Self {
        Self { calls: AtomicUsize::new(0), waiting: Mutex::default() }
    }
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_waiters(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn notified(&self) -> Notified<&Self> {
        Notified { seen: self.calls.load(Ordering::SeqCst), notify: self }
    }

    pub(crate) fn notified_owned(self: Arc<Self>) -> OwnedNotified {
        Notified { seen: self.calls.load(Ordering::SeqCst), notify: self }
    }
}

pub(crate) struct Notified<N> {
    notify: N,
    seen: usize,
}

pub(crate) type OwnedNotified = Notified<Arc<Notify>>;

impl<N: std::ops::Deref<Target = Notify> + Unpin> Future for Notified<N> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.notify.waiting.lock();
        if self.notify.calls.load(Ordering::SeqCst) != self.seen {
            return Poll::Ready(());
        }
        waiting.push(context.waker().clone());
        Poll::Pending
    }
}
