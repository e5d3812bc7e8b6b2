//! Foreign code that is deferred until a lock is released.

use std::task::Waker;

use crate::containment::{drop_contained, wake};

/// Readers to wake and values to drop, collected under a lock for after its release: both may run foreign code, which
/// may use what the lock protects.
#[must_use = "readers are not woken"]
pub(crate) struct AfterLock<T> {
    readers: Vec<Waker>,
    surplus: Vec<T>,
}

impl<T> Default for AfterLock<T> {
    fn default() -> Self {
        Self { readers: Vec::new(), surplus: Vec::new() }
    }
}

impl<T> AfterLock<T> {
    pub(crate) fn wake(&mut self, reader: Option<Waker>) {
        self.readers.extend(reader);
    }

    pub(crate) fn drop(&mut self, surplus: impl IntoIterator<Item = T>) {
        self.surplus.extend(surplus);
    }

    /// Call it under no lock.
    pub(crate) fn run(self) {
        self.readers.into_iter().for_each(wake);
        self.surplus.into_iter().for_each(|value| drop_contained("what a slow reader has not read", value));
    }
}
