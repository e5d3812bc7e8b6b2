//! The queue of a pool: its jobs, those who wait for jobs, and those who wait for room.

pub(crate) mod claim;
pub(crate) mod job_queue;
pub(crate) mod state;
pub(crate) mod turn;
pub(crate) mod waiters;
