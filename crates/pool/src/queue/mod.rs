//! The queue of a pool: its jobs, those who wait for jobs, and those who wait for room.

pub(crate) mod accounts;
mod after;
pub(crate) mod claim;
mod claim_cell;
#[cfg(test)]
mod discipline_tests;
pub(crate) mod figures;
pub(crate) mod job_queue;
mod keys;
mod lanes;
pub(crate) mod new_job;
pub(crate) mod priorities;
pub(crate) mod rate;
pub(crate) mod rules;
mod slab;
mod state;
mod timetable;
pub(crate) mod turn;
pub(crate) mod waiters;
mod waiting;
