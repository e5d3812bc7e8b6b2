//! What is to be done when the lock of a queue has been released.

use std::task::Waker;

use crate::job::record::{Ending, JobRecord};

/// What is to be done when the lock has been released. Allocates nothing if there is nothing to do, or one task to wake.
pub(super) struct After<J, T> {
    pub(super) wakes: Wakes,
    pub(super) ended: Vec<(JobRecord<J, T>, Ending)>,
}

impl<J, T> Default for After<J, T> {
    fn default() -> Self {
        Self { wakes: Wakes::default(), ended: Vec::new() }
    }
}

/// Tasks that are to be woken. One costs no allocation: mostly it is one.
#[derive(Default)]
pub(super) struct Wakes {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Wakes {
    pub(super) fn extend(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        for waker in wakers {
            match &self.first {
                None => self.first = Some(waker),
                Some(_) => self.rest.push(waker),
            }
        }
    }
}

impl IntoIterator for Wakes {
    type Item = Waker;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Waker>, std::vec::IntoIter<Waker>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}
