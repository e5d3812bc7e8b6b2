//! Pools of workers: their jobs, their ends, and their queue.

mod jobs;
mod namespace;
mod rate;
mod scaling;
mod setup;
mod stats;
