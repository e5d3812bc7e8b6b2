//! Work that runs to its end even if no caller waits for it any more.

use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;

use crate::registry::names::Latch;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Work that is started once, on a task of its own. All callers get the same outcome, and none has to wait for it.
pub(crate) struct Detached<T>(Arc<State<T>>);

struct State<T> {
    is_begun: AtomicBool,
    outcome: OnceLock<T>,
    over: Latch,
}

/// The right to do the work. It marks the work as over when it is dropped: with the task, however that ends.
pub(super) struct Claim<T>(Arc<State<T>>);

impl<T> Drop for Claim<T> {
    fn drop(&mut self) {
        self.0.over.set();
    }
}

impl<T: Clone + Send + Sync + 'static> Detached<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State { is_begun: AtomicBool::new(false), outcome: OnceLock::new(), over: Latch::default() }))
    }

    /// Starts the work, unless it has been started. The caller makes the future, and the runtime polls it.
    pub(crate) fn begin<F>(&self, runtime: &Handle, make: impl FnOnce() -> F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        if let Some(claim) = self.claim() {
            claim.begin(runtime, make());
        }
    }

    /// The right to do the work, for the first caller. From then on it counts as begun.
    pub(super) fn claim(&self) -> Option<Claim<T>> {
        let is_begun = self.0.is_begun.swap(true, Ordering::SeqCst);
        (!is_begun).then(|| Claim(Arc::clone(&self.0)))
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.0.is_begun.load(Ordering::SeqCst)
    }

    /// The outcome, if it is known already.
    pub(crate) fn known(&self) -> Option<&T> {
        self.0.outcome.get()
    }

    /// Waits for the work; `None` if its runtime was dropped before it finished.
    pub(crate) async fn outcome(&self) -> Option<T> {
        self.0.over.wait().await;
        self.known().cloned()
    }
}

impl<T: Send + Sync + 'static> Claim<T> {
    /// Starts the work.
    pub(super) fn begin(self, runtime: &Handle, work: impl Future<Output = T> + Send + 'static) {
        runtime.spawn(async move {
            let _ = self.0.outcome.set(work.await);
            drop(self);
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn work_goes_on_without_a_waiter_and_is_done_once() {
        let (detached, runtime) = (Detached::new(), Handle::current());
        detached.begin(&runtime, || async { tokio::task::yield_now().await });
        assert!(detached.outcome().now_or_never().is_none());
        detached.begin(&runtime, || async { unreachable!("it has been begun") });
        assert_eq!((detached.outcome().await, detached.known()), (Some(()), Some(&())));
    }

    #[test]
    fn a_wait_ends_with_the_runtime_and_when_the_work_cannot_be_made() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (hangs, panics) = (Detached::new(), Detached::<()>::new());
        hangs.begin(runtime.handle(), std::future::pending::<()>);
        let making = || panics.begin::<std::future::Ready<()>>(runtime.handle(), || panic!("it cannot be made"));
        assert!(crate::containment::catch_panic(making).is_err());
        assert_eq!(panics.outcome().now_or_never(), Some(None));
        let handle = runtime.handle().clone();
        drop(runtime);
        assert_eq!(hangs.outcome().now_or_never(), Some(None));
        let late = Detached::new();
        late.begin(&handle, || async {});
        assert_eq!(late.outcome().now_or_never(), Some(None));
    }
}
