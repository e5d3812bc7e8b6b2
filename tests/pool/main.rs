//! Pools of workers: their jobs, their ends, and their queue.

mod delivery;
mod draining;
mod jobs;
mod misuse;
mod queueing;
mod setup;
mod workers;
