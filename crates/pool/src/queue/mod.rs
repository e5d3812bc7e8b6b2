//! The queue of a pool: its jobs, those who wait for jobs, and those who wait for room.

pub(crate) mod accounts;
pub(crate) mod claim;
mod claim_cell;
pub(crate) mod delayed;
#[cfg(test)]
mod discipline_tests;
pub(crate) mod job_queue;
pub(crate) mod keys;
mod lanes;
pub(crate) mod priorities;
pub(crate) mod rate;
pub(crate) mod rules;
pub(crate) mod state;
pub(crate) mod turn;
pub(crate) mod waiters;
