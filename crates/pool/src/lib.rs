#![doc = include_str!("../README.md")]

mod dead_letters;
mod drain;
mod error;
mod job;
mod keeper;
mod overflow;
mod pool;
mod queue;
mod retry;
mod shared;
mod spec;
mod worker;

pub use dead_letters::{DeadLetter, DeadLetters};
pub use drain::{Drained, Unfinished};
pub use error::{JobError, PoolError, SpecError};
pub use job::context::JobContext;
pub use job::failure::JobFailure;
pub use job::id::JobId;
pub use job::request::{JobHandle, JobRequest};
pub use overflow::WhenFull;
pub use pool::Pool;
pub use queue::rules::QueueSpec;
pub use retry::Retry;
pub use spec::PoolSpec;
pub use worker::batch_size::BatchSize;
pub use worker::slot::Slot;
pub use worker::worker::Worker;
