//! The configuration of one namespace, as its readers and subscribers see it. It belongs to the namespace, so that they
//! outlive the actor.
//!
//! 1. The tree is the loaded one with every recorded change up to the event `seen` made, in order, and with those that
//!    by [`Audit::BestEffort`](super::audit::Audit) need no record; and with no other.
//! 2. A subscriber receives each change that is made after it subscribed, once, and when the tree has it.
//! 3. Only the server writes, and there is one server at a time. It is never interrupted between the tree and `seen`,
//!    since it does not wait there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::commit::ConfigCommit;
use super::fingerprint::Fingerprint;
use super::section::Snapshot;
use super::tree::ConfigTree;
use super::update::ConfigWatch;
use foundation_events::EventId;

/// How many commits a subscriber may be behind.
const BACKLOG: usize = 1_024;

pub(super) struct Current {
    tree: Arc<ArcSwap<ConfigTree>>,
    seen: Mutex<Option<EventId>>,
    /// Whether a server has made the changes recorded before it.
    has_begun: AtomicBool,
    watch: Mutex<ConfigWatch>,
    /// Why the last checkpoint could not be recorded, if it could not.
    checkpoint_failure: Mutex<Option<String>>,
    /// The content of the files that were refused last, and why.
    refused: Mutex<Option<(Fingerprint, String)>>,
    /// Made for the first subscriber: its backlog is allocated as a whole, and most namespaces have none.
    changes: Mutex<Option<broadcast::Sender<Arc<Made>>>>,
}

/// A commit that has been made, with the declared sections before and after it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) commit: ConfigCommit,
    pub(super) before: Arc<[Snapshot]>,
    pub(super) after: Arc<[Snapshot]>,
}

impl Current {
    pub(super) fn new(loaded: Arc<ConfigTree>) -> Self {
        let (seen, has_begun, watch, checkpoint_failure, refused, changes) = Default::default();
        Self { tree: Arc::new(ArcSwap::new(loaded)), seen, has_begun, watch, checkpoint_failure, refused, changes }
    }

    pub(super) fn tree(&self) -> Arc<ConfigTree> {
        self.tree.load_full()
    }

    /// The tree for a brief read, without a count of its `Arc`.
    pub(super) fn load(&self) -> Guard<Arc<ConfigTree>> {
        self.tree.load()
    }

    /// The location of the tree, for frequent readers.
    pub(super) fn tree_cell(&self) -> Arc<ArcSwap<ConfigTree>> {
        Arc::clone(&self.tree)
    }

    /// The last recorded change that was processed.
    pub(super) fn seen(&self) -> Option<EventId> {
        *self.seen.lock()
    }

    /// Skips a recorded change that no longer applies.
    pub(super) fn mark_seen(&self, event: EventId) {
        *self.seen.lock() = Some(event);
    }

    /// Notes that all changes recorded before the namespace began are made.
    pub(super) fn mark_begun(&self) {
        self.has_begun.store(true, Ordering::Release);
    }

    /// Whether the tree is up to date, except for a last recording that was not answered.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// How the files are watched.
    pub(super) fn watch(&self) -> ConfigWatch {
        self.watch.lock().clone()
    }

    /// Notes how the files are watched; true if that is unchanged.
    #[cfg(feature = "reload")]
    pub(super) fn set_watch(&self, how: &ConfigWatch) -> bool {
        let was = std::mem::replace(&mut *self.watch.lock(), how.clone());
        was == *how
    }

    /// Why the last checkpoint could not be recorded, if it could not.
    pub(super) fn checkpoint_failure(&self) -> Option<String> {
        self.checkpoint_failure.lock().clone()
    }

    /// Notes whether the last checkpoint could be recorded; true if that is unchanged.
    pub(super) fn set_checkpoint_failure(&self, failure: Option<String>) -> bool {
        let was = std::mem::replace(&mut *self.checkpoint_failure.lock(), failure.clone());
        was == failure
    }

    /// Notes that files with this content are refused; true if that was noted before, for the same reason.
    pub(super) fn refuse(&self, content: Fingerprint, reason: &str) -> bool {
        let refused = Some((content, reason.to_owned()));
        let was = std::mem::replace(&mut *self.refused.lock(), refused.clone());
        was == refused
    }

    /// Notes that the files are accepted.
    pub(super) fn accept(&self) {
        *self.refused.lock() = None;
    }

    /// Replaces the tree with an equal one: only positions in files may differ.
    pub(super) fn replace(&self, same: ConfigTree) {
        self.tree.store(Arc::new(same));
    }

    /// Makes a change.
    pub(super) fn make(&self, next: ConfigTree, commit: &ConfigCommit) {
        let next = Arc::new(next);
        let before = self.tree.swap(Arc::clone(&next));
        if let Some(event) = commit.event {
            self.mark_seen(event);
        }
        // Not under the lock: a subscriber that is woken may subscribe again.
        let Some(changes) = self.changes.lock().clone() else { return };
        let made = Arc::new(Made { commit: commit.clone(), before: before.snapshots(), after: next.snapshots() });
        // It is no error if all subscribers have gone.
        let _ = changes.send(made);
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Made>> {
        self.changes.lock().get_or_insert_with(|| broadcast::Sender::new(BACKLOG)).subscribe()
    }

    pub(super) fn subscribers(&self) -> usize {
        self.changes.lock().as_ref().map_or(0, broadcast::Sender::receiver_count)
    }
}
