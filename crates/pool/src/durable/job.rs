//! A durable job as its pool has it.

use std::fmt;

/// The longest text of an error that is recorded, in bytes.
pub(crate) const MAX_ERROR: usize = 1 << 10;

/// A job of a durable queue, as its pool has it.
pub struct DurableJob<J> {
    pub(crate) id: u64,
    /// `None` while it is lent to a worker in a batch.
    pub(crate) job: Option<J>,
    /// How often it had been begun when it was put into the pool of this process.
    pub(crate) attempts: u32,
    /// Whether an attempt is recorded before it begins.
    pub(crate) strict: bool,
    /// Attempts of the pool that ended before the job was begun.
    pub(crate) not_begun: u32,
}

impl<J> DurableJob<J> {
    /// Which attempt at the job this is, if it is this one of the pool.
    pub(crate) fn attempt(&self, of_pool: u32) -> u32 {
        self.attempts.saturating_add(of_pool.saturating_sub(self.not_begun))
    }
}

impl<J> fmt::Debug for DurableJob<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableJob").field("id", &self.id).field("attempts", &self.attempts).finish_non_exhaustive()
    }
}
