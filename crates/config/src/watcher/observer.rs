//! Notifications of changes from the operating system, and checks of the files.
//!
//! The library identifies watches by path, and the operating system by the folder itself. After a folder was replaced
//! these differ, and the notice of the old folder's end removes the watch of the new one. So all watches are made anew,
//! by a new instance, whenever the plan changes or a watched folder itself was touched.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foundation_kernel::containment::{catch_panic, report};
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{ErrorKind, Event, EventHandler, EventKind, RecursiveMode};
use tokio::sync::mpsc::Sender;

use super::plan::WatchPlan;
use crate::current::Current;
use crate::fingerprint::Fingerprint;
use crate::tree::WatchSpec;
use crate::update::ConfigWatch;
use foundation_kernel::text::excerpt;

/// How often one check makes the watches anew, if the files are reached in another way each time.
const MAX_ROUNDS: usize = 4;

type Notices = Box<dyn notify::Watcher + Send>;

/// Makes the operating system report changes.
pub(super) type Notifier = fn(NoticeHandler) -> notify::Result<Notices>;

pub(super) fn operating_system(handler: NoticeHandler) -> notify::Result<Notices> {
    notify::recommended_watcher(handler).map(|notices| Box::new(notices) as Notices)
}

/// Watches and reads the files.
pub(super) struct FileObserver {
    notifier: Notifier,
    watch: WatchSpec,
    current: Arc<Current>,
    touch: Sender<()>,
    plan: Arc<WatchPlan>,
    /// Whether a watched folder itself was touched since the watches were made.
    stale: Arc<AtomicBool>,
    /// `None` if the operating system does not report changes, or not all.
    notices: Option<Notices>,
}

impl FileObserver {
    pub(super) fn new(notifier: Notifier, watch: WatchSpec, current: Arc<Current>, touch: Sender<()>) -> Self {
        let (plan, stale, notices) = (Arc::default(), Arc::default(), None);
        Self { notifier, watch, current, touch, plan, stale, notices }
    }

    /// The fingerprint of the files now, watched as they are reached now. Blocks.
    pub(super) fn check(&mut self) -> Fingerprint {
        // Watch before reading: a change after the read is reported.
        for _ in 0..MAX_ROUNDS {
            let plan = WatchPlan::of(&self.watch.files);
            if self.notices.is_some() && *self.plan == plan && !self.stale.load(Ordering::Acquire) {
                break;
            }
            let how = self.watch_anew(plan);
            self.note(how);
            if self.notices.is_none() {
                break;
            }
        }
        Fingerprint::read(&self.watch.files, self.watch.max_bytes)
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
            Err(reason) => ConfigWatch::Polled { every: self.watch.poll, reason: excerpt(&reason) },
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

    /// Reports once that the files are watched in another way.
    fn note(&self, how: ConfigWatch) {
        if self.current.set_watch(&how) {
            return;
        }
        report(|| match &how {
            ConfigWatch::Polled { every, reason } => {
                tracing::warn!(?every, %reason, "configuration files are not watched, and checked from time to time only");
            }
            _ => tracing::debug!("configuration files are watched"),
        });
    }
}

/// Receives the operating system's notifications, on the library's thread.
pub(super) struct NoticeHandler {
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
    use std::time::Duration;

    use notify::event::{CreateKind, RemoveKind};
    use tokio::sync::mpsc::{Receiver, channel, unbounded_channel};

    use super::super::watching::Watcher;
    use super::*;
    use crate::ConfigSources;

    fn handler(files: &[PathBuf]) -> (NoticeHandler, Receiver<()>) {
        let (touch, touched) = channel(1);
        (NoticeHandler { plan: Arc::new(WatchPlan::of(files)), stale: Arc::default(), touch }, touched)
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
        let plan = WatchPlan::of(&[PathBuf::from("app.toml")]);
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert!(plan.concerns(&here.join("app.toml")) && !plan.concerns(&here.join("Cargo.toml")));
    }

    /// Without notices, as when the operating system has no more of them to give.
    #[tokio::test]
    async fn a_file_that_cannot_be_watched_is_checked_at_intervals_and_the_status_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.toml");
        std::fs::write(&file, "a = 1").unwrap();
        let loaded = ConfigSources::new().file(&file).load().unwrap();
        let current = Arc::new(Current::new(Arc::new(loaded)));
        let every = Duration::from_millis(5);
        let watch = WatchSpec { files: vec![file.clone()], quiet: every, poll: every, max_bytes: 100 };
        let (sender, mut reported) = unbounded_channel();
        let none_left: Notifier = |_| Err(notify::Error::new(ErrorKind::MaxFilesWatch));
        let refusals = AtomicUsize::new(2);
        let _watcher = Watcher::with(none_left, watch.clone(), Arc::clone(&current), move |seen| {
            sender.send(seen).unwrap();
            std::future::ready(
                refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err(),
            )
        });
        std::fs::write(&file, "a = 2").unwrap();
        // It is reported again until it is dealt with, and then no more.
        let second = Fingerprint::read(&watch.files, watch.max_bytes);
        for _ in 0..3 {
            while reported.recv().await.unwrap() != second {}
        }
        std::fs::write(&file, "a = 3").unwrap();
        assert_ne!(reported.recv().await.unwrap(), second);
        let ConfigWatch::Polled { reason, .. } = current.watch() else { panic!("{:?}", current.watch()) };
        assert!(reason.contains("limit"), "{reason}");
    }
}
