//! Watching the files of a configuration.

use super::tree::Watch;

#[cfg(feature = "reload")]
pub(super) use watching::Watcher;

/// Without the feature nothing is watched.
#[cfg(not(feature = "reload"))]
pub(super) struct Watcher;

#[cfg(not(feature = "reload"))]
impl Watcher {
    pub(super) fn start(_: &Watch, _: impl Fn() + Send + 'static) -> Self {
        Self
    }
}

#[cfg(feature = "reload")]
mod watching {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::time::Duration;

    use notify::event::{AccessKind, AccessMode};
    use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
    use tokio::sync::mpsc::{Receiver, channel};
    use tokio::task::JoinSet;
    use tokio::time::{Instant, timeout, timeout_at};

    use super::Watch;

    /// A change that goes on is told of after so many times the quiet that is waited for.
    const MAX_QUIETS: u32 = 10;

    /// Watches for as long as it is kept.
    pub(crate) struct Watcher {
        /// `None` if the operating system does not let us watch.
        _notices: Option<RecommendedWatcher>,
        /// Ends the task when it is dropped.
        _telling: JoinSet<()>,
    }

    impl Watcher {
        /// Tells once after each burst of changes in the folders of the files, when it has been quiet for a while.
        ///
        /// The folders are watched, not the files: a file that is replaced by another one is still the one of that name,
        /// and in some places what is replaced is the folder that it links to.
        pub(crate) fn start(Watch { files, quiet }: &Watch, tell: impl Fn() + Send + 'static) -> Self {
            // One place is enough: that something happened is all there is to know.
            let (touch, touched) = channel(1);
            let mut notices = match notify::recommended_watcher(move |event| {
                if may_change_content(&event) {
                    let _ = touch.try_send(());
                }
            }) {
                Ok(notices) => Some(notices),
                Err(error) => {
                    tracing::warn!(%error, "configuration files cannot be watched");
                    None
                }
            };
            for folder in files.iter().map(|file| folder(file)).collect::<BTreeSet<_>>() {
                if let Some(Err(error)) = notices.as_mut().map(|it| it.watch(folder, RecursiveMode::NonRecursive)) {
                    tracing::warn!(folder = %folder.display(), %error, "a folder with configuration files cannot be watched");
                }
            }
            let mut telling = JoinSet::new();
            telling.spawn(when_quiet(touched, *quiet, tell));
            Self { _notices: notices, _telling: telling }
        }
    }

    /// Reading a file is no change of it; otherwise each look at the files would lead to the next one.
    fn may_change_content(event: &notify::Result<Event>) -> bool {
        match event.as_ref().map(|event| event.kind) {
            Ok(EventKind::Access(access)) => access == AccessKind::Close(AccessMode::Write),
            // What was missed may have been a change.
            Ok(_) | Err(_) => true,
        }
    }

    fn folder(file: &Path) -> &Path {
        match file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }

    async fn when_quiet(mut touched: Receiver<()>, quiet: Duration, tell: impl Fn()) {
        while touched.recv().await.is_some() {
            let last = Instant::now() + quiet * MAX_QUIETS;
            let burst = async { while let Ok(Some(())) = timeout(quiet, touched.recv()).await {} };
            // Whether it has become quiet or not makes no difference in the end.
            let _ = timeout_at(last, burst).await;
            tell();
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[tokio::test(start_paused = true)]
        async fn a_burst_is_told_of_once_when_it_is_over_and_an_endless_one_from_time_to_time() {
            let (touch, touched) = channel(1);
            let (tell, mut told) = channel(9);
            let quiet = Duration::from_millis(100);
            let mut telling = JoinSet::new();
            telling.spawn(when_quiet(touched, quiet, move || tell.try_send(Instant::now()).unwrap()));

            let begun = Instant::now();
            for _ in 0..3 {
                touch.send(()).await.unwrap();
                tokio::time::advance(quiet / 2).await;
            }
            let first = told.recv().await.unwrap() - begun;
            assert!(first >= quiet * 2 && first < quiet * 3, "{first:?}");
            assert!(told.try_recv().is_err());

            let begun = Instant::now();
            while told.try_recv().is_err() {
                touch.try_send(()).ok();
                tokio::time::advance(quiet / 2).await;
            }
            assert!(begun.elapsed() <= quiet * (MAX_QUIETS + 1));
        }

        #[test]
        fn a_look_at_a_file_is_no_change_of_it() {
            let of = |kind| may_change_content(&Ok(Event::new(kind)));
            assert!(!of(EventKind::Access(AccessKind::Open(AccessMode::Read))));
            assert!(!of(EventKind::Access(AccessKind::Close(AccessMode::Read))));
            assert!(of(EventKind::Access(AccessKind::Close(AccessMode::Write))));
            assert!(of(EventKind::Modify(notify::event::ModifyKind::Any)));
        }

        #[test]
        fn the_folder_of_a_file_without_one_is_the_current_one() {
            assert_eq!(folder(Path::new("app.toml")), Path::new("."));
            assert_eq!(folder(Path::new("etc/app.toml")), Path::new("etc"));
        }
    }
}
