//! What has become of all jobs so far, in numbers.

/// What has become of all jobs so far. They only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Accounts {
    /// Jobs that were taken.
    pub(crate) accepted: u64,
    /// Jobs that were not, for want of room or of a token.
    pub(crate) refused: u64,
    /// Those of them for which there was no room.
    pub(crate) full: u64,
    pub(crate) done: u64,
    /// Attempts that failed, whether they were the last ones or not.
    pub(crate) failed: u64,
    /// Attempts after which the job was tried again.
    pub(crate) retried: u64,
    /// Jobs that failed for good.
    pub(crate) died: u64,
    /// Jobs that waited for too long.
    pub(crate) expired: u64,
    /// Jobs that gave way in a full queue.
    pub(crate) dropped: u64,
    /// Jobs that were given back at the end of the pool.
    pub(crate) returned: u64,
}
