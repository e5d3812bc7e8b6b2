//! What a pool and its workers do, read without asking an actor.

pub(crate) mod measurement;
pub(crate) mod poll_meter;
pub(crate) mod pool_stats;
pub(crate) mod stuck;
mod thread_time;
pub(crate) mod worker_cells;
pub(crate) mod worker_stats;
