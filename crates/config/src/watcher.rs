//! Watching the files of a configuration.

use std::sync::Arc;

use super::current::Current;
use super::fingerprint::Fingerprint;
use super::tree::WatchSpec;

#[cfg(feature = "reload")]
mod observer;
#[cfg(feature = "reload")]
mod plan;

#[cfg(feature = "reload")]
pub(super) use watching::Watcher;

/// Without the feature nothing is watched.
#[cfg(not(feature = "reload"))]
pub(super) struct Watcher;

#[cfg(not(feature = "reload"))]
impl Watcher {
    pub(super) fn start<F: Future<Output = bool> + Send + 'static>(
        _: WatchSpec,
        _: Arc<Current>,
        _: impl Fn(Fingerprint) -> F + Send + Sync + 'static,
    ) -> Self {
        Self
    }
}

#[cfg(feature = "reload")]
mod watching {
    use std::time::Duration;

    use tokio::sync::mpsc::{Receiver, channel};
    use tokio::task::{JoinSet, spawn_blocking};
    use tokio::time::{Instant, timeout, timeout_at};

    use super::observer::{FileObserver, Notifier, operating_system};
    use super::{Arc, Current, Fingerprint, WatchSpec};

    /// A change that goes on is reported after this many quiet periods.
    const MAX_QUIETS: u32 = 10;

    /// Watches for as long as it is kept.
    pub(crate) struct Watcher {
        /// Ends the task when it is dropped.
        _watching: JoinSet<()>,
    }

    impl Watcher {
        /// Reports each content of the files once that differs from the last one taken, when the files have been quiet
        /// for a while. `on_change` returns whether the change is dealt with; if not, it is reported again at the next
        /// check. How the files are watched is noted in `current`, whose tree knows the content that it was loaded
        /// from.
        pub(crate) fn start<F: Future<Output = bool> + Send + 'static>(
            watch: WatchSpec,
            current: Arc<Current>,
            on_change: impl Fn(Fingerprint) -> F + Send + Sync + 'static,
        ) -> Self {
            Self::with(operating_system, watch, current, on_change)
        }

        pub(super) fn with<F: Future<Output = bool> + Send + 'static>(
            notifier: Notifier,
            watch: WatchSpec,
            current: Arc<Current>,
            on_change: impl Fn(Fingerprint) -> F + Send + Sync + 'static,
        ) -> Self {
            let mut watching = JoinSet::new();
            watching.spawn(run(notifier, watch, current, on_change));
            Self { _watching: watching }
        }
    }

    async fn run<F: Future<Output = bool>>(
        notifier: Notifier,
        watch: WatchSpec,
        current: Arc<Current>,
        on_change: impl Fn(Fingerprint) -> F,
    ) {
        // One slot is enough: the only information is that something happened.
        let (touch, mut touched) = channel(1);
        let (quiet, poll) = (watch.quiet, watch.poll);
        let mut known = current.load().fingerprint();
        let mut observer = FileObserver::new(notifier, watch, current, touch);
        loop {
            let Some((back, seen)) = check(observer).await else { return };
            observer = back;
            if seen != known && on_change(seen).await {
                known = seen;
            }
            // A change without a notification is also taken only when it is quiet.
            let Some((back, seen)) = next_check(observer, &mut touched, quiet, poll).await else { return };
            observer = back;
            if seen.is_some_and(|seen| seen != known) {
                until_quiet(&mut touched, quiet).await;
            }
        }
    }

    /// Waits until something was touched and it is quiet again, or until the next check, whose outcome it returns.
    async fn next_check(
        observer: FileObserver,
        touched: &mut Receiver<()>,
        quiet: Duration,
        poll: Duration,
    ) -> Option<(FileObserver, Option<Fingerprint>)> {
        match timeout(poll, touched.recv()).await {
            Ok(touch) => {
                touch?;
                until_quiet(touched, quiet).await;
                Some((observer, None))
            }
            Err(_) => check(observer).await.map(|(observer, seen)| (observer, Some(seen))),
        }
    }

    /// Reads files, so not on a worker thread. `None` if the runtime is shutting down.
    async fn check(mut observer: FileObserver) -> Option<(FileObserver, Fingerprint)> {
        let checked = spawn_blocking(move || {
            let seen = observer.check();
            (observer, seen)
        });
        checked.await.ok()
    }

    async fn until_quiet(touched: &mut Receiver<()>, quiet: Duration) {
        let last = Instant::now() + quiet * MAX_QUIETS;
        let burst = async { while let Ok(Some(())) = timeout(quiet, touched.recv()).await {} };
        // The check follows in either case, quiet or not.
        let _ = timeout_at(last, burst).await;
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[tokio::test(start_paused = true)]
        async fn a_burst_is_reported_once_when_it_is_over_and_an_endless_one_at_intervals() {
            let (touch, mut touched) = channel(1);
            let (sender, mut reported) = channel(9);
            let quiet = Duration::from_millis(100);
            let mut reporting = JoinSet::new();
            reporting.spawn(async move {
                while touched.recv().await.is_some() {
                    until_quiet(&mut touched, quiet).await;
                    sender.try_send(Instant::now()).unwrap();
                }
            });

            let begun = Instant::now();
            for _ in 0..3 {
                touch.send(()).await.unwrap();
                tokio::time::advance(quiet / 2).await;
            }
            let first = reported.recv().await.unwrap() - begun;
            assert!(first >= quiet * 2 && first < quiet * 3, "{first:?}");
            assert!(reported.try_recv().is_err());

            let begun = Instant::now();
            while reported.try_recv().is_err() {
                touch.try_send(()).ok();
                tokio::time::advance(quiet / 2).await;
            }
            assert!(begun.elapsed() <= quiet * (MAX_QUIETS + 1));
        }
    }
}
