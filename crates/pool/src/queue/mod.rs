//! The queue of a pool: its jobs, those who wait for jobs, and those who wait for room.

mod after;
mod capacity;
pub(crate) mod claim;
mod claim_cell;
#[cfg(test)]
mod discipline_tests;
pub(crate) mod figures;
mod intake;
pub(crate) mod job_queue;
mod keys;
mod lanes;
mod life;
pub(crate) mod new_job;
pub(crate) mod priorities;
pub(crate) mod rate;
pub(crate) mod rules;
mod state;
pub(crate) mod turn;
pub(crate) mod waiters;
mod waiting;
