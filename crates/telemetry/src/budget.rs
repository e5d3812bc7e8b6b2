//! The number of series that a namespace may still add.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of places that are taken and given back, and never more than there are.
pub(super) struct Budget {
    free: AtomicUsize,
}

impl Budget {
    pub(super) fn new(places: usize) -> Self {
        Self { free: AtomicUsize::new(places) }
    }

    /// Takes a place; false if there is none.
    pub(super) fn take(&self) -> bool {
        // Relaxed: the number orders nothing else; the tables have locks of their own.
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1)).is_ok()
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.load(Ordering::Relaxed)
    }

    pub(super) fn give_back(&self) {
        self.free.fetch_add(1, Ordering::Relaxed);
    }
}
