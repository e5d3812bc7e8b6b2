//! The figures of a queue.

use tokio::time::Instant;

use super::accounts::Accounts;
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
