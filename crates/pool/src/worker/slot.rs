//! The place of a worker in its pool.

use std::fmt;

/// The place of a worker in its pool: a number that its successors keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(usize);

impl Slot {
    pub(crate) const fn new(number: usize) -> Self {
        Self(number)
    }

    /// The slot whose worker is the child with this id.
    pub(crate) fn of_child(id: &str) -> Option<Self> {
        id.strip_prefix("worker_")?.parse().ok().map(Self)
    }

    /// The number, from 1.
    pub const fn number(self) -> usize {
        self.0
    }
}

/// The id of the worker's child, as `worker_1`.
impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker_{}", self.0)
    }
}
