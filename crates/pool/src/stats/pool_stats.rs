//! What a pool does.

use std::time::Duration;

use foundation_kernel::instruments::HistogramSnapshot;
use foundation_kernel::supervision::Health;
use foundation_kernel::written::some_millis;
use serde::Serialize;

/// What a pool does, and what it has done so far, over all of its lives.
///
/// The counts of jobs are of one moment: [`accepted`](Self::accepted) jobs are those that wait, those in work, those for
/// later, and those with an outcome: done, died, expired, dropped or returned.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct PoolStats {
    /// Workers that live or are being made.
    pub workers: usize,
    /// Workers that the pool should have, by its rules of scaling.
    pub wanted: usize,
    /// Workers that do not get on with their jobs.
    pub stuck: usize,
    /// The share of the workers' time in which they performed jobs lately, 0 to 1.
    pub busy_share: f64,
    /// Attempts per second, lately.
    pub per_second: f64,
    /// Whether the pool is paused.
    pub paused: bool,
    /// Jobs that wait for a worker or for another one of their key, of each priority, the most urgent first.
    pub queued_by_priority: Vec<usize>,
    /// Jobs for later: those with a delay, and those that are tried again.
    pub delayed: usize,
    /// Jobs that workers have.
    pub in_work: usize,
    /// How long the job has waited that has waited the longest, of those that a worker could begin; `None` if there is none.
    #[serde(rename = "oldest_wait_ms", serialize_with = "some_millis")]
    pub oldest_wait: Option<Duration>,
    /// How long jobs waited until they were begun, in nanoseconds, of a sample.
    pub wait_ns: HistogramSnapshot,
    /// How long attempts took, in nanoseconds, of a sample.
    pub job_ns: HistogramSnapshot,
    /// Jobs that were taken.
    pub accepted: u64,
    /// Jobs that were not, since there was no room or since they were over the rate.
    pub refused: u64,
    /// Jobs that were done.
    pub done: u64,
    /// Attempts that failed, whether they were the last one or not.
    pub failed: u64,
    /// Attempts after the first.
    pub retried: u64,
    /// Jobs that failed for good.
    pub died: u64,
    /// Jobs whose deadline passed before they were begun.
    pub expired: u64,
    /// Jobs that gave way to others in a full queue.
    pub dropped: u64,
    /// Jobs that were given back by a drain.
    pub returned: u64,
}

impl PoolStats {
    /// The health that follows: degraded while a worker is stuck, and while jobs wait although no worker lives.
    pub fn health(&self) -> Health {
        match (self.stuck, self.workers, self.queued()) {
            (0, 0, waiting) if waiting > 0 => Health::Degraded(format!("{waiting} jobs wait, and no worker lives")),
            (0, ..) => Health::Healthy,
            (stuck, workers, waiting) => {
                Health::Degraded(format!("{stuck} of {workers} workers are stuck, and {waiting} jobs wait"))
            }
        }
    }

    /// Jobs that wait for a worker or for another one of their key: those of all priorities.
    pub fn queued(&self) -> usize {
        self.queued_by_priority.iter().sum()
    }
}
