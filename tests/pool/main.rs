//! Pools of workers: their jobs, their ends, and their queue.

mod durable;
mod jobs;
mod setup;
