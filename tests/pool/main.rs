//! Pools of workers: their jobs, their ends, and their queue.

mod batches;
mod chaos;
mod collapses;
mod delivery;
mod draining;
mod durable;
mod durable_faults;
mod jobs;
mod keys;
mod misuse;
mod namespace;
mod queueing;
mod rate;
mod recovery;
mod routing;
mod scaling;
mod setup;
mod simulation;
mod stats;
mod workers;
