//! Pools of workers: their jobs, their ends, and their queue.

mod jobs;
mod setup;
