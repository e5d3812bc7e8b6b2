//! Pools of workers: their jobs, their ends, and their queue.

mod durable;
mod jobs;
mod keys;
mod namespace;
mod rate;
mod scaling;
mod setup;
mod stats;
