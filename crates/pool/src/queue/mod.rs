//! The queue of a pool: its jobs, those who wait for jobs, and those who wait for room.

pub(crate) mod claim;
#[allow(dead_code, reason = "the queue and the loop use it from the next steps on")]
pub(crate) mod delayed;
pub(crate) mod job_queue;
#[allow(dead_code, reason = "the queue and the loop use it from the next steps on")]
pub(crate) mod keys;
#[allow(dead_code, reason = "the queue and the loop use it from the next steps on")]
pub(crate) mod priorities;
#[allow(dead_code, reason = "the queue and the loop use it from the next steps on")]
pub(crate) mod rate;
pub(crate) mod state;
pub(crate) mod turn;
pub(crate) mod waiters;
