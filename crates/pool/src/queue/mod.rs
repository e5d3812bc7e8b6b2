//! The queue of a pool: its jobs, those who wait for jobs, and those who wait for room.

pub(crate) mod accounts;
pub(crate) mod after;
pub(crate) mod claim;
pub(crate) mod delayed;
pub(crate) mod job_queue;
pub(crate) mod keys;
pub(crate) mod priorities;
#[allow(dead_code, reason = "the queue and the loop use it from the next steps on")]
pub(crate) mod rate;
pub(crate) mod rules;
pub(crate) mod state;
pub(crate) mod turn;
pub(crate) mod waiters;
