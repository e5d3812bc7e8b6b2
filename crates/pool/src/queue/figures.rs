//! The figures of a queue, and what has become of all jobs so far.

use tokio::time::Instant;

use super::rate::Allowance;

/// The figures of a queue at one moment.
#[derive(Debug)]
pub(crate) struct QueueFigures {
    /// Jobs that wait for a worker or for another one of their key, at each level.
    pub(crate) queued_by_priority: Vec<usize>,
    pub(crate) delayed: usize,
    pub(crate) claimed: usize,
    /// When the job was accepted that is at the front of its level and has waited the longest.
    pub(crate) oldest: Option<Instant>,
    /// Callers that wait for room.
    pub(crate) senders: usize,
    pub(crate) paused: bool,
    pub(crate) load: QueueLoad,
    pub(crate) accounts: Accounts,
}

/// What a queue has to do for workers: jobs that could be begun. One that waits for its time or for another one of its key
/// could not, whatever the number of workers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct QueueLoad {
    /// How often a job has become ready: each attempt counts.
    pub(crate) ready: u64,
    /// Jobs that are ready now; none while the pool is paused.
    pub(crate) waiting: usize,
    /// What the rate lets pass.
    pub(crate) allowance: Allowance,
}

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
