//! The watch of the names that the catalog follows.

use std::sync::atomic::{AtomicU64, Ordering};

use foundation_kernel::names::{Watch, WatchRevision};
use parking_lot::Mutex;

/// No revision of a watch: its first item has not been read.
const UNREAD: u64 = u64::MAX;

/// The watch of the names, and how far it has been read.
pub(super) struct FollowedNames {
    pub(super) watch: Mutex<Watch>,
    /// Of the watch: read without its lock.
    pub(super) revision: WatchRevision,
    /// The revision whose changes are all in the catalog.
    pub(super) applied: AtomicU64,
}

impl FollowedNames {
    pub(super) fn new(watch: Watch) -> Self {
        Self { revision: watch.revision(), watch: Mutex::new(watch), applied: AtomicU64::new(UNREAD) }
    }

    /// Whether the catalog has all that was finished before.
    pub(super) fn is_read(&self) -> bool {
        self.revision.get() == self.applied.load(Ordering::Acquire)
    }
}
