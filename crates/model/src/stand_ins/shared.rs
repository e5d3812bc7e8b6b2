//! scc's pointers that readers follow without a lock: the values are leaked, so that they can be borrowed safely.

use std::sync::{Mutex, PoisonError};

use loom::sync::atomic::{AtomicUsize, Ordering};

pub(crate) struct Guard;

impl Guard {
    pub(crate) fn new() -> Self {
        Self
    }
}

pub(crate) enum Tag {
    None,
}

pub(crate) struct Shared<T: 'static>(&'static T);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Box::leak(Box::new(value)))
    }
}

/// Values by number, 0 for none; which number is current is the only step that orders anything.
pub(crate) struct AtomicShared<T: 'static> {
    current: AtomicUsize,
    versions: Mutex<Vec<&'static T>>,
}

impl<T> AtomicShared<T> {
    pub(crate) fn null() -> Self {
        Self { current: AtomicUsize::new(0), versions: Mutex::default() }
    }

    pub(crate) fn new(value: T) -> Self {
        Self { current: AtomicUsize::new(1), versions: Mutex::new(vec![Box::leak(Box::new(value))]) }
    }

    pub(crate) fn load<'g>(&self, order: Ordering, _: &'g Guard) -> Ptr<'g, T> {
        let current = self.current.load(order);
        Ptr(self.version(current))
    }

    pub(crate) fn get_shared(&self, order: Ordering, guard: &Guard) -> Option<Shared<T>> {
        let _ = guard;
        let current = self.current.load(order);
        self.version(current).map(Shared)
    }

    pub(crate) fn swap(&self, (new, _): (Option<Shared<T>>, Tag), order: Ordering) -> (Option<Shared<T>>, Tag) {
        let number = new.map_or(0, |new| self.add(new.0));
        let before = self.current.swap(number, order);
        (self.version(before).map(Shared), Tag::None)
    }

    /// Without a change of the current value.
    pub(crate) fn add(&self, value: &'static T) -> usize {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.push(value);
        versions.len()
    }

    fn version(&self, number: usize) -> Option<&'static T> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.get(number.checked_sub(1)?).copied()
    }
}

pub(crate) struct Ptr<'g, T>(Option<&'g T>);

impl<'g, T> Ptr<'g, T> {
    pub(crate) fn as_ref(&self) -> Option<&'g T> {
        self.0
    }
}
