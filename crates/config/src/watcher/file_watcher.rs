//! Watching the files of a configuration.
//!
//! The library identifies watches by path, and the operating system by the folder itself. After a folder was replaced
//! these differ, and the notice of the old folder's end removes the watch of the new one. So all watches are made anew,
//! by a new instance, whenever the plan changes or a watched folder itself was touched.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foundation_kernel::containment::catch_panic;
use foundation_kernel::text::excerpt;
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{ErrorKind, Event, EventHandler, EventKind, RecursiveMode};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout, timeout_at};

use super::config_watch::ConfigWatch;
use super::plan::WatchPlan;
use crate::values::{Fingerprint, Source};

/// A change that goes on is reported after this many quiet periods.
const MAX_QUIETS: u32 = 10;
/// How often one check makes the watches anew, if the files are reached in another way each time.
const MAX_ROUNDS: usize = 4;

/// Watches for as long as it is kept.
pub(crate) struct Watcher {
    /// Ends the task when it is dropped.
    _watching: JoinSet<()>,
}

impl Watcher {
    /// Reports each content of the source's files once that differs from the last one taken, which is `known` at first,
    /// when the files have been quiet for a while. `on_change` returns whether the change is dealt with; if not, it is
    /// reported again at the next check. `on_watch` is called with how the files are watched, whenever the watches are
    /// made. `None` if the files are not to be watched.
    pub(crate) fn start<F: Future<Output = bool> + Send + 'static>(
        source: Arc<dyn Source>,
        known: Fingerprint,
        on_watch: impl Fn(ConfigWatch) + Send + 'static,
        on_change: impl Fn(Fingerprint) -> F + Send + Sync + 'static,
    ) -> Option<Self> {
        Self::with(operating_system, source, known, on_watch, on_change)
    }

    fn with<F: Future<Output = bool> + Send + 'static>(
        notifier: Notifier,
        source: Arc<dyn Source>,
        known: Fingerprint,
        on_watch: impl Fn(ConfigWatch) + Send + 'static,
        on_change: impl Fn(Fingerprint) -> F + Send + Sync + 'static,
    ) -> Option<Self> {
        let (quiet, poll) = source.watch()?;
        let observer = move |touch| FileObserver::new(notifier, source, poll, Box::new(on_watch), touch);
        let mut watching = JoinSet::new();
        watching.spawn(run(known, observer, (quiet, poll), on_change));
        Some(Self { _watching: watching })
    }
}

async fn run<F: Future<Output = bool>>(
    mut known: Fingerprint,
    observer: impl FnOnce(Sender<()>) -> FileObserver,
    (quiet, poll): (Duration, Duration),
    on_change: impl Fn(Fingerprint) -> F,
) {
    // One slot is enough: the only information is that something happened.
    let (touch, mut touched) = channel(1);
    let mut observer = observer(touch);
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

type Notices = Box<dyn notify::Watcher + Send>;

/// Is called with how the files are watched.
type OnWatch = Box<dyn Fn(ConfigWatch) + Send>;

/// Makes the operating system report changes.
type Notifier = fn(NoticeHandler) -> notify::Result<Notices>;

fn operating_system(handler: NoticeHandler) -> notify::Result<Notices> {
    notify::recommended_watcher(handler).map(|notices| Box::new(notices) as Notices)
}

/// Watches and reads the files.
struct FileObserver {
    notifier: Notifier,
    source: Arc<dyn Source>,
    poll: Duration,
    on_watch: OnWatch,
    touch: Sender<()>,
    plan: Arc<WatchPlan>,
    /// Whether a watched folder itself was touched since the watches were made.
    stale: Arc<AtomicBool>,
    /// `None` if the operating system does not report changes, or not all.
    notices: Option<Notices>,
}

impl FileObserver {
    fn new(notifier: Notifier, source: Arc<dyn Source>, poll: Duration, on_watch: OnWatch, touch: Sender<()>) -> Self {
        let (plan, stale, notices) = (Arc::default(), Arc::default(), None);
        Self { notifier, source, poll, on_watch, touch, plan, stale, notices }
    }

    /// The fingerprint of the files now, watched as they are reached now. Blocks.
    fn check(&mut self) -> Fingerprint {
        // Watch before reading: a change after the read is reported.
        for _ in 0..MAX_ROUNDS {
            let plan = WatchPlan::from(&*self.source.files());
            if self.notices.is_some() && *self.plan == plan && !self.stale.load(Ordering::Acquire) {
                break;
            }
            let how = self.watch_anew(plan);
            (self.on_watch)(how);
            if self.notices.is_none() {
                break;
            }
        }
        self.source.fingerprint()
    }

    fn watch_anew(&mut self, plan: WatchPlan) -> ConfigWatch {
        // Drop the old ones first: instances are limited.
        self.notices = None;
        (self.plan, self.stale) = (Arc::new(plan), Arc::default());
        // A panic is the library's: its thread has ended.
        let watching = catch_panic(|| self.try_watch());
        match watching.map_err(|panic| panic.into_text()).and_then(|it| it.map_err(|error| error.to_string())) {
            Ok(notices) => {
                self.notices = Some(notices);
                ConfigWatch::Watched
            }
            Err(reason) => ConfigWatch::Polled { every: self.poll, reason: excerpt(&reason) },
        }
    }

    fn try_watch(&self) -> notify::Result<Notices> {
        let (plan, stale, touch) = (Arc::clone(&self.plan), Arc::clone(&self.stale), self.touch.clone());
        let mut notices = (self.notifier)(NoticeHandler { plan, stale, touch })?;
        for folder in self.plan.folders() {
            match notices.watch(folder, RecursiveMode::NonRecursive) {
                // It existed a moment ago; the next round sees that it does not.
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                watched => watched?,
            }
        }
        Ok(notices)
    }
}

/// Receives the operating system's notifications, on the library's thread.
struct NoticeHandler {
    plan: Arc<WatchPlan>,
    stale: Arc<AtomicBool>,
    touch: Sender<()>,
}

impl EventHandler for NoticeHandler {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        // A missed notification may have been about any path.
        let missed = event.as_ref().map_or(true, |event| event.need_rescan() || event.paths.is_empty());
        let paths = event.as_ref().map_or(&[] as &[PathBuf], |event| &event.paths);
        let kind = event.as_ref().map_or(EventKind::Any, |event| event.kind);
        if missed || replaces(kind) && paths.iter().any(|path| self.plan.is_watched(path)) {
            self.stale.store(true, Ordering::Release);
        }
        if missed || may_change_content(kind) && paths.iter().any(|path| self.plan.concerns(path)) {
            // A pending touch covers this one.
            let _ = self.touch.try_send(());
        }
    }
}

/// Whether a name may belong to another file or folder after this event.
fn replaces(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Any | EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
    )
}

/// Reading a file is no change of it; otherwise each check of the files would lead to the next one.
fn may_change_content(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicUsize;

    use notify::event::{CreateKind, RemoveKind};
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::ConfigSources;

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

    fn handler(files: &[PathBuf]) -> (NoticeHandler, Receiver<()>) {
        let (touch, touched) = channel(1);
        (NoticeHandler { plan: Arc::new(WatchPlan::from(files)), stale: Arc::default(), touch }, touched)
    }

    #[test]
    fn reading_a_file_is_no_change_of_it() {
        assert!(!may_change_content(EventKind::Access(AccessKind::Open(AccessMode::Read))));
        assert!(!may_change_content(EventKind::Access(AccessKind::Close(AccessMode::Read))));
        assert!(may_change_content(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(may_change_content(EventKind::Modify(ModifyKind::Any)));
    }

    #[test]
    fn changes_of_other_files_in_a_folder_are_ignored_and_missed_notifications_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (mut handler, mut touched) = handler(&[folder.join("app.toml")]);
        let mut handles = |kind, path: &Path| {
            handler.handle_event(Ok(Event::new(kind).add_path(path.to_owned())));
            (touched.try_recv().is_ok(), handler.stale.swap(false, Ordering::Relaxed))
        };
        let (written, made) = (EventKind::Modify(ModifyKind::Any), EventKind::Create(CreateKind::Any));
        assert_eq!(handles(written, &folder.join("events.db")), (false, false));
        assert_eq!(handles(made, &folder.join("app.toml.new")), (false, false));
        assert_eq!(handles(written, &folder.join("app.toml")), (true, false));
        assert_eq!(handles(made, &folder.join("app.toml")), (true, false));
        assert_eq!(handles(EventKind::Remove(RemoveKind::Folder), &folder), (true, true));
        for missed in [Ok(Event::new(EventKind::Other)), Err(notify::Error::generic("lost"))] {
            handler.handle_event(missed);
            assert!(touched.try_recv().is_ok() && handler.stale.swap(false, Ordering::Relaxed));
        }
    }

    #[test]
    fn files_beside_a_file_without_a_folder_are_those_of_the_current_one() {
        let plan = WatchPlan::from(&[PathBuf::from("app.toml")][..]);
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert!(plan.concerns(&here.join("app.toml")) && !plan.concerns(&here.join("Cargo.toml")));
    }

    /// Without notices, as when the operating system has no more of them to give.
    #[tokio::test]
    async fn a_file_that_cannot_be_watched_is_checked_at_intervals_and_the_status_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.toml");
        std::fs::write(&file, "a = 1").unwrap();
        let every = Duration::from_millis(5);
        let loaded = ConfigSources::new().file(&file).watch(every).poll(every).load().unwrap();
        let (source, known) = loaded.source().unwrap();
        let source = Arc::clone(source);
        let (noted, mut watches) = unbounded_channel();
        let (sender, mut reported) = unbounded_channel();
        let none_left: Notifier = |_| Err(notify::Error::new(ErrorKind::MaxFilesWatch));
        let refused = AtomicUsize::new(2);
        let on_watch = move |how| noted.send(how).unwrap();
        let _watcher = Watcher::with(none_left, Arc::clone(&source), known, on_watch, move |seen| {
            sender.send(seen).unwrap();
            std::future::ready(
                refused.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err(),
            )
        });
        std::fs::write(&file, "a = 2").unwrap();
        // It is reported again until it is dealt with, and then no more.
        let second = source.fingerprint();
        for _ in 0..3 {
            while reported.recv().await.unwrap() != second {}
        }
        std::fs::write(&file, "a = 3").unwrap();
        assert_ne!(reported.recv().await.unwrap(), second);
        let how = watches.recv().await.unwrap();
        let ConfigWatch::Polled { reason, .. } = &how else { panic!("{how:?}") };
        assert!(reason.contains("limit"), "{reason}");
    }
}
