//! A durable job as its pool has it.

use std::fmt;
use std::time::Duration;

/// The longest text of an error that is recorded, in bytes.
pub(crate) const MAX_ERROR: usize = 1 << 10;

/// A job of a durable queue, as its pool has it.
pub struct DurableJob<J> {
    pub(crate) id: u64,
    pub(crate) job: J,
    /// How often it had been begun when it was put into the pool of this process.
    pub(crate) attempts: u32,
    /// Whether an attempt is recorded before it begins.
    pub(crate) strict: bool,
    /// How long an attempt may take, once its begin is recorded.
    pub(crate) limit: Option<Duration>,
}

impl<J> fmt::Debug for DurableJob<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableJob").field("id", &self.id).field("attempts", &self.attempts).finish_non_exhaustive()
    }
}
